import { chmod, mkdir, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { layOut, planTensors, type RawTensor, splitIntoShards } from './layout.ts';
import { openSafetensors } from './reader.ts';
import { nudgeError, rawTensor, temporaryDirectory } from './testing.ts';
import { writeSafetensors } from './write.ts';

const tensors = (count: number, size = 100): [string, RawTensor][] =>
  Array.from({ length: count }, (_, i) => [`layers.${i}`, rawTensor('U8', [size], size, i)]);

/** Every tensor of a model, by name, as hexadecimal text. */
async function contents(path: string): Promise<Map<string, string>> {
  await using model = await openSafetensors(path);
  const read = async (name: string) => [name, Buffer.from(await model.read(name)).toString('hex')] as const;
  return new Map(await Promise.all(model.names.map(read)));
}

const expected = (entries: readonly (readonly [string, RawTensor])[]) =>
  new Map(entries.map(([name, { bytes }]) => [name, Buffer.from(bytes as Uint8Array).toString('hex')]));

afterEach(() => vi.restoreAllMocks());

describe('the layout', () => {
  const names = (list: [string, RawTensor][]) => layOut(planTensors(list), null).tensors.map(({ name }) => name);

  it('puts wide dtypes first and sorts names by their UTF-8 bytes, not their UTF-16 units', () => {
    expect(
      names([
        ['b', rawTensor('U8', [], 1)],
        ['a', rawTensor('U8', [], 1)],
        ['z', rawTensor('F32', [], 4)],
      ]),
    ).toEqual(['z', 'a', 'b']);
    const hard = ['\uffff', '\u{1f600}', 'é', 'Z'].map((name): [string, RawTensor] => [name, rawTensor('U8', [], 1)]);
    expect(names(hard)).toEqual(['Z', 'é', '\uffff', '\u{1f600}']);
  });

  it('begins the data at a multiple of eight', () => {
    for (let length = 1; length <= 16; length++) {
      const { header } = layOut(planTensors([['x'.repeat(length), rawTensor('U8', [], 1)]]), null);
      expect(header.length % 8).toBe(0);
      expect(Number(Buffer.from(header).readBigUInt64LE())).toBe(header.length - 8);
    }
  });

  it('sorts metadata, so that equal models are equal files', () => {
    const header = (entries: [string, string][]) =>
      Buffer.from(layOut([], new Map(entries)).header.subarray(8))
        .toString()
        .trim();
    expect(
      header([
        ['b', '1'],
        ['a', '2'],
        ['__proto__', '3'],
      ]),
    ).toBe('{"__metadata__":{"__proto__":"3","a":"2","b":"1"}}');
  });

  it('closes a shard when the next tensor does not fit, and gives a larger tensor its own', () => {
    const sizes = [60, 40, 1, 200, 99, 0];
    const planned = planTensors(sizes.map((size, i) => [String(i), rawTensor('U8', [size], size)]));
    const shards = splitIntoShards(planned, 100).map((shard) => shard.map(({ size }) => size));
    // The order is huggingface_hub's: a tensor that is too large goes out before the shard that is being filled.
    expect(shards).toEqual([[60, 40], [200], [1, 99, 0]]);
    expect(splitIntoShards([], 100)).toEqual([[]]);
  });
});

describe('what cannot be saved', () => {
  const bytes = new Uint8Array(4);
  it.each([
    ['the name of the metadata', [['__metadata__', { dtype: 'F32', shape: [], bytes }]], /key of the metadata/],
    ['a name with half a surrogate pair', [['a\ud800', { dtype: 'F32', shape: [], bytes }]], /half a surrogate pair/],
    [
      'a name twice',
      [
        ['a', rawTensor('U8', [], 1)],
        ['a', rawTensor('U8', [], 1)],
      ],
      /this name twice/,
    ],
    ['an unknown dtype', [['a', { dtype: 'float32', shape: [], bytes }]], /expected: BOOL.*received: float32/s],
    ['a negative dimension', [['a', { dtype: 'F32', shape: [-1], bytes }]], /received: \[-1\]/],
    ['a fractional dimension', [['a', { dtype: 'F32', shape: [0.5], bytes }]], /received: \[0\.5\]/],
    ['a shape that overflows', [['a', { dtype: 'F32', shape: [2 ** 50, 2 ** 50], bytes }]], /its size overflows/],
    [
      'data that is too short',
      [['a', { dtype: 'F32', shape: [2], bytes }]],
      /8 bytes for F32 of shape \[2\].*received: 4 bytes/s,
    ],
  ] as [string, [string, RawTensor][], RegExp][])('%s', async (_, entries, message) => {
    await using directory = await temporaryDirectory();
    const error = await nudgeError(writeSafetensors(join(directory.path, 'model.safetensors'), entries));
    expect(error.code).toBe('BAD_ARGUMENT');
    expect(error.message).toMatch(message);
    expect(await readdir(directory.path)).toEqual([]);
  });

  it.each([
    ['a path of another kind', 'model.bin', {}, /ends in \.safetensors.*received: "model\.bin"/s],
    ['a path without a name', '.safetensors', {}, /ends in \.safetensors/],
    ['metadata that is no string', 'a.safetensors', { metadata: { step: 3 } }, /"step".*a value of type number/s],
    ['metadata with half a surrogate pair', 'a.safetensors', { metadata: { a: '\udc00' } }, /half a surrogate pair/],
    ['shards of no size', 'a.safetensors', { maxShardBytes: 0 }, /a positive integer, in bytes.*received: 0/s],
    ['shards of a fractional size', 'a.safetensors', { maxShardBytes: 1.5 }, /received: 1\.5/],
  ])('%s', async (_, name, options, message) => {
    await using directory = await temporaryDirectory();
    const saving = writeSafetensors(join(directory.path, name), tensors(1), options as object);
    const error = await nudgeError(saving);
    expect(error.code).toBe('BAD_ARGUMENT');
    expect(error.message).toMatch(message);
    expect(await readdir(directory.path)).toEqual([]);
  });

  it('a header over 100 MB', async () => {
    await using directory = await temporaryDirectory();
    const saving = writeSafetensors(join(directory.path, 'a.safetensors'), [], {
      metadata: { a: 'x'.repeat(100_000_000) },
    });
    const error = await nudgeError(saving);
    expect(error.code).toBe('BAD_ARGUMENT');
    expect(error.message).toMatch(/at most 100,000,000 bytes/);
  });
});

describe('one file', () => {
  it('asks for one tensor at a time', async () => {
    await using directory = await temporaryDirectory();
    const asked: string[] = [];
    const lazy = tensors(3).map(([name, tensor]): [string, RawTensor] => [
      name,
      { ...tensor, bytes: () => Promise.resolve(asked.push(name)).then(() => tensor.bytes as Uint8Array) },
    ]);
    const path = join(directory.path, 'model.safetensors');
    expect(await writeSafetensors(path, lazy)).toEqual([path]);
    expect(asked).toEqual(['layers.0', 'layers.1', 'layers.2']);
    expect(await contents(path)).toEqual(expected(tensors(3)));
    expect(await readdir(directory.path)).toEqual(['model.safetensors']);
  });

  it('is not replaced without overwrite, in any of its forms', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    for (const name of ['model.safetensors', 'model.safetensors.index.json', 'model-00001-of-00002.safetensors']) {
      await writeFile(join(directory.path, name), 'precious');
      const error = await nudgeError(writeSafetensors(path, tensors(1)));
      expect(error.code).toBe('FILE_EXISTS');
      expect(error.path).toContain(name);
      expect(await readFile(join(directory.path, name), 'utf8')).toBe('precious');
      await rm(join(directory.path, name));
    }
    expect(await readdir(directory.path)).toEqual([]);
  });

  it('is not replaced when it appears while another is written', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    const late = { ...rawTensor('U8', [1], 1), bytes: () => writeFile(path, 'precious').then(() => Uint8Array.of(1)) };
    expect((await nudgeError(writeSafetensors(path, [['a', late]]))).code).toBe('FILE_EXISTS');
    expect(await readFile(path, 'utf8')).toBe('precious');
    expect(await readdir(directory.path)).toEqual(['model.safetensors']);
  });

  it('replaces a link, not what it points to', async () => {
    await using directory = await temporaryDirectory();
    const [path, blob] = [join(directory.path, 'model.safetensors'), join(directory.path, 'blob')];
    await writeFile(blob, 'shared with other models');
    await symlink(blob, path);
    await writeSafetensors(path, tensors(1), { overwrite: true });
    expect(await readFile(blob, 'utf8')).toBe('shared with other models');
    expect(await contents(path)).toEqual(expected(tensors(1)));
  });
});

