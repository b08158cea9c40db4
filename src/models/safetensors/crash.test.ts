/**
 * A crash before each single change that a save makes to a directory, one after another: no state that it can freeze may
 * open as anything but the whole old model or the whole new one.
 */

import { link, readdir, readFile, type rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { NudgeError } from '../../errors.ts';
import type { RawTensor } from './layout.ts';
import { openSafetensors } from './reader.ts';
import { temporaryDirectory } from './testing.ts';
import { type SaveOptions, writeSafetensors } from './write.ts';

// Changes still allowed; after that the "machine is down" and every change fails, those that tidy up included.
const machine = vi.hoisted(() => ({ changesLeft: Number.POSITIVE_INFINITY }));

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>();
  const guarded = <F extends typeof rename | typeof link | typeof rm>(change: F) =>
    vi.fn((...args: Parameters<F>) => {
      if (machine.changesLeft-- <= 0) return Promise.reject(new Error('the machine is down'));
      return (change as (...args: Parameters<F>) => Promise<void>)(...args);
    });
  return { ...real, rename: guarded(real.rename), link: guarded(real.link), rm: guarded(real.rm) };
});

type Form = Pick<SaveOptions, 'maxShardBytes'>;
const SINGLE: Form = {};
const SHARDS_OF_2: Form = { maxShardBytes: 2 };
const SHARDS_OF_1: Form = { maxShardBytes: 1 };

const NAMES = ['a', 'b', 'c', 'd'];
/** Every byte of a version is its number, so that a mixture shows. */
const version = (number: number): [string, RawTensor][] =>
  NAMES.map((name) => [name, { dtype: 'U8', shape: [1], bytes: Uint8Array.of(number) }]);

/** The version that a directory holds; "none" when it refuses to open. */
async function versionIn(directory: string): Promise<number | 'none'> {
  try {
    await using model = await openSafetensors(directory);
    expect([...model.names].sort()).toEqual(NAMES);
    const numbers = await Promise.all(NAMES.map(async (name) => (await model.read(name))[0]));
    expect(new Set(numbers).size).toBe(1);
    return numbers[0] as number;
  } catch (error) {
    if (error instanceof NudgeError) return 'none';
    throw error;
  }
}

/** Saves version 1 (in `before`, if any) and then 2, with a crash before change `changes`; what is there afterwards. */
async function crashAt(changes: number, before: Form | null, after: Form) {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'model.safetensors');
  if (before !== null) await writeSafetensors(path, version(1), before);
  machine.changesLeft = changes;
  const saved = await writeSafetensors(path, version(2), { ...after, overwrite: before !== null }).then(
    () => true,
    () => false,
  );
  machine.changesLeft = Number.POSITIVE_INFINITY;
  const found = await versionIn(directory.path);
  // The next save must cope with whatever the crash left.
  await writeSafetensors(path, version(3), { ...after, overwrite: true });
  expect(await versionIn(directory.path)).toBe(3);
  expect((await readdir(directory.path)).filter((name) => !name.endsWith('.tmp')).length).toBe(filesOf(after));
  return { saved, found };
}

const filesOf = ({ maxShardBytes }: Form) => (maxShardBytes === undefined ? 1 : NAMES.length / maxShardBytes + 1);

describe.each([
  ['a file over a file', SINGLE, SINGLE],
  ['shards over a file', SINGLE, SHARDS_OF_2],
  ['a file over shards', SHARDS_OF_2, SINGLE],
  ['shards over as many', SHARDS_OF_2, SHARDS_OF_2],
  ['shards over fewer', SHARDS_OF_2, SHARDS_OF_1],
  ['shards over more', SHARDS_OF_1, SHARDS_OF_2],
  ['a new file', null, SINGLE],
  ['new shards', null, SHARDS_OF_2],
])('a crash while saving %s', (_, before, after) => {
  it('leaves the old model, the new one or none, at every step', async () => {
    const outcomes: (number | 'none')[] = [];
    for (let changes = 0; ; changes++) {
      const { saved, found } = await crashAt(changes, before, after);
      outcomes.push(found);
      if (saved) break;
    }
    expect(outcomes.length).toBeGreaterThan(1);
    expect(outcomes[0]).toBe(before === null ? 'none' : 1);
    expect(outcomes.at(-1)).toBe(2);
    // Old, then none, then new: never back, and never a mixture (versionIn fails on one).
    const order = outcomes.map((found) => (found === 1 ? 0 : found === 'none' ? 1 : 2));
    expect(order).toEqual(order.toSorted());
  });

  it('never loses the old model while one of the two is a single file', async () => {
    if (before === null || (before !== SINGLE && after !== SINGLE)) return;
    for (let changes = 0; ; changes++) {
      const { saved, found } = await crashAt(changes, before, after);
      expect(found).not.toBe('none');
      if (saved) break;
    }
  });
});

describe('a file system without links', () => {
  it('is written to all the same, and still not over a file', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    const unsupported = Object.assign(new Error('EPERM: operation not permitted, link'), { code: 'EPERM' });
    vi.mocked(link).mockRejectedValueOnce(unsupported);
    await writeSafetensors(path, version(1));
    expect(await readdir(directory.path)).toEqual(['model.safetensors']);
    expect(await versionIn(directory.path)).toBe(1);

    await rm(path);
    vi.mocked(link).mockRejectedValueOnce(unsupported);
    const late: RawTensor = {
      dtype: 'U8',
      shape: [1],
      bytes: () => writeFile(path, 'precious').then(() => Uint8Array.of(1)),
    };
    await expect(writeSafetensors(path, [['a', late]])).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    expect(await readFile(path, 'utf8')).toBe('precious');
  });
});
