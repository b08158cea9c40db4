/** Against files of Python's gguf (scripts/golden/gguf_files.py), and split models. No libtorch. */

import { execFile } from 'node:child_process';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ggufBoolean, ggufCount, ggufNumber, ggufNumbers, ggufString, ggufStrings, required } from './metadata.ts';
import { openGguf } from './reader.ts';
import { GOLDEN, goldenTensors, nudgeError, temporaryDirectory } from './testing.ts';

const VALUES = join(GOLDEN, 'values.gguf');
const part = (i: number) => `split-0000${i}-of-00003.gguf`;

describe('values.gguf', () => {
  it('has the metadata that Python wrote, with its types', async () => {
    await using model = await openGguf(VALUES);
    const scalars = Array.from(model.metadata.values(), (entry) =>
      entry.type === 'array' ? [] : [entry.type, entry.value],
    );
    expect(scalars.filter((entry) => entry.length > 0)).toEqual([
      ['string', 'llama'],
      ['uint8', 255],
      ['int8', -128],
      ['uint16', 65_535],
      ['int16', -32_768],
      ['uint32', 4_294_967_295],
      ['int32', -2_147_483_648],
      ['uint64', 18_446_744_073_709_551_615n],
      ['int64', -9_223_372_036_854_775_808n],
      ['float32', Math.fround(1e-5)],
      ['float64', 0.1],
      ['bool', true],
      ['string', 'é\u2028\u{1f600} \ufffd\0 "\''],
    ]);
    const array = (key: string) => model.metadata.get(`test.${key}`);
    expect(array('strings')).toEqual({
      type: 'array',
      of: 'string',
      value: ['', 'a', '\ufeffb', '\ufffd', '__proto__'],
    });
    expect(array('integers')).toEqual({ type: 'array', of: 'int32', value: Int32Array.of(1, -2, 3) });
    expect(array('floats')).toEqual({ type: 'array', of: 'float32', value: Float32Array.of(0.5, -1.25) });
    expect(array('booleans')).toEqual({ type: 'array', of: 'bool', value: Uint8Array.of(1, 0) });
    expect(array('bytes')).toEqual({ type: 'array', of: 'uint8', value: Uint8Array.of(0, 255) });
    const strings = (...value: string[]) => ({ type: 'array', of: 'string', value });
    expect(array('nested')).toEqual({ type: 'array', of: 'array', value: [strings('a', 'b'), strings('c')] });
  });

  it('has the tensors that Python wrote', async () => {
    await using model = await openGguf(VALUES);
    const expected = await goldenTensors('values.gguf');
    expect([...model.tensors.keys()]).toEqual(expected.map(({ name }) => name));
    for (const { name, type, shape, bytes } of expected) {
      expect(model.info(name)).toMatchObject({ type, shape });
      expect(new Uint8Array(await model.read(name))).toEqual(bytes);
    }
  });

  it('is read with another alignment', async () => {
    await using model = await openGguf(join(GOLDEN, 'aligned.gguf'));
    for (const { name, bytes } of await goldenTensors('aligned.gguf')) {
      expect(model.info(name).begin % 64).toBe(0);
      expect(new Uint8Array(await model.read(name))).toEqual(bytes);
    }
  });
});

