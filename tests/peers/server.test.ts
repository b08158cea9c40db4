/** `ServerSampler` against llama.cpp's own server, over models that Nudge saved: the same samples as from the engine. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  Engine,
  type EngineOptions,
  type GenerateEvent,
  type GenerateRequest,
  ServerSampler,
  type ServerSamplerOptions,
} from '../../src/generate/index.ts';
import { logprobsFrom, score } from '../../src/generate/testing/model.ts';
import { renderChat } from '../../src/text/index.ts';
import { exportGguf } from '../support/llama.ts';
import { LlamaServer, server } from '../support/llamaServer.ts';
import { type RealModel, SMOLLM2, SMOLLM2_GOLDEN, STORY_MODELS } from '../support/realModels.ts';

// Seconds on a machine that does nothing else.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const STORIES = STORY_MODELS[0]!;

/** A model, its file and a server over it. */
class World implements AsyncDisposable {
  readonly real: RealModel;
  readonly file: string;
  server!: LlamaServer;
  readonly #directory: string;

  private constructor(real: RealModel, directory: string) {
    this.real = real;
    this.#directory = directory;
    this.file = join(directory, 'model.gguf');
  }

  static async over(real: RealModel): Promise<World> {
    const world = new World(real, await mkdtemp(join(tmpdir(), 'nudge-server-')));
    await exportGguf(world.file, real.model, real.tokenizer, 'F32');
    world.server = await LlamaServer.start(world.file);
    return world;
  }

  sampler(options: Partial<ServerSamplerOptions> = {}): ServerSampler {
    return new ServerSampler({ baseUrl: `${this.server.url}/v1`, model: 'any', retries: 0, ...options });
  }

