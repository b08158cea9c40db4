/** dtypes: torch's names, libtorch's codes (c10::ScalarType) and the typed array that holds each in JavaScript. */

import { NudgeError } from '../errors.ts';

const TABLE = {
  uint8: { code: 0, bytes: 1, array: Uint8Array },
  int8: { code: 1, bytes: 1, array: Int8Array },
  int16: { code: 2, bytes: 2, array: Int16Array },
  int32: { code: 3, bytes: 4, array: Int32Array },
  int64: { code: 4, bytes: 8, array: BigInt64Array },
  float16: { code: 5, bytes: 2, array: Uint16Array },
  float32: { code: 6, bytes: 4, array: Float32Array },
  float64: { code: 7, bytes: 8, array: Float64Array },
  complex32: { code: 8, bytes: 4, array: Uint16Array },
  complex64: { code: 9, bytes: 8, array: Float32Array },
  complex128: { code: 10, bytes: 16, array: Float64Array },
  bool: { code: 11, bytes: 1, array: Uint8Array },
  bfloat16: { code: 15, bytes: 2, array: Uint16Array },
  float8_e5m2: { code: 23, bytes: 1, array: Uint8Array },
  float8_e4m3fn: { code: 24, bytes: 1, array: Uint8Array },
  float8_e5m2fnuz: { code: 25, bytes: 1, array: Uint8Array },
  float8_e4m3fnuz: { code: 26, bytes: 1, array: Uint8Array },
  uint16: { code: 27, bytes: 2, array: Uint16Array },
  uint32: { code: 28, bytes: 4, array: Uint32Array },
  uint64: { code: 29, bytes: 8, array: BigUint64Array },
  float8_e8m0fnu: { code: 44, bytes: 1, array: Uint8Array },
} as const;

/** The name of an element type, as in `torch.float32` without the `torch.`. */
export type DType = keyof typeof TABLE;

export type TypedArray =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

export const DTYPES: readonly DType[] = Object.keys(TABLE) as DType[];

const NAME_OF_CODE = new Map<number, DType>(DTYPES.map((name) => [TABLE[name].code, name]));
const ALIASES: Record<string, DType> = {
  float: 'float32',
  double: 'float64',
  half: 'float16',
  long: 'int64',
  int: 'int32',
  short: 'int16',
  cfloat: 'complex64',
};

/** libtorch's code of a dtype. Throws `DTYPE_MISMATCH` for an unknown name. */
export function dtypeCode(name: DType): number {
  const entry = Object.hasOwn(TABLE, name) ? TABLE[name] : undefined;
  if (entry !== undefined) return entry.code;
  const meant = Object.hasOwn(ALIASES, name) ? ALIASES[name as string] : undefined;
  throw new NudgeError('DTYPE_MISMATCH', `unknown dtype ${JSON.stringify(name)}`, {
    expected: DTYPES.join(', '),
    ...(meant && { remedy: `Write '${meant}'.` }),
  });
}

export function dtypeName(code: number): DType {
  const name = NAME_OF_CODE.get(code);
  if (name === undefined) {
    throw new NudgeError('DTYPE_MISMATCH', `this tensor has libtorch's dtype ${code}, which Nudge does not know`);
  }
  return name;
}

/** Bytes an element takes. */
export function dtypeBytes(name: DType): number {
  dtypeCode(name);
  return TABLE[name].bytes;
}

export function isDType(name: unknown): name is DType {
  return typeof name === 'string' && Object.hasOwn(TABLE, name);
}

export function isFloatingDType(name: DType): boolean {
  return name.startsWith('float') || name === 'bfloat16';
}

/** A typed array over `buffer` with this dtype's elements; 16-bit floats come as the Uint16Array of their bits. */
export function typedArrayOver(name: DType, buffer: ArrayBuffer): TypedArray {
  return new TABLE[name].array(buffer);
}

const DTYPE_OF_ARRAY: Record<string, DType> = {
  Float16Array: 'float16',
  Float32Array: 'float32',
  Float64Array: 'float64',
  Int8Array: 'int8',
  Int16Array: 'int16',
  Int32Array: 'int32',
  BigInt64Array: 'int64',
  Uint8Array: 'uint8',
  Uint8ClampedArray: 'uint8',
  Uint16Array: 'uint16',
  Uint32Array: 'uint32',
  BigUint64Array: 'uint64',
};

/** The dtype whose elements a typed array holds. */
export function dtypeOfTypedArray(array: ArrayBufferView): DType {
  const kind = (array as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] ?? '';
  if (Object.hasOwn(DTYPE_OF_ARRAY, kind)) return DTYPE_OF_ARRAY[kind] as DType;
  throw new NudgeError('DTYPE_MISMATCH', `a ${kind || 'view'} has no dtype`, {
    expected: Object.keys(DTYPE_OF_ARRAY).join(', '),
  });
}

const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

/** The number that 16 bits of a bfloat16 mean: the upper half of a float32. */
export function bfloat16ToNumber(bits: number): number {
  BITS[0] = bits << 16;
  return FLOAT[0] as number;
}
