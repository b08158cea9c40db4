/** What is listed, described and removed. */

import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errorOf } from '../../../tests/support/errors.ts';
import { nudgeError } from '../files/testing.ts';
import { cacheFolders, entryName } from './cache.ts';
import { describeModel } from './describe.ts';
import { KNOWN_MODELS } from './known-models.ts';
import { listModels, removeModel, whatToRemove } from './manage.ts';
import { resolveModel } from './resolve.ts';
import { COMMIT, ID, World } from './testing/world.ts';

describe('the list', () => {
  test('has every short name, and what is here', async () => {
    await using world = await World.create();
    expect(listModels({ env: world.env }).map(({ shortName }) => shortName)).toEqual(
      KNOWN_MODELS.map(({ shortName }) => shortName),
    );
    const { path } = await resolveModel(ID, { env: world.env });
    expect(listModels({ env: world.env }).at(-1)).toMatchObject({
      id: ID,
      shortName: null,
      licence: null,
      copies: [{ state: 'complete', name: entryName(ID, COMMIT), path, source: 'hub', revision: COMMIT }],
    });
  });

  test('says what is damaged, and what is not finished; strange folders do not disturb it', async () => {
    await using world = await World.create();
    const { path } = await resolveModel(ID, { env: world.env });
    writeFileSync(join(path, 'config.json'), '');
    const { models, partial } = cacheFolders(world);
    mkdirSync(join(partial, entryName('other/model', COMMIT)), { recursive: true });
    writeFileSync(join(partial, entryName('other/model', COMMIT), 'x.part'), '12345');
    for (const name of ['mine', 'a@b', '.hidden', '..--x@1']) mkdirSync(join(models, name));
    writeFileSync(join(models, 'a--b@file'), '');
    const others = listModels({ env: world.env }).slice(KNOWN_MODELS.length);
    expect(others.map(({ id, copies }) => [id, copies[0]?.state, copies.length])).toEqual([
      ['other/model', 'partial', 1],
      [ID, 'damaged', 1],
    ]);
    expect(others[0]?.copies[0]?.bytes).toBe(5);
  });
});

test('a directory is described by its headers', async () => {
  await using world = await World.create();
  const model = await resolveModel(ID, { env: world.env });
  expect(await describeModel(model)).toMatchObject({
    architecture: 'LlamaForCausalLM',
    parameters: Math.ceil(300_000 / 128) * 64,
    dtype: 'BF16',
    layers: 2,
    hiddenSize: 64,
    vocabulary: 2000,
    contextLength: 512,
    chatTemplate: true,
    files: expect.arrayContaining([{ path: 'config.json', bytes: world.content('config.json').length }]),
  });
});

describe('removing', () => {
  test('takes away every copy, or the one that is named', async () => {
    await using world = await World.create();
    const { env } = world;
    const { path } = await resolveModel(ID, { env });
    const partial = join(cacheFolders(world).partial, entryName(ID, 'f'.repeat(40)));
    mkdirSync(partial, { recursive: true });
    expect(whatToRemove(ID, { env }).copies).toHaveLength(2);
    await removeModel(entryName(ID, COMMIT), { env });
    expect([existsSync(path), existsSync(partial)]).toEqual([false, true]);
    await removeModel(ID, { env });
    expect([world.names('models'), world.names('partial')]).toEqual([[], []]);
    expect(await nudgeError(removeModel(ID, { env }))).toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });

  test('never leaves the cache: not by a path, not by a link', async () => {
    await using world = await World.create();
    const { env } = world;
    const precious = world.write('precious/config.json', '{}');
    const { models } = cacheFolders(world);
    mkdirSync(models, { recursive: true });
    symlinkSync(join(world.dir, 'precious'), join(models, 'a--b@c'));
    for (const name of [join(world.dir, 'precious'), './precious', '../precious', '..', '/']) {
      expect(errorOf(() => whatToRemove(name, { env })).code).toBe('BAD_ARGUMENT');
    }
    for (const name of ['a--b@c', 'a/b', '..--..@x', 'a--b@../../precious']) {
      expect((await nudgeError(removeModel(name, { env }))).code).toMatch(/MODEL_NOT_FOUND|BAD_ARGUMENT/);
    }
    expect(existsSync(precious)).toBe(true);
  });

  test("leaves Hugging Face's cache alone, and says so; names the nearest of what is here", async () => {
    await using world = await World.create();
    const { env } = world;
    const snapshot = join(world.dir, 'huggingface', 'hub', 'models--gone--model', 'snapshots', COMMIT);
    for (const name of ['config.json', 'model.safetensors', 'tokenizer.json']) {
      world.write(join('huggingface', 'hub', 'models--gone--model', 'snapshots', COMMIT, name), '{}');
    }
    world.write('huggingface/hub/models--gone--model/refs/main', COMMIT);
    expect(listModels({ env }).at(-1)?.copies).toMatchObject([{ state: 'huggingface', name: null, path: snapshot }]);
    expect(await nudgeError(removeModel('gone/model', { env }))).toMatchObject({
      code: 'MODEL_NOT_FOUND',
      message: expect.stringContaining('not ours to change'),
    });
    expect(existsSync(snapshot)).toBe(true);
    await resolveModel(ID, { env });
    expect((await nudgeError(removeModel('tiny/modle', { env }))).remedy).toMatch(/^Did you mean tiny\/model\?/);
  });
});
