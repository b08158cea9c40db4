/** Against files of the Python library (scripts/golden/safetensors_files.py). */

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { SAFETENSORS_DTYPES, type SafetensorsDtype, safetensorsDtype, torchDtype } from './format.ts';
import type { RawTensor } from './layout.ts';
import { openSafetensors } from './reader.ts';
import { GOLDEN, type GoldenTensor, goldenFiles, temporaryDirectory } from './testing.ts';
import { writeSafetensors } from './write.ts';

const files = await goldenFiles();
const singles = Object.entries(files).filter(([name]) => name !== 'sharded');

describe.each(singles)('%s.safetensors', (name, { metadata, tensors }) => {
  const path = join(GOLDEN, `${name}.safetensors`);

  it('is read as Python wrote it', async () => {
    await using model = await openSafetensors(path);
    expect(new Set(model.names)).toEqual(new Set(tensors.map((tensor) => tensor.name)));
    expect(model.metadata).toEqual(new Map(Object.entries(metadata)));
    for (const tensor of tensors) {
      const { dtype, shape } = model.info(tensor.name);
      expect(torchDtype(dtype)).toBe(tensor.torch);
      expect(shape).toEqual(tensor.shape);
      expect(Buffer.from(await model.read(tensor.name)).toString('hex')).toBe(tensor.hex);
    }
  });

  it('is written byte for byte as Python wrote it, whatever the order of the tensors', async () => {
    await using directory = await temporaryDirectory();
    const expected = await readFile(path);
    for (const ordered of [tensors, tensors.toReversed()]) {
      const target = join(directory.path, 'model.safetensors');
      const options = Object.keys(metadata).length > 0 ? { metadata } : {};
      await writeSafetensors(target, ordered.map(rawOf), { ...options, overwrite: true });
      expect(await readFile(target)).toEqual(expected);
    }
  });
});

describe('the golden files', () => {
  it('hold every dtype that PyTorch has an element type for', () => {
    const covered = files.dtypes?.tensors.map((tensor) => safetensorsDtype(tensor.torch));
    expect(new Set(covered)).toEqual(new Set(SAFETENSORS_DTYPES.filter((dtype) => torchDtype(dtype) !== null)));
  });

  it('hold a sharded model, which is read as one and written as transformers writes it', async () => {
    const { tensors, metadata } = files.sharded ?? expect.fail('no golden file');
    await using model = await openSafetensors(join(GOLDEN, 'sharded'));
    expect(new Set(model.names)).toEqual(new Set(tensors.map((tensor) => tensor.name)));
    for (const tensor of tensors) {
      expect(Buffer.from(await model.read(tensor.name)).toString('hex')).toBe(tensor.hex);
    }
    await using directory = await temporaryDirectory();
    const options = { metadata, maxShardBytes: 32 };
    const paths = await writeSafetensors(join(directory.path, 'model.safetensors'), tensors.map(rawOf), options);
    expect(paths).toHaveLength(3);
    for (const path of paths) {
      expect(await readFile(path)).toEqual(await readFile(path.replace(directory.path, join(GOLDEN, 'sharded'))));
    }
  });
});

describe('headers and raw bytes', () => {
  it('are read where libtorch is absent', async () => {
    const script = `
      import { registerHooks } from 'node:module';
      registerHooks({
        resolve(specifier, context, next) {
          if (specifier.endsWith('tensor/index.ts')) throw new Error('libtorch is not here');
          return next(specifier, context);
        },
      });
      const { openSafetensors } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      await using model = await openSafetensors(${JSON.stringify(join(GOLDEN, 'dtypes.safetensors'))});
      console.log((await model.read('int64')).length);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout).toBe('48\n');
  });
});

function rawOf({ name, torch, shape, hex }: GoldenTensor): [string, RawTensor] {
  return [name, { dtype: safetensorsDtype(torch) as SafetensorsDtype, shape, bytes: Buffer.from(hex, 'hex') }];
}
