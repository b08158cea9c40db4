/** Pulls from a hub on this machine: real HTTP, real files, and every fault that a network brings. */

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { nudgeError } from '../files/testing.ts';
import { cacheFolders, entryName, MANIFEST, sizeOf } from './cache.ts';
import { pullFromHub } from './pull.ts';
import { FakeHub, type Fault, gitSha1, type Seen, sha256 } from './testing/fake-hub.ts';
import { COMMIT, ID, NEEDED, noise, tinyRepository, World } from './testing/world.ts';

const WEIGHTS = 'model.safetensors';
const NAME = entryName(ID, COMMIT);

/** Where a file is while it is fetched. */
const partOf = (world: World, path: string) => join(cacheFolders(world).partial, NAME, `${path}.part`);

/** Fails unless the model is complete and equal to what the hub has. */
function expectWhole(world: World, folder: string): void {
  for (const path of NEEDED) {
    expect(readFileSync(join(folder, path)).equals(world.content(path)), path).toBe(true);
  }
  expect(world.names('partial')).toEqual([]);
}

describe('a pull', () => {
  test('fetches what a model needs, and only that, and writes down what it is', async () => {
    await using world = await World.create();
    const { entry, fetched } = await pullFromHub(world.reference(), world.settings());
    expect(fetched).toBe(true);
    expect(readdirSync(entry.path).sort()).toEqual([...NEEDED, MANIFEST].sort());
    expectWhole(world, entry.path);
    expect(JSON.parse(readFileSync(join(entry.path, MANIFEST), 'utf8'))).toMatchObject({
      id: ID,
      source: 'hub',
      origin: world.hub.endpoint,
      revisions: ['main'],
      version: COMMIT,
      files: expect.arrayContaining([
        { path: WEIGHTS, bytes: world.content(WEIGHTS).length, checksum: `sha256:${sha256(world.content(WEIGHTS))}` },
        {
          path: 'config.json',
          bytes: world.content('config.json').length,
          checksum: `git-sha1:${gitSha1(world.content('config.json'))}`,
        },
      ]),
    });
  });

  test('reports bytes that add up', async () => {
    await using world = await World.create();
    const { entry } = await pullFromHub(world.reference(), world.settings());
    const progress = world.events.filter((event) => event.type === 'progress');
    expect(progress.at(-1)).toMatchObject({ done: entry.manifest.bytes, total: entry.manifest.bytes, before: 0 });
    expect(progress.every(({ done }, i) => done >= (progress[i - 1]?.done ?? 0))).toBe(true);
  });

  test('of what is there asks for the commit alone', async () => {
    await using world = await World.create();
    await pullFromHub(world.reference(), world.settings());
    world.hub.seen.length = 0;
    expect(await pullFromHub(world.reference(), world.settings())).toMatchObject({ fetched: false });
    expect(world.hub.seen.map(({ path }) => path)).toEqual([`/api/models/${ID}/revision/main`]);
  });

  test('of a newer commit keeps the older one; a tag on a commit that is here is noted, not fetched', async () => {
    await using world = await World.create();
    const first = await pullFromHub(world.reference(), world.settings());
    const commit = 'f'.repeat(40);
    const files = { ...tinyRepository().files, 'config.json': Buffer.from('{"model_type":"llama"}') };
    world.hub.repositories.set(ID, { ...tinyRepository(), commit, files, refs: { v1: COMMIT, v2: commit } });
    const second = await pullFromHub(world.reference(), world.settings());
    expect(world.names('models').sort()).toEqual([first.entry.name, entryName(ID, commit)]);
    const tagged = await pullFromHub(world.reference(`${ID}@v2`), world.settings());
    expect(tagged).toMatchObject({ fetched: false, entry: { path: second.entry.path } });
    expect(tagged.entry.manifest.revisions).toEqual(['main', 'v2']);
    expect((await pullFromHub(world.reference(`${ID}@v1`), world.settings())).entry.path).toBe(first.entry.path);
  });

  test('of shards takes those that the index names, and no second copy of the weights', async () => {
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
    const { [WEIGHTS]: _, ...rest } = tinyRepository().files;
    const files: Record<string, Buffer> = {
      ...rest,
      'consolidated.safetensors': noise(9000),
      'model.safetensors.index.json': Buffer.from(JSON.stringify({ weight_map: { a: shards[0], b: shards[1] } })),
      [shards[0]]: noise(5000),
      [shards[1]]: noise(6000),
    };
    await using world = await World.create(tinyRepository({ files }));
    const { entry } = await pullFromHub(world.reference(), world.settings());
    expect(readdirSync(entry.path).filter((name) => name.includes('safetensors'))).toEqual([
      ...shards,
      'model.safetensors.index.json',
    ]);

    delete files[shards[1]];
    await using lacking = await World.create(tinyRepository({ files }));
    const error = await nudgeError(pullFromHub(lacking.reference(), lacking.settings()));
    expect(error).toMatchObject({ code: 'BAD_FILE', expected: `"${shards[1]}"` });
    expect(lacking.names('models')).toEqual([]);
  });

  test('with `fresh` fetches all again', async () => {
    await using world = await World.create();
    await pullFromHub(world.reference(), world.settings());
    const { entry, fetched } = await pullFromHub(world.reference(), world.settings(), true);
    expect(fetched).toBe(true);
    expect(world.hub.requests(`/${WEIGHTS}`).filter(({ host }) => host === 'cdn')).toHaveLength(2);
    expectWhole(world, entry.path);
  });

  test('mends a copy that was damaged, and fetches only what is', async () => {
    await using world = await World.create();
    const { entry } = await pullFromHub(world.reference(), world.settings());
    truncateSync(join(entry.path, WEIGHTS), 1000);
    world.hub.seen.length = 0;
    expect(await pullFromHub(world.reference(), world.settings())).toMatchObject({ fetched: true });
    expect(world.hub.seen.filter(({ path }) => path.includes('/resolve/'))).toHaveLength(1);
    expectWhole(world, entry.path);
  });
});

