/** What the elements of a typed array mean: bits of small floats, pairs of a complex number, truth values, big integers. */

import { bfloat16ToNumber, type DType, type TypedArray } from './dtype.ts';

export interface Complex {
  re: number;
  im: number;
}

/** One element in JavaScript. A bigint only where a 64-bit integer is beyond what a number holds exactly. */
export type Element = number | bigint | boolean | Complex;

interface FloatLayout {
  exponentBits: number;
  mantissaBits: number;
  bias: number;
  /**
   * What the topmost patterns mean. `ieee`: infinities and NaN. `fn` ("finite"): only all ones is NaN.
   * `fnuz` ("finite, no negative zero"): only the pattern of -0 is NaN.
   */
  specials: 'ieee' | 'fn' | 'fnuz';
}

const LAYOUTS = {
  float16: { exponentBits: 5, mantissaBits: 10, bias: 15, specials: 'ieee' },
  float8_e5m2: { exponentBits: 5, mantissaBits: 2, bias: 15, specials: 'ieee' },
  float8_e4m3fn: { exponentBits: 4, mantissaBits: 3, bias: 7, specials: 'fn' },
  float8_e5m2fnuz: { exponentBits: 5, mantissaBits: 2, bias: 16, specials: 'fnuz' },
  float8_e4m3fnuz: { exponentBits: 4, mantissaBits: 3, bias: 8, specials: 'fnuz' },
} as const satisfies Partial<Record<DType, FloatLayout>>;

function smallFloat(bits: number, { exponentBits, mantissaBits, bias, specials }: FloatLayout): number {
  const signBit = 2 ** (exponentBits + mantissaBits);
  if (specials === 'fnuz' && bits === signBit) return Number.NaN;
  const sign = bits >= signBit ? -1 : 1;
  const magnitude = bits % signBit;
  const exponent = magnitude >> mantissaBits;
  const mantissa = magnitude % 2 ** mantissaBits;
  if (specials === 'ieee' && exponent === 2 ** exponentBits - 1) return mantissa === 0 ? sign * Infinity : Number.NaN;
  if (specials === 'fn' && magnitude === signBit - 1) return Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (2 ** mantissaBits + mantissa) * 2 ** (exponent - bias - mantissaBits);
}

/** float8_e8m0fnu is an exponent and nothing else: a scale. */
function powerOfTwo(bits: number): number {
  return bits === 255 ? Number.NaN : 2 ** (bits - 127);
}

function integer(value: bigint): number | bigint {
  const near = Number(value);
  return Number.isSafeInteger(near) ? near : value;
}

function pairs(parts: ArrayLike<number>): Complex[] {
  return Array.from({ length: parts.length / 2 }, (_, i) => ({
    re: parts[2 * i] as number,
    im: parts[2 * i + 1] as number,
  }));
}

/** The elements of `Tensor.data()` as JavaScript values. */
export function elements(dtype: DType, data: TypedArray): Element[] {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return Array.from(data, integer);
  switch (dtype) {
    case 'bool':
      return Array.from(data, (byte) => byte !== 0);
    case 'bfloat16':
      return Array.from(data, bfloat16ToNumber);
    case 'float16':
    case 'float8_e5m2':
    case 'float8_e4m3fn':
    case 'float8_e5m2fnuz':
    case 'float8_e4m3fnuz':
      return Array.from(data, (bits) => smallFloat(bits, LAYOUTS[dtype]));
    case 'float8_e8m0fnu':
      return Array.from(data, powerOfTwo);
    case 'complex32':
      return pairs(Array.from(data, (bits) => smallFloat(bits, LAYOUTS.float16)));
    case 'complex64':
    case 'complex128':
      return pairs(data);
    default:
      return Array.from(data);
  }
}
