/** tolist(). What tensors print as, tests/golden/printing.test.ts compares with PyTorch. */
import { describe, expect, it } from 'vitest';
import { type DType, type Nested, torch } from './index.ts';

const list = (dtype: DType, bytes: Uint8Array, shape: number[]): Nested =>
  torch.scope(() => torch.fromBytes(bytes, shape, dtype).tolist());

const bytesOf = (array: { buffer: ArrayBufferLike }): Uint8Array => new Uint8Array(array.buffer as ArrayBuffer);

describe('tolist', () => {
  it('nests as deep as there are dimensions', () => {
    torch.scope(() => {
      expect(torch.tensor(1.5).tolist()).toBe(1.5);
      expect(
        torch
          .tensor([
            [1, 2],
            [3, 4],
          ])
          .t()
          .tolist(),
      ).toEqual([
        [1, 3],
        [2, 4],
      ]);
      expect(torch.arange(4).view([2, 1, 2]).tolist()).toEqual([[[0, 1]], [[2, 3]]]);
      expect(torch.ones([2, 0, 3]).tolist()).toEqual([[], []]);
      expect(torch.ones([0, 3]).tolist()).toEqual([]);
    });
  });

  it('gives integers as numbers while those are exact', () => {
    const limit = 2n ** 53n;
    const integers = BigInt64Array.of(limit - 1n, limit, -limit, 1n - limit, -(2n ** 63n));
    expect(list('int64', bytesOf(integers), [5])).toEqual([2 ** 53 - 1, limit, -limit, 1 - 2 ** 53, -(2n ** 63n)]);
    expect(list('uint64', bytesOf(BigUint64Array.of(7n, 2n ** 64n - 1n)), [2])).toEqual([7, 2n ** 64n - 1n]);
  });

  it('gives truth values as booleans', () => {
    expect(list('bool', Uint8Array.of(1, 0), [2])).toEqual([true, false]);
  });

  it('decodes 16-bit floats', () => {
    const half = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000, 0x7c00, 0xfc00, 0x7e00);
    expect(list('float16', bytesOf(half), [8])).toEqual([1, -2, 2 ** -24, 65504, -0, Infinity, -Infinity, NaN]);
    const brain = Uint16Array.of(0x3f80, 0xc000, 0x0001, 0x7f7f, 0x8000, 0x7f80, 0xff80, 0x7fc0);
    const largest = 255 * 2 ** 120;
    expect(list('bfloat16', bytesOf(brain), [8])).toEqual([1, -2, 2 ** -133, largest, -0, Infinity, -Infinity, NaN]);
  });

  it.each<[DType, number[]]>([
    ['float8_e5m2', [57344, Infinity, NaN, NaN, -0, 2 ** -16]],
    ['float8_e4m3fn', [352, 384, 448, NaN, -0, 2 ** -9]],
    ['float8_e5m2fnuz', [28672, 32768, 49152, 57344, NaN, 2 ** -17]],
    ['float8_e4m3fnuz', [176, 192, 224, 240, NaN, 2 ** -10]],
    ['float8_e8m0fnu', [2 ** -4, 2 ** -3, 2 ** -1, 1, 2, 2 ** -126]],
  ])('decodes %s', (dtype, expected) => {
    expect(list(dtype, Uint8Array.of(0x7b, 0x7c, 0x7e, 0x7f, 0x80, 0x01), [6])).toEqual(expected);
  });

  it('gives complex numbers as pairs', () => {
    expect(list('complex64', bytesOf(Float32Array.of(1, 2, -0.5, 0)), [2])).toEqual([
      { re: 1, im: 2 },
      { re: -0.5, im: 0 },
    ]);
  });

  it('agrees with the conversion of libtorch for every 16-bit float', () => {
    torch.scope(() => {
      const every = bytesOf(Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits));
      for (const dtype of ['float16', 'bfloat16'] as const) {
        const x = torch.fromBytes(every, [2 ** 16], dtype);
        expect(x.tolist()).toEqual([...x.toFloat32Array()]);
      }
    });
  });
});