describe('a failure', () => {
  /** A model at `path`, and a check that it is all there is. */
  async function withOld(run: (path: string) => Promise<void>) {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    await writeSafetensors(path, tensors(2));
    await run(path);
    expect(await contents(path)).toEqual(expected(tensors(2)));
    expect(await readdir(directory.path)).toEqual(['model.safetensors']);
  }

  it('of the data leaves the old file, no temporary one, and its own error', async () => {
    await withOld(async (path) => {
      const failing: RawTensor = {
        dtype: 'U8',
        shape: [1],
        bytes: () => Promise.reject(new RangeError('out of memory')),
      };
      const saving = writeSafetensors(
        path,
        [
          ['a', rawTensor('F32', [], 4)],
          ['b', failing],
        ],
        { overwrite: true },
      );
      await expect(saving).rejects.toThrow(new RangeError('out of memory'));
    });
  });

  it.each(['write', 'sync'] as const)('of the disk in %s leaves the old file and no temporary one', async (method) => {
    await withOld(async (path) => {
      const handle = await open(path);
      const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      vi.spyOn(Object.getPrototypeOf(handle), method).mockRejectedValue(full);
      await handle.close();
      const error = await nudgeError(writeSafetensors(path, tensors(3), { overwrite: true }));
      expect(error.code).toBe('IO_FAILED');
      expect(error.path).toBe(path);
      expect(error.message).toMatch(/Nothing was replaced.*no space left.*Free space on the disk/s);
      vi.restoreAllMocks();
    });
  });

  it('of the directory is named', async () => {
    await using directory = await temporaryDirectory();
    const missing = await nudgeError(writeSafetensors(join(directory.path, 'gone/model.safetensors'), tensors(1)));
    expect(missing.message).toMatch(/ENOENT.*create the directory first/s);
    await mkdir(join(directory.path, 'model.safetensors'));
    const taken = await nudgeError(
      writeSafetensors(join(directory.path, 'model.safetensors'), tensors(1), { overwrite: true }),
    );
    expect(taken.message).toMatch(/A directory is where the file should go/);
  });

  it.skipIf(process.getuid?.() === 0)('of permissions is named (skipped as root, who may write anywhere)', async () => {
    await using directory = await temporaryDirectory();
    await chmod(directory.path, 0o500);
    const error = await nudgeError(writeSafetensors(join(directory.path, 'model.safetensors'), tensors(1)));
    expect(error.message).toMatch(/EACCES.*Check the permissions/s);
  });
});

