/** The parts that need libtorch: tensors in and out. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type DType, type Tensor, torch } from '../../tensor/index.ts';
import { loadSafetensors } from './load.ts';
import { openSafetensors } from './reader.ts';
import { saveSafetensors } from './save.ts';
import { GOLDEN, goldenFiles, nudgeError, rawTensor, temporaryDirectory } from './testing.ts';
import { writeSafetensors } from './write.ts';

const hex = (tensor: Tensor) => Buffer.from(tensor.bytes()).toString('hex');
const files = await goldenFiles();

describe.each(Object.keys(files))('the golden file %s', (name) => {
  const golden = files[name] ?? expect.fail('no such file');
  const path = join(GOLDEN, name === 'sharded' ? name : `${name}.safetensors`);

  it('loads as the tensors that Python saved', async () => {
    const tensors = await loadSafetensors(path);
    expect(tensors.size).toBe(golden.tensors.length);
    for (const expected of golden.tensors) {
      const tensor = tensors.get(expected.name) ?? expect.fail(`no ${expected.name}`);
      expect(tensor.dtype).toBe(expected.torch);
      expect(tensor.shape).toEqual(expected.shape);
      expect(hex(tensor)).toBe(expected.hex);
    }
  });

  it.skipIf(name === 'sharded')('is saved byte for byte again', async () => {
    await using directory = await temporaryDirectory();
    const copy = join(directory.path, 'model.safetensors');
    const metadata = Object.keys(golden.metadata).length > 0 ? { metadata: golden.metadata } : {};
    await saveSafetensors(copy, await loadSafetensors(path), metadata);
    expect(await readFile(copy)).toEqual(await readFile(path));
  });
});

describe('loadSafetensors', () => {
  const path = join(GOLDEN, 'dtypes.safetensors');

  it('takes the tensors named, or those a filter keeps, or both', async () => {
    const named = await loadSafetensors(path, { names: ['int64', 'float32', 'int64'] });
    expect([...named.keys()]).toEqual(['int64', 'float32']);
    const wide = await loadSafetensors(path, { filter: ({ dtype }) => dtype.endsWith('64') });
    expect([...wide.keys()].sort()).toEqual(['complex64', 'float64', 'int64', 'uint64']);
    const both = await loadSafetensors(path, { names: ['int64', 'bool'], filter: ({ dtype }) => dtype !== 'BOOL' });
    expect([...both.keys()]).toEqual(['int64']);
    const error = await nudgeError(loadSafetensors(path, { names: ['int64', 'float33'] }));
    expect(error.message).toMatch(/no such tensor.*tensor "float33"/s);
  });

  it('changes the precision of floating-point tensors only', async () => {
    const tensors = await loadSafetensors(path, { dtype: 'float64' });
    const dtypes = Array.from(tensors, ([name, tensor]) => [name, tensor.dtype]);
    for (const [name, dtype] of dtypes) expect(dtype).toBe(/^b?float/.test(name ?? '') ? 'float64' : name);
    const stored = await loadSafetensors(path);
    for (const [name, tensor] of stored) {
      if (name.includes('float16')) expect(tensors.get(name)?.tolist()).toEqual(tensor.tolist());
    }
  });

  it('converts tensors of any size and none, one after another, through one staging tensor', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'model.safetensors');
    const values = {
      big: torch.arange(100_000, { dtype: 'float32' }),
      empty: torch.zeros([0, 3]),
      small: torch.tensor([0.5, -2]),
      scalar: torch.tensor(3),
    };
    await saveSafetensors(file, values);
    const loaded = await loadSafetensors(file, { dtype: 'float64' });
    for (const [name, tensor] of Object.entries(values)) {
      expect(loaded.get(name)?.shape).toEqual(tensor.shape);
      expect(loaded.get(name)?.tolist()).toEqual(tensor.tolist());
    }
  });

  it('makes tensors of their own: neither the file nor the next load sees a change', async () => {
    for (const options of [{}, { dtype: 'float64' as DType }]) {
      const [first, second] = [await loadSafetensors(path, options), await loadSafetensors(path, options)];
      first.get('float32')?.zero_();
      expect(second.get('float32')?.any().item()).toBe(true);
    }
  });

  it('leaves no tensor behind when it fails in the middle', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'model.safetensors');
    await writeSafetensors(file, [
      ['wide', rawTensor('F64', [1000], 8000)],
      ['packed', rawTensor('F4', [16], 8)],
    ]);
    for (const options of [{}, { dtype: 'float32' as DType }]) {
      const before = torch.memory();
      const error = await nudgeError(loadSafetensors(file, options));
      expect(error.code).toBe('DTYPE_MISMATCH');
      expect(error.message).toMatch(/tensor "packed".*received: F4/s);
      expect(torch.memory()).toEqual(before);
    }
  });

  it.skipIf(!torch.isAvailable('cuda'))('puts tensors on the GPU (skipped where there is none)', async () => {
    const loaded = await loadSafetensors(path, {
      device: 'cuda',
      filter: ({ dtype }) => dtype === 'F32' || dtype === 'I64',
    });
    for (const tensor of loaded.values()) expect(tensor.device).toMatch(/^cuda/);
    const stored = await loadSafetensors(path, { names: ['float32'] });
    expect(loaded.get('float32')?.tolist()).toEqual(stored.get('float32')?.tolist());
  });
});

describe('SafetensorsReader.tensor', () => {
  it('reads one tensor in the dtype asked for', async () => {
    await using model = await openSafetensors(join(GOLDEN, 'values.safetensors'));
    const exact = await model.tensor('integers.int64');
    expect(exact.data()).toEqual(BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n, -1n));
    const converted = await model.tensor('floats.bfloat16', { dtype: 'float32' });
    expect(converted.dtype).toBe('float32');
    // 3.4e38 is nearer to infinity than to the largest bfloat16, 5e-324 nearer to 0 than to the smallest.
    expect(converted.tolist()).toEqual([0, -0, Infinity, -Infinity, Number.NaN, 1, 0, Infinity]);
  });
});

describe('saveSafetensors', () => {
  it('stores views and transposed tensors as what they show', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    const matrix = torch.arange(6, { dtype: 'float32' }).view([2, 3]);
    const views = { transposed: matrix.t(), row: matrix.at(1), expanded: torch.tensor([1, 2]).expand([3, 2]) };
    await saveSafetensors(path, new Map(Object.entries(views)));
    const loaded = await loadSafetensors(path);
    for (const [name, view] of Object.entries(views)) expect(loaded.get(name)?.tolist()).toEqual(view.tolist());
  });

  it('stores parameters, which take part in autograd', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    await saveSafetensors(path, { weight: torch.tensor([1, 2], { requiresGrad: true }) });
    expect((await loadSafetensors(path)).get('weight')?.requiresGrad).toBe(false);
  });

  it('splits into shards that load as one model', async () => {
    await using directory = await temporaryDirectory();
    const tensors = Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`layers.${i}`, torch.full([10], i)]));
    const paths = await saveSafetensors(join(directory.path, 'model.safetensors'), tensors, { maxShardBytes: 80 });
    expect(paths).toHaveLength(4);
    const loaded = await loadSafetensors(directory.path);
    for (const [name, tensor] of Object.entries(tensors)) expect(loaded.get(name)?.tolist()).toEqual(tensor.tolist());
  });

  it('refuses a dtype that the format lacks, and leaves nothing behind', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    const error = await nudgeError(saveSafetensors(path, { z: torch.zeros([1], { dtype: 'complex128' }) }));
    expect(error.code).toBe('DTYPE_MISMATCH');
    expect(error.message).toMatch(/"z".*received: complex128/s);
    expect(await readdir(directory.path)).toEqual([]);
  });
});
