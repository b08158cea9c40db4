import { describe, expect, it } from 'vitest';
import { errorOf } from '../../tests/support/errors.ts';
import {
  bfloat16ToNumber,
  DTYPES,
  dtypeBytes,
  dtypeCode,
  dtypeName,
  dtypeOfTypedArray,
  isDType,
  isFloatingDType,
  typedArrayOver,
} from './dtype.ts';
import { torch } from './index.ts';

describe('dtypes', () => {
  it.each(DTYPES)('%s is what libtorch makes of its code', (name) => {
    expect(dtypeName(dtypeCode(name))).toBe(name);
    const x = torch.zeros([3], { dtype: name });
    expect(x.dtype).toBe(name);
    expect(x.elementSize()).toBe(dtypeBytes(name));
    expect(torch.memory().bytes).toBeGreaterThanOrEqual(3 * dtypeBytes(name));
    x.dispose();
  });

  it.each(DTYPES)('%s comes out as a typed array of the right size', (name) => {
    const array = typedArrayOver(name, new ArrayBuffer(16));
    expect(array.byteLength).toBe(16);
    const perElement = name.startsWith('complex') ? 2 : 1;
    expect(array.BYTES_PER_ELEMENT * perElement).toBe(dtypeBytes(name));
  });

  it('that are floating', () => {
    expect(DTYPES.filter(isFloatingDType)).toEqual([
      'float16',
      'float32',
      'float64',
      'bfloat16',
      'float8_e5m2',
      'float8_e4m3fn',
      'float8_e5m2fnuz',
      'float8_e4m3fnuz',
      'float8_e8m0fnu',
    ]);
  });

  it.each([
    ['float', 'float32'],
    ['double', 'float64'],
    ['half', 'float16'],
    ['long', 'int64'],
    ['int', 'int32'],
  ])('%s is not one, and the error says %s', (alias, meant) => {
    const error = errorOf(() => dtypeCode(alias as never));
    expect(error.code).toBe('DTYPE_MISMATCH');
    expect(error.remedy).toBe(`Write '${meant}'.`);
  });

  it.each([
    '',
    'Float32',
    'torch.float32',
    'toString',
    '__proto__',
    'constructor',
    7,
    null,
    undefined,
    {},
    Symbol('x'),
  ])('%s is none, and has no remedy', (name) => {
    expect(isDType(name)).toBe(false);
    const error = errorOf(() => dtypeCode(name as never));
    expect(error.code).toBe('DTYPE_MISMATCH');
    expect(error.remedy).toBeUndefined();
  });

  it('a code that Nudge does not know says so', () => {
    expect(errorOf(() => dtypeName(12)).message).toMatch(/libtorch's dtype 12, which Nudge does not know/);
  });
});

describe('typed arrays', () => {
  it.each([
    [new Float32Array(), 'float32'],
    [new Float64Array(), 'float64'],
    [new Int8Array(), 'int8'],
    [new Int16Array(), 'int16'],
    [new Int32Array(), 'int32'],
    [new BigInt64Array(), 'int64'],
    [new Uint8Array(), 'uint8'],
    [new Uint8ClampedArray(), 'uint8'],
    [new Uint16Array(), 'uint16'],
    [new Uint32Array(), 'uint32'],
    [new BigUint64Array(), 'uint64'],
    [Buffer.alloc(0), 'uint8'],
  ] as const)('%o hold %s', (array, dtype) => {
    expect(dtypeOfTypedArray(array)).toBe(dtype);
  });

  it('Float16Array, where this Node has it, holds float16', () => {
    const { Float16Array } = globalThis as unknown as { Float16Array?: new (values: number[]) => Uint16Array };
    expect(Float16Array, 'Node 24 has it').toBeDefined();
    if (Float16Array === undefined) return;
    using x = torch.tensor(new Float16Array([0.5, -2]) as never);
    expect(x.dtype).toBe('float16');
    expect(x.tolist()).toEqual([0.5, -2]);
  });

  it('a DataView is none', () => {
    expect(errorOf(() => torch.tensor(new DataView(new ArrayBuffer(8)) as never)).code).toMatch(
      /^(BAD_ARGUMENT|DTYPE_MISMATCH)$/,
    );
  });
});

it('a bfloat16 is the upper half of a float32', () => {
  expect([0x3f80, 0xbf00, 0x7f80, 0xff80, 0x0000].map(bfloat16ToNumber)).toEqual([1, -0.5, Infinity, -Infinity, 0]);
  expect(bfloat16ToNumber(0x7fc0)).toBeNaN();
  expect(Object.is(bfloat16ToNumber(0x8000), -0)).toBe(true);
});
