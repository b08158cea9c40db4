/**
 * Metadata of a GGUF file: typed values by key, and the accessors that check what they find.
 *
 * Every value keeps its type, so that what was read is written back as it was.
 */

import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';
import type { ValueType } from './format.ts';

type NumberType = 'uint8' | 'int8' | 'uint16' | 'int16' | 'uint32' | 'int32' | 'float32' | 'float64';

export type GgufValue =
  | { readonly type: NumberType; readonly value: number }
  | { readonly type: 'uint64' | 'int64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | GgufArray;

/** An array, all of one type. Booleans are bytes of 0 and 1. */
export type GgufArray =
  | { readonly type: 'array'; readonly of: NumberType | 'bool' | 'uint64' | 'int64'; readonly value: NumericArray }
  | { readonly type: 'array'; readonly of: 'string'; readonly value: readonly string[] }
  | { readonly type: 'array'; readonly of: 'array'; readonly value: readonly GgufArray[] };

export type NumericArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** By key, in the order of the file. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** The typed array that holds each numeric type. */
export const ARRAY_CLASSES = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float32: Float32Array,
  bool: Uint8Array,
  uint64: BigUint64Array,
  int64: BigInt64Array,
  float64: Float64Array,
} as const satisfies Partial<Record<ValueType, unknown>>;

// Short ways to make values, for writers.
export const text = (value: string): GgufValue => ({ type: 'string', value });
export const u32 = (value: number): GgufValue => ({ type: 'uint32', value });
export const f32 = (value: number): GgufValue => ({ type: 'float32', value });
export const flag = (value: boolean): GgufValue => ({ type: 'bool', value });
export const texts = (value: readonly string[]): GgufValue => ({ type: 'array', of: 'string', value });

/**
 * A string under a key; undefined when there is none.
 *
 * @throws NudgeError BAD_FILE when something else is there; so do the accessors below.
 */
export function ggufString(metadata: GgufMetadata, key: string): string | undefined {
  const found = metadata.get(key);
  if (found === undefined || found.type === 'string') return found?.value;
  throw wrongType(key, 'a string', found);
}

/** A number of any width; 64-bit integers must be exact as numbers. */
export function ggufNumber(metadata: GgufMetadata, key: string): number | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (typeof found.value === 'number') return found.value;
  if (typeof found.value === 'bigint' && Number.isSafeInteger(Number(found.value))) return Number(found.value);
  throw wrongType(key, 'a number', found);
}

/** A whole number, not negative. */
export function ggufCount(metadata: GgufMetadata, key: string): number | undefined {
  const value = ggufNumber(metadata, key);
  if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) return value;
  throw wrongType(key, 'a whole number', metadata.get(key) as GgufValue);
}

export function ggufBoolean(metadata: GgufMetadata, key: string): boolean | undefined {
  const found = metadata.get(key);
  if (found === undefined || found.type === 'bool') return found?.value;
  throw wrongType(key, 'a boolean', found);
}

export function ggufStrings(metadata: GgufMetadata, key: string): readonly string[] | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type === 'array' && found.of === 'string') return found.value;
  throw wrongType(key, 'an array of strings', found);
}

/** An array of numbers, 64-bit integers excepted. */
export function ggufNumbers(metadata: GgufMetadata, key: string): ArrayLike<number> | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type === 'array' && found.of !== 'string' && found.of !== 'array' && found.value[0] !== undefined) {
    if (typeof found.value[0] === 'number') return found.value as ArrayLike<number>;
  }
  if (found.type === 'array' && found.value.length === 0) return [];
  throw wrongType(key, 'an array of numbers', found);
}

/** The value under a key that must be there. */
export function required<T>(
  metadata: GgufMetadata,
  key: string,
  get: (metadata: GgufMetadata, key: string) => T | undefined,
): T {
  const value = get(metadata, key);
  if (value !== undefined) return value;
  throw new NudgeError('BAD_FILE', 'The metadata of this GGUF file is incomplete.', {
    path: key,
    expected: 'a value under this key',
    received: 'none',
    remedy: 'Convert the model to GGUF again with a current converter, or use another file of it.',
  });
}

/** A type as it appears in errors: `uint32`, `array of string`. */
export function showType(value: GgufValue): string {
  return value.type === 'array' ? `array of ${value.of}` : value.type;
}

function wrongType(key: string, expected: string, found: GgufValue): NudgeError {
  const scalar = found.type === 'array' ? `${found.value.length} elements` : quote(String(found.value));
  return new NudgeError('BAD_FILE', 'The metadata of this GGUF file has a value of the wrong type.', {
    path: key,
    expected,
    received: `${showType(found)}, ${scalar}`,
    remedy: 'Convert the model to GGUF again with a current converter, or use another file of it.',
  });
}
