import { describe, expect, test } from 'vitest';
import './allClose.ts';
import { elementsOf, spacing, type TensorLike } from './elements.ts';

const float32 = (...values: number[]): TensorLike => over('float32', Float32Array.from(values));
const over = (
  dtype: string,
  array: Float32Array | Float64Array | BigInt64Array | Uint16Array,
  shape = [array.length],
): TensorLike => ({
  dtype,
  shape,
  bytes: () => new Uint8Array(array.buffer),
});
/** 1 and its neighbours above, as bits. */
const one = { bfloat16: 0x3f80, float16: 0x3c00 };

describe('toBeCloseToTensor', () => {
  test('takes rounding for equal, and nothing more', () => {
    expect(float32(1, 100)).toBeCloseToTensor(float32(1 + 1e-6, 100 + 1e-4));
    expect(float32(1, 100)).not.toBeCloseToTensor(float32(1 + 1e-5, 100));
    expect(over('float64', Float64Array.of(1))).not.toBeCloseToTensor(1 + 1e-12);
  });

  test('an absolute tolerance shrinks with the values', () => {
    expect(float32(0)).not.toBeCloseToTensor(float32(1e-7), { atol: 1e-3 });
    expect(float32(0, 1)).toBeCloseToTensor(float32(1e-7, 1));
  });

  test('compares dtypes and shapes', () => {
    expect(float32(1)).not.toBeCloseToTensor(over('float64', Float64Array.of(1)));
    expect(float32(1, 2)).not.toBeCloseToTensor([[1, 2]]);
    expect(over('float32', Float32Array.of(1, 2), [1, 2])).toBeCloseToTensor([[1, 2]]);
  });

  test.each(['bfloat16', 'float16'] as const)('counts representable values of %s', (dtype) => {
    const near = (steps: number) => over(dtype, Uint16Array.of(one[dtype] + steps));
    expect(near(1)).toBeCloseToTensor(near(0));
    expect(near(1)).not.toBeCloseToTensor(near(0), { ulps: 0 });
    expect(near(2)).not.toBeCloseToTensor(near(0));
    expect(near(2)).toBeCloseToTensor(near(0), { ulps: 2 });
  });

  test('integers are equal or not, however large', () => {
    expect(over('int64', BigInt64Array.of(2n ** 62n))).toBeCloseToTensor(over('int64', BigInt64Array.of(2n ** 62n)));
    expect(over('int64', BigInt64Array.of(2n ** 62n + 1n))).not.toBeCloseToTensor(
      over('int64', BigInt64Array.of(2n ** 62n)),
    );
    expect(over('int64', BigInt64Array.of(3n))).toBeCloseToTensor([3]);
  });

  test('NaN and infinities match themselves only', () => {
    expect(float32(Number.NaN, Number.POSITIVE_INFINITY)).toBeCloseToTensor([Number.NaN, Number.POSITIVE_INFINITY]);
    expect(float32(Number.NaN)).not.toBeCloseToTensor([0]);
    expect(float32(0)).not.toBeCloseToTensor([Number.NaN]);
    expect(float32(Number.POSITIVE_INFINITY)).not.toBeCloseToTensor([Number.NEGATIVE_INFINITY]);
  });

  test('names the worst element, both values and what was allowed', () => {
    const received = over('float32', Float32Array.of(1, 2, 3, 4), [2, 2]);
    expect(() =>
      expect(received).toBeCloseToTensor(
        [
          [1, 2],
          [3.5, 4.1],
        ],
        { rtol: 0, atol: 1e-3 },
      ),
    ).toThrow(
      /2 of 4 float32 elements differ, the worst at \[1, 0\]\n {2}expected: 3.5\n {2}received: 3\n {2}apart: {4}0.5, allowed 0.001/,
    );
  });

  test('refuses a tolerance that proves nothing, even to say that tensors differ', () => {
    expect(() => expect(float32(1)).toBeCloseToTensor([1], { rtol: 2e-3 })).toThrow(RangeError);
    expect(() => expect(float32(1)).not.toBeCloseToTensor([1], { atol: 0.1 })).toThrow(RangeError);
    expect(() => expect(float32(1)).toBeCloseToTensor([1], { ulps: 3 })).toThrow(RangeError);
    expect(() => expect(float32(1)).toBeCloseToTensor([1], { rtol: Number.NaN })).toThrow(RangeError);
  });
});

test('16-bit floats are read right, subnormal and special values too', () => {
  const bits = Uint16Array.of(0x3c00, 0xc100, 0x0001, 0x7c00, 0x8000);
  expect(elementsOf(over('float16', bits))).toEqual([1, -2.5, 2 ** -24, Number.POSITIVE_INFINITY, -0]);
  expect(elementsOf(over('bfloat16', Uint16Array.of(0x3f80, 0xc020, 0x7f80)))).toEqual([
    1,
    -2.5,
    Number.POSITIVE_INFINITY,
  ]);
  expect(spacing('bfloat16', 1)).toBe(2 ** -7);
  expect(spacing('float16', 0)).toBe(2 ** -24);
});