describe('a download that is cut off', () => {
  /** A fault of the first answer with the weights, once the pull has written down some of them. */
  const onWeights = (world: World, fault: Fault) => (request: Seen, index: number) =>
    request.host === 'cdn' && request.path.endsWith(WEIGHTS) && index === 0
      ? { ...fault, until: () => (sizeOf(partOf(world, WEIGHTS)) ?? 0) > 10_000 }
      : undefined;

  test.each([
    ['by a reset', { after: 100_000, cut: 'reset' }, /trying again/],
    ['by an end that comes too early', { after: 100_000, cut: 'end' }, /it ended after 100,000 bytes of \d+,\d+ bytes/],
    ['by silence', { after: 100_000, cut: 'stall' }, /no more data for 0.4 s/],
  ] as const)('%s goes on where it stopped', async (_, fault, note) => {
    await using world = await World.create();
    world.hub.fault = onWeights(world, fault);
    const { entry } = await pullFromHub(world.reference(), world.settings());
    expectWhole(world, entry.path);
    expect(world.hub.requests(`/${WEIGHTS}`).filter(({ host }) => host === 'cdn')[1]?.range).toMatch(
      /^bytes=\d{5,6}-$/,
    );
    expect(world.notes.join('\n')).toMatch(note);
  });

  test('is gone on with by the next pull', async () => {
    await using world = await World.create();
    world.hub.fault = onWeights(world, { after: 40_000, cut: 'reset' });
    const error = await nudgeError(pullFromHub(world.reference(), world.settings({ retries: 0 })));
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', remedy: expect.stringMatching(/what has arrived is kept/) });
    expect(world.names('models')).toEqual([]);
    const there = readFileSync(partOf(world, WEIGHTS)).length;
    expect(there).toBeGreaterThan(0);
    world.hub.fault = () => undefined;
    world.hub.seen.length = 0;
    const { entry } = await pullFromHub(world.reference(), world.settings());
    expectWhole(world, entry.path);
    expect(world.hub.requests(`/${WEIGHTS}`).map(({ range }) => range)).toEqual([`bytes=${there}-`, `bytes=${there}-`]);
  });

  test('gets on as long as every try brings something', async () => {
    await using world = await World.create();
    world.hub.fault = ({ host }) => (host === 'cdn' ? { after: 32_768, cut: 'end' } : undefined);
    const { entry } = await pullFromHub(world.reference(), world.settings({ retries: 1 }));
    expectWhole(world, entry.path);
  });

  test.each([
    ['knows no ranges', { ignoreRange: true }],
    ['has no such range', { status: 416 }],
  ])('begins again where the server %s', async (_, fault) => {
    await using world = await World.create();
    mkdirSync(join(cacheFolders(world).partial, NAME), { recursive: true });
    writeFileSync(partOf(world, WEIGHTS), world.content(WEIGHTS).subarray(0, 5000));
    world.hub.fault = ({ host, range }) => (host === 'cdn' && range !== undefined ? fault : undefined);
    expectWhole(world, (await pullFromHub(world.reference(), world.settings())).entry.path);
    expect(world.notes).toEqual([]);
    expect(world.events.filter((event) => event.type === 'progress').at(-1)).toMatchObject({
      done: NEEDED.reduce((sum, path) => sum + world.content(path).length, 0),
    });
  });

  test('gives up on a server that never gets further', async () => {
    await using world = await World.create();
    world.hub.fault = ({ host }) => (host === 'cdn' ? { after: 0, cut: 'stall' } : undefined);
    const error = await nudgeError(pullFromHub(world.reference(), world.settings({ idle: 50, retries: 2 })));
    expect(error).toMatchObject({ code: 'DOWNLOAD_FAILED', received: expect.stringContaining('no more data') });
    expect(world.names('models')).toEqual([]);
  });
});