describe('an open model', () => {
  it('refuses what is not there, and reads after it was closed', async () => {
    const model = await openGguf(VALUES);
    expect((await nudgeError(model.read('x'))).message).toMatch(/no such tensor.*one of its 18 tensors: "t.float32"/s);
    const range = await nudgeError(model.readInto('t.float32', 20, new Uint8Array(8)));
    expect(range.message).toMatch(/range within 24 bytes.*\[20, 28\)/s);
    await model.close();
    await model.close();
    expect((await nudgeError(model.read('t.float32'))).message).toMatch(/is closed/);
  });

  it('needs no libtorch for metadata and bytes', async () => {
    const script = `
      import { registerHooks } from 'node:module';
      registerHooks({
        resolve(specifier, context, next) {
          if (specifier.endsWith('tensor/index.ts')) throw new Error('libtorch is not here');
          return next(specifier, context);
        },
      });
      const { openGguf } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      await using model = await openGguf(${JSON.stringify(VALUES)});
      console.log((await model.read('t.int64')).length);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout).toBe('48\n');
  });
});

describe('accessors of metadata', () => {
  it('check what they find', async () => {
    await using model = await openGguf(VALUES);
    const { metadata } = model;
    expect(ggufString(metadata, 'general.architecture')).toBe('llama');
    expect(ggufNumber(metadata, 'test.int8')).toBe(-128);
    expect(ggufCount(metadata, 'test.uint32')).toBe(4_294_967_295);
    expect(ggufBoolean(metadata, 'test.bool')).toBe(true);
    expect(ggufStrings(metadata, 'test.strings')).toHaveLength(5);
    expect(Array.from(ggufNumbers(metadata, 'test.integers') ?? [])).toEqual([1, -2, 3]);
    for (const get of [ggufString, ggufNumber, ggufCount, ggufBoolean, ggufStrings, ggufNumbers]) {
      expect(get(metadata, 'absent')).toBeUndefined();
      expect(() => get(metadata, 'test.nested')).toThrow(/wrong type.*test\.nested.*array of array, 2 elements/s);
    }
    expect(() => ggufNumber(metadata, 'test.uint64')).toThrow(/a number.*uint64, "18446744073709551615"/s);
    expect(() => ggufCount(metadata, 'test.int8')).toThrow(/a whole number/);
    expect(() => required(metadata, 'absent', ggufCount)).toThrow(/incomplete.*absent/s);
  });
});

describe('a split model', () => {
  it.each([1, 2, 3])('is opened by part %i as one', async (i) => {
    await using model = await openGguf(join(GOLDEN, part(i)));
    expect(ggufString(model.metadata, 'general.name')).toBe('split');
    expect([...model.tensors.keys()]).toEqual(Array.from({ length: 5 }, (_, n) => `blk.${n}.attn_norm.weight`));
    for (let n = 0; n < 5; n++) {
      const bytes = new Uint8Array(await model.read(`blk.${n}.attn_norm.weight`));
      expect([...new Float32Array(bytes.buffer)]).toEqual([n, n, n, n]);
    }
  });

  async function damaged(change: (directory: string) => Promise<unknown>, open = part(1)): Promise<string> {
    await using directory = await temporaryDirectory();
    for (const i of [1, 2, 3]) await copyFile(join(GOLDEN, part(i)), join(directory.path, part(i)));
    await change(directory.path);
    const error = await nudgeError(openGguf(join(directory.path, open)));
    expect(error.code).toBe('BAD_FILE');
    return error.message;
  }

  it('is refused when a part is missing', async () => {
    const message = await damaged((directory) => rm(join(directory, part(2))));
    expect(message).toMatch(/part of this model is missing.*"split-00002-of-00003\.gguf" beside it/s);
  });

  it('is refused when a part is another one', async () => {
    const message = await damaged((directory) => copyFile(join(GOLDEN, part(3)), join(directory, part(2))));
    expect(message).toMatch(/do not fit together.*part 2 of 3, by its name.*part 3 of 3, by its metadata/s);
  });

  it('is refused under a name without a number', async () => {
    const message = await damaged((directory) => copyFile(join(GOLDEN, part(1)), join(directory, 'm.gguf')), 'm.gguf');
    expect(message).toMatch(/model-00001-of-00003\.gguf, since it is a part of 3.*"m\.gguf"/s);
  });

  it('is refused when a whole model has a name of a part', async () => {
    const message = await damaged((directory) => copyFile(VALUES, join(directory, part(1))));
    expect(message).toMatch(/"split\.count" 3 in its metadata, by its name/);
  });

  it('is refused when tensors are missing or double', async () => {
    const edit = (number: number, find: string, replace: string) => async (directory: string) => {
      const file = join(directory, part(number));
      const content = (await readFile(file)).toString('latin1');
      await writeFile(file, content.replace(find, replace), 'latin1');
    };
    expect(await damaged(edit(2, 'blk.2.', 'blk.1.'))).toMatch(/every tensor in one part/);
    const count = 'split.tensors.count\u0005\0\0\0';
    expect(await damaged(edit(1, `${count}\u0005`, `${count}\u0006`))).toMatch(/6 tensors in all parts.*received: 5/s);
  });
});