describe('shards', () => {
  it('are written with an index, and as one file when everything fits', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    const paths = await writeSafetensors(path, tensors(5), { maxShardBytes: 250, metadata: { format: 'pt' } });
    const names = [1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`);
    expect(paths).toEqual([...names, 'model.safetensors.index.json'].map((name) => join(directory.path, name)));
    expect((await readdir(directory.path)).sort()).toEqual([...names, 'model.safetensors.index.json'].sort());
    expect(await contents(directory.path)).toEqual(expected(tensors(5)));
    const index = JSON.parse(await readFile(paths.at(-1) ?? '', 'utf8'));
    expect(index.metadata).toEqual({ total_size: 500 });
    expect(index.weight_map['layers.2']).toBe(names[1]);
    expect(
      await writeSafetensors(join(directory.path, 'small.safetensors'), tensors(2), { maxShardBytes: 250 }),
    ).toHaveLength(1);
  });

  it('replace shards of another count and a single file, and the other way round', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    for (const [count, maxShardBytes] of [
      [5, 100],
      [4, 200],
      [3, 10_000],
      [6, 200],
      [2, 10_000],
    ] as const) {
      const paths = await writeSafetensors(path, tensors(count), { maxShardBytes, overwrite: true });
      expect((await readdir(directory.path)).map((name) => join(directory.path, name)).sort()).toEqual(paths.sort());
      expect(await contents(directory.path)).toEqual(expected(tensors(count)));
    }
  });

  it('leave files of other models alone', async () => {
    await using directory = await temporaryDirectory();
    const others = [
      'model-best.safetensors',
      'model-00001-of-00002.safetensors.bak',
      'other-00001-of-00002.safetensors',
      'xmodel.safetensors',
    ];
    for (const name of others) await writeFile(join(directory.path, name), '');
    await writeSafetensors(join(directory.path, 'model.safetensors'), tensors(4), { maxShardBytes: 200 });
    await writeSafetensors(join(directory.path, 'model.safetensors'), tensors(1), { overwrite: true });
    expect((await readdir(directory.path)).sort()).toEqual([...others, 'model.safetensors'].sort());
  });

  it('are all or none when one of them cannot be written', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    const bad: RawTensor = { dtype: 'U8', shape: [100], bytes: () => new Uint8Array(1) };
    await nudgeError(writeSafetensors(path, [...tensors(3), ['bad', bad]], { maxShardBytes: 100 }));
    expect(await readdir(directory.path)).toEqual([]);
    // A shard's name is taken between the first look and the end.
    const taken = join(directory.path, 'model-00003-of-00003.safetensors');
    const late: RawTensor = {
      dtype: 'U8',
      shape: [100],
      bytes: () => writeFile(taken, 'precious').then(() => new Uint8Array(100)),
    };
    const error = await nudgeError(writeSafetensors(path, [...tensors(2), ['late', late]], { maxShardBytes: 100 }));
    expect(error.code).toBe('FILE_EXISTS');
    expect(await readdir(directory.path)).toEqual(['model-00003-of-00003.safetensors']);
    expect((await stat(taken)).size).toBe('precious'.length);
  });
});