describe('a checksum', () => {
  test('that is wrong once is a reason to fetch again, twice an error; nothing is published', async () => {
    await using world = await World.create();
    world.hub.fault = ({ host, path }, index) =>
      host === 'cdn' && path.endsWith(WEIGHTS) && index === 0 ? { corrupt: true } : undefined;
    expectWhole(world, (await pullFromHub(world.reference(), world.settings())).entry.path);
    expect(world.notes).toContain(`${WEIGHTS}: its checksum is wrong; fetching it again`);

    await using bad = await World.create();
    bad.hub.fault = ({ host }) => (host === 'cdn' ? { corrupt: true } : undefined);
    const error = await nudgeError(pullFromHub(bad.reference(), bad.settings()));
    expect(error.code).toBe('CHECKSUM');
    expect(error.message).toMatch(/expected: sha256 [0-9a-f]{64}\n {2}received: [0-9a-f]{64}\n {2}remedy:/);
    expect(bad.names('models')).toEqual([]);
  });

  test('is looked at for small files too, which have no SHA-256', async () => {
    await using world = await World.create();
    world.hub.fault = ({ path }) =>
      path.endsWith('/resolve/config.json') || path.endsWith('config.json') ? { corrupt: true } : undefined;
    expect(await nudgeError(pullFromHub(world.reference(), world.settings()))).toMatchObject({
      code: 'CHECKSUM',
      expected: expect.stringMatching(/^git-sha1 /),
    });
  });

  test('finds damage in what an earlier pull left', async () => {
    await using world = await World.create();
    mkdirSync(join(cacheFolders(world).partial, NAME), { recursive: true });
    writeFileSync(partOf(world, WEIGHTS), noise(5000, 99));
    expectWhole(world, (await pullFromHub(world.reference(), world.settings())).entry.path);
  });
});

describe('an overloaded hub', () => {
  test.each(['/revision/main', `/tree/${COMMIT}`, '/tokenizer.json'])('is asked again: %s', async (path) => {
    await using world = await World.create();
    world.hub.fault = (request, index) =>
      request.path.endsWith(path) && request.host === 'hub' && index < 2
        ? { status: index === 0 ? 503 : 500 }
        : undefined;
    expectWhole(world, (await pullFromHub(world.reference(), world.settings())).entry.path);
  });

  test('is given the time that it asks for', async () => {
    await using world = await World.create();
    world.hub.fault = ({ path }, index) =>
      path.endsWith('/config.json') && index === 0 ? { status: 429, headers: { 'retry-after': '1' } } : undefined;
    const { entry } = await pullFromHub(world.reference(), world.settings());
    expectWhole(world, entry.path);
    expect(world.notes).toEqual(['config.json: HTTP 429 Too Many Requests; trying again in 1.0 s']);
  });

  test('that asks for too much time, or stays so, is an error', async () => {
    await using world = await World.create();
    world.hub.fault = () => ({ status: 429, headers: { 'retry-after': '3600' } });
    const error = await nudgeError(pullFromHub(world.reference(), world.settings()));
    expect(error).toMatchObject({ code: 'HUB_FAILED', received: 'HTTP 429 Too Many Requests' });
    expect(error.remedy).toMatch(/Wait a few minutes.*HF_TOKEN/);
    world.hub.fault = () => ({ status: 502 });
    expect(await nudgeError(pullFromHub(world.reference(), world.settings()))).toMatchObject({ code: 'HUB_FAILED' });
  });
});