  /** What the engine answers. */
  async local(request: GenerateRequest, options: EngineOptions = {}) {
    const { model, tokenizer } = this.real;
    using engine = new Engine(model, { tokenizer, stopIds: tokenizer.eosIds, cacheBytes: 2 ** 26, ...options });
    return await engine.generate(request);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.kill();
    this.real[Symbol.dispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function furthest(a: readonly number[], b: readonly number[]): number {
  expect(a).toHaveLength(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}

async function failure(run: Promise<unknown>): Promise<string> {
  return await run.then(
    () => expect.unreachable(),
    (error: Error) => error.message,
  );
}

const about = (name: string, missing: string | null) => `${name}${missing === null ? '' : ` (skipped: ${missing})`}`;
const noStories = server.missing ?? STORIES.missing;
const noSmolLM2 = server.missing ?? SMOLLM2.missing;

describe.skipIf(noStories)(about("llama.cpp's server over stories260K", noStories), () => {
  let world: World;
  beforeAll(async () => {
    world = await World.over(await STORIES.open());
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  it.each(['Once upon a time', 'One day, Tom and Lily went to the park.'])(
    'goes on with "%s" as the engine does, each token as likely',
    async (prompt) => {
      const request = { temperature: 0, maxTokens: 48, logprobs: true };
      const [ours] = await world.local({ ...request, prompt });
      const promptIds = world.real.tokenizer.encode(prompt);
      for (const start of [{ prompt }, { promptIds }]) {
        const [theirs] = await world.sampler().generate({ ...request, ...start });
        expect(theirs).toEqual({ ...ours, logprobs: expect.any(Array) });
        expect(furthest(theirs!.logprobs!, ours!.logprobs!)).toBeLessThan(1e-4);
      }
    },
  );

  it('samples from the whole distribution, with log-probabilities of a full forward pass', async () => {
    const promptIds = world.real.tokenizer.encode('The');
    const request = { promptIds, n: 6, maxTokens: 12, seed: 1, logprobs: true };
    const completions = await world.sampler().generate(request);
    for (const { ids, logprobs } of completions) {
      const expected = score(world.real.model, [...promptIds, ...ids!], promptIds.length);
      expect(furthest(logprobs!, expected)).toBeLessThan(1e-4);
    }
    expect(new Set(completions.map(({ text }) => text)).size).toBe(6);
    // Their log-probabilities differ in the last digits: there they depend on what is computed together.
    const again = await world.sampler().generate(request);
    expect(again.map(({ ids }) => ids)).toEqual(completions.map(({ ids }) => ids));
  });

  it('takes also tokens that the server would leave out by itself, unless topK says so', async () => {
    const promptIds = world.real.tokenizer.encode('Once upon a time');
    const [row] = logprobsFrom(world.real.model, [...promptIds, 0], promptIds.length);
    const likeliest = [...row!.keys()].sort((a, b) => row![b]! - row![a]!).slice(0, 40);
    const texts = new Set(likeliest.map((id) => world.real.tokenizer.decode([id]).trim()));
    // Nearly level at such a temperature: each of the 512 tokens is drawn as often as the others.
    const request = { promptIds, n: 24, maxTokens: 1, temperature: 50, seed: 4 };
    const among = async (more: object, options = {}) => {
      const completions = await world.sampler(options).generate({ ...request, ...more });
      return completions.filter(({ text }) => texts.has(text.trim())).length;
    };
    expect(await among({}, { extensions: false })).toBe(24);
    expect(await among({})).toBeLessThan(12);
    expect(await among({ topK: 40 })).toBe(24);
  });

  it('streams the same, token by token', async () => {
    const request = { prompt: 'Once upon a time', temperature: 0, maxTokens: 24, logprobs: true };
    const [whole] = await world.sampler().generate(request);
    const seen: GenerateEvent[] = [];
    for await (const event of world.sampler().stream(request)) seen.push(event);
    const tokens = seen.filter((event) => event.type === 'token');
    expect(tokens.map(({ text }) => text).join('')).toBe(whole!.text);
    expect(tokens.map(({ id }) => id)).toEqual(whole!.ids);
    expect(
      furthest(
        tokens.map(({ logprob }) => logprob!),
        whole!.logprobs!,
      ),
    ).toBeLessThan(1e-4);
    expect(seen.at(-1)).toMatchObject({ type: 'end', completion: { text: whole!.text, finishReason: 'length' } });
  });

  it('ends at a stop string', async () => {
    const request = { prompt: 'Once upon a time', temperature: 0, maxTokens: 24, stopStrings: ['girl'] };
    const [theirs] = await world.sampler().generate(request);
    const [ours] = await world.local(request);
    expect(theirs).toMatchObject({ text: ours!.text, finishReason: 'stop' });
  });

  it('explains what the server refuses, and what takes too long', async () => {
    const long = { promptIds: Array(600).fill(403), maxTokens: 4 };
    expect(await failure(world.sampler().generate(long))).toMatch(/status 400[\s\S]*exceeds the available context/);
    const elsewhere = world.sampler({ baseUrl: `${world.server.url}/v2` });
    expect(await failure(elsewhere.generate({ prompt: 'a' }))).toMatch(/status 404[\s\S]*with \/v1/);
    const hasty = world.sampler({ timeoutMs: 20 });
    expect(await failure(hasty.generate({ prompt: 'Once', maxTokens: 400, temperature: 0 }))).toMatch(
      /20 ms[\s\S]*timeoutMs/,
    );
    const greedy = { prompt: 'Once', maxTokens: 12, temperature: 0, logprobs: true };
    const [free] = await world.sampler().generate(greedy);
    expect(await failure(world.sampler().generate({ ...greedy, stopIds: [free!.ids![5]!] }))).toMatch(
      /stopIds[\s\S]*stopStrings/,
    );
    // It goes on serving.
    expect(await world.sampler().generate({ prompt: 'Once', maxTokens: 2 })).toHaveLength(1);
  });

  it('sends its key', async () => {
    await using guarded = await LlamaServer.start(world.file, { key: 'sk-right' });
    const baseUrl = `${guarded.url}/v1`;
    expect(await failure(world.sampler({ baseUrl, apiKey: 'sk-wrong' }).generate({ prompt: 'a' }))).toMatch(
      /401[\s\S]*apiKey/,
    );
    const [completion] = await world.sampler({ baseUrl, apiKey: 'sk-right' }).generate({ prompt: 'a', maxTokens: 2 });
    expect(completion!.finishReason).toBe('length');
  });

  it('notices a server that is killed while it streams, and finds it again once it is back', async () => {
    const { port } = world.server;
    const request = { prompt: 'Once', maxTokens: 400, temperature: 0 };
    const read = async () => {
      for await (const event of world.sampler().stream(request)) if (event.type === 'token') await world.server.kill();
    };
    expect(await failure(read())).toMatch(/broke off/);
    const waiting = world.sampler({ retries: 30, retryPauseMs: 100 }).generate({ ...request, maxTokens: 8 });
    world.server = await LlamaServer.start(world.file, { port });
    const [completion] = await waiting;
    expect(completion!.text).toBe((await world.local({ ...request, maxTokens: 8 }))[0]!.text);
  });
});

describe.skipIf(noSmolLM2)(about("llama.cpp's server over SmolLM2", noSmolLM2), () => {
  let world: World;
  const chats = SMOLLM2_GOLDEN.cases.filter(({ prompt }) => typeof prompt !== 'string');
  beforeAll(async () => {
    world = await World.over(await SMOLLM2.open());
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  it('renders chats as we do, from the template in our file', async () => {
    for (const { prompt, text } of chats) {
      expect(await world.server.ask('/apply-template', { messages: prompt })).toEqual({ prompt: text });
    }
  });

  it('answers chats with what the engine answers, each token as likely', async () => {
    for (const { prompt } of chats.slice(1, 3)) {
      if (typeof prompt === 'string') continue;
      const request = { temperature: 0, maxTokens: 16, logprobs: true };
      const [theirs] = await world.sampler().generate({ ...request, messages: prompt });
      const [ours] = await world.local({ ...request, promptIds: renderChat(world.real.tokenizer, prompt).ids });
      expect(theirs).toEqual({ ...ours, logprobs: expect.any(Array) });
      expect(furthest(theirs!.logprobs!, ours!.logprobs!)).toBeLessThan(1e-3);
    }
  });
});
