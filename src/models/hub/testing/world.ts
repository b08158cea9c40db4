/** A hub, a cache and a tiny model, for one test; all gone at its end. */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cacheFolders } from '../cache.ts';
import type { ModelEvent } from '../events.ts';
import { parseReference, type Reference } from '../names.ts';
import { type Patience, readSettings, type Settings } from '../settings.ts';
import { FakeHub, type FakeRepository } from './fake-hub.ts';

export const ID = 'tiny/model';
export const COMMIT = '0123456789abcdef0123456789abcdef01234567';

/** Short enough for tests, long enough for two busy cores. */
const PATIENCE: Patience = { first: 2000, answer: 2000, idle: 400, retries: 3, backoff: 5, longestPause: 1500 };

/** Numbers that look like weights: no two pieces alike. */
export function noise(bytes: number, seed = 1): Buffer {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state;
  }
  return Buffer.from(words.buffer, 0, bytes);
}

/** A safetensors file that can be opened, of about `bytes`. */
export function safetensors(bytes: number): Buffer {
  const rows = Math.ceil(bytes / 128);
  const header = JSON.stringify({
    'model.embed_tokens.weight': { dtype: 'BF16', shape: [rows, 64], data_offsets: [0, rows * 128] },
  });
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([prefix, Buffer.from(header), noise(rows * 128)]);
}

/** What a model's repository holds: what is needed, and what must not be fetched. */
export function tinyRepository(more: Partial<FakeRepository> = {}): FakeRepository {
  const text = (value: unknown) => Buffer.from(JSON.stringify(value));
  return {
    commit: COMMIT,
    files: {
      '.gitattributes': Buffer.from('* lfs'),
      'README.md': Buffer.from('# Tiny'),
      'config.json': text({
        architectures: ['LlamaForCausalLM'],
        num_hidden_layers: 2,
        hidden_size: 64,
        vocab_size: 2000,
        max_position_embeddings: 512,
      }),
      'generation_config.json': text({}),
      'model.safetensors': safetensors(300_000),
      'pytorch_model.bin': noise(2000, 2),
      'special_tokens_map.json': text({}),
      'tokenizer.json': noise(50_000, 3),
      'tokenizer_config.json': text({ chat_template: '{{ messages }}' }),
    },
    extra: [{ type: 'directory', path: 'onnx', size: 0, oid: '0'.repeat(40) }],
    ...more,
  };
}

/** The files of `tinyRepository` that a model needs. */
export const NEEDED = [
  'config.json',
  'generation_config.json',
  'model.safetensors',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
];

export class World implements AsyncDisposable {
  readonly hub: FakeHub;
  readonly dir = mkdtempSync(join(tmpdir(), 'nudge-hub-'));
  readonly cache = join(this.dir, 'cache');
  readonly events: ModelEvent[] = [];
  env: NodeJS.ProcessEnv;

  private constructor(hub: FakeHub) {
    this.hub = hub;
    this.env = {
      PATH: process.env.PATH,
      HOME: this.dir,
      NUDGE_CACHE: this.cache,
      HF_HOME: join(this.dir, 'huggingface'),
      HF_ENDPOINT: hub.endpoint,
    };
  }

  static async create(repository: FakeRepository | null = tinyRepository()): Promise<World> {
    const world = new World(await FakeHub.start());
    if (repository !== null) world.hub.repositories.set(ID, repository);
    return world;
  }

  settings(patience: Partial<Patience> = {}, more: Partial<Settings> = {}): Settings {
    const settings = readSettings({ env: this.env, onProgress: (event) => this.events.push(event) });
    return { ...settings, patience: { ...PATIENCE, ...patience }, ...more };
  }

  reference(name = ID): Reference {
    return parseReference(name) as Reference;
  }

  /** What a repository holds under a name. */
  content(path: string, id = ID): Buffer {
    return this.hub.repositories.get(id)?.files[path] as Buffer;
  }

  /** The notes among the events. */
  get notes(): string[] {
    return this.events.flatMap((event) => (event.type === 'note' ? [event.text] : []));
  }

  /** The names in a folder of the cache's models. */
  names(folder: 'models' | 'partial'): string[] {
    try {
      return readdirSync(cacheFolders({ cache: this.cache })[folder]).filter((name) => !name.startsWith('.'));
    } catch {
      return [];
    }
  }

  write(path: string, content: string | Buffer): string {
    const full = join(this.dir, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content);
    return full;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hub[Symbol.asyncDispose]();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