describe('a hostile hub', () => {
  test.each(['../../x.safetensors', '/etc/model.safetensors', 'a/../../b', '..\\..\\x', 'C:\\x', 'a\nb', '', 7])(
    'cannot name a file %j',
    async (path) => {
      await using world = await World.create(
        tinyRepository({ extra: [{ type: 'file', path, size: 3, oid: '0'.repeat(40) }] }),
      );
      const error = await nudgeError(pullFromHub(world.reference(), world.settings()));
      expect(error).toMatchObject({ code: 'HUB_FAILED', expected: 'names of files within the repository' });
      expect(world.hub.seen.some((request) => request.path.includes('/resolve/'))).toBe(false);
      expect(readdirSync(world.dir)).toEqual(['cache']);
    },
  );

  test('cannot send more than it listed', async () => {
    await using world = await World.create(
      tinyRepository({ listed: { 'tokenizer.json': { lfs: { oid: 'a'.repeat(64), size: 100 } } } }),
    );
    expect(await nudgeError(pullFromHub(world.reference(), world.settings()))).toMatchObject({
      received: expect.stringContaining('more than the 100 bytes'),
    });
  });

  test.each([
    ['a size', { size: -1 }],
    ['a size that is no number', { size: 'big' }],
    ['a checksum', { lfs: { oid: '../../x', size: 3 } }],
  ])('cannot make up %s', async (_, entry) => {
    await using world = await World.create(tinyRepository({ listed: { 'config.json': entry } }));
    expect(await nudgeError(pullFromHub(world.reference(), world.settings()))).toMatchObject({ code: 'HUB_FAILED' });
  });

  test('cannot name a commit that is none', async () => {
    await using world = await World.create({ ...tinyRepository(), commit: '../../../x' });
    expect(await nudgeError(pullFromHub(world.reference(), world.settings()))).toMatchObject({
      code: 'HUB_FAILED',
      received: '"../../../x"',
    });
  });

  test('something else in its place is recognised', async () => {
    await using world = await World.create();
    world.hub.fault = () => ({ body: '<html>Please sign in</html>' });
    expect(await nudgeError(pullFromHub(world.reference(), world.settings()))).toMatchObject({
      code: 'HUB_FAILED',
      remedy: expect.stringContaining('HF_ENDPOINT'),
    });
  });
});

describe('the disk', () => {
  test('is looked at before anything is fetched; what is there already counts', async () => {
    await using world = await World.create();
    const error = await nudgeError(pullFromHub(world.reference(), world.settings({}, { freeBytes: () => 10e6 })));
    expect(error).toMatchObject({ code: 'DISK_FULL', expected: '64 MB free', received: '10 MB free' });
    expect(world.hub.seen.some((request) => request.path.includes('/resolve/'))).toBe(false);
  });

  test.skipIf(!existsSync('/dev/full'))('that is full is said to be, and what has arrived is kept', async () => {
    await using world = await World.create();
    const folder = join(cacheFolders(world).partial, NAME);
    mkdirSync(folder, { recursive: true });
    symlinkSync('/dev/full', partOf(world, WEIGHTS));
    const error = await nudgeError(pullFromHub(world.reference(), world.settings()));
    expect(error).toMatchObject({ code: 'DISK_FULL', received: expect.stringContaining('ENOSPC') });
    rmSync(partOf(world, WEIGHTS));
    expectWhole(world, (await pullFromHub(world.reference(), world.settings())).entry.path);
  });

  // Root may write anywhere.
  test.skipIf(process.getuid?.() === 0)(
    'that may not be written to is an error that says so (not as root)',
    async () => {
      await using world = await World.create();
      mkdirSync(world.cache, { mode: 0o500 });
      expect(await nudgeError(pullFromHub(world.reference(), world.settings()))).toMatchObject({ code: 'IO_FAILED' });
    },
  );
});

describe('a token', () => {
  test('goes to the hub and to nobody else, and is in no file and no message', async () => {
    await using world = await World.create(tinyRepository({ pagesElsewhere: true }));
    world.env.HF_TOKEN = FakeHub.token;
    world.hub.fault = ({ path }, index) => (path.endsWith('/config.json') && index === 0 ? { status: 503 } : undefined);
    const { entry } = await pullFromHub(world.reference(), world.settings());
    for (const { host, authorization } of world.hub.seen) {
      expect(authorization).toBe(host === 'hub' ? `Bearer ${FakeHub.token}` : undefined);
    }
    const elsewhere = world.hub.seen.filter(({ host }) => host === 'cdn').map(({ path }) => path);
    expect(elsewhere).toEqual(expect.arrayContaining([`/api/models/${ID}/tree/${COMMIT}`, `/${ID}/${WEIGHTS}`]));
    expect(readFileSync(join(entry.path, MANIFEST), 'utf8')).not.toContain(FakeHub.token);
    expect(JSON.stringify(world.events)).not.toContain(FakeHub.token);
  });
});
