/** Tensors from JavaScript's data. */

import { NudgeError } from '../errors.ts';
import { type DType, dtypeCode, dtypeOfTypedArray, type TypedArray } from './dtype.ts';
import { native } from './native.ts';
import { checkOptions } from './options.ts';
import { type Device, Tensor } from './tensor.ts';

export interface TensorOptions {
  dtype?: DType;
  device?: Device;
  requiresGrad?: boolean;
}

/** Numbers nested to any depth; every list of one depth must have the same length. */
export type TensorData = number | bigint | boolean | TypedArray | readonly TensorData[];

type Element = number | bigint | boolean;

/** More nesting than any tensor has: probably a list that holds itself. */
const MAX_DIMENSIONS = 64;

function flatten(data: readonly TensorData[]): { shape: number[]; elements: Element[] } {
  const shape: number[] = [];
  for (
    let level: TensorData = data;
    Array.isArray(level) || ArrayBuffer.isView(level);
    level = level[0] as TensorData
  ) {
    shape.push(level.length);
    if (level.length === 0) break;
    if (shape.length > MAX_DIMENSIONS) {
      throw new NudgeError('SHAPE_MISMATCH', `the lists are nested more than ${MAX_DIMENSIONS} deep`);
    }
  }
  const elements: Element[] = [];
  const visit = (node: TensorData, depth: number, path: string): void => {
    const isList = Array.isArray(node) || ArrayBuffer.isView(node);
    if (isList !== depth < shape.length || (isList && (node as ArrayLike<unknown>).length !== shape[depth])) {
      throw new NudgeError('SHAPE_MISMATCH', 'the nested lists are ragged', {
        path: `data${path}`,
        expected: depth < shape.length ? `a list of ${shape[depth]}` : 'a number',
        received: isList ? `a list of ${(node as ArrayLike<unknown>).length}` : String(node),
      });
    }
    if (!isList) elements.push(checkElement(node as Element, path));
    else
      for (let i = 0; i < (shape[depth] as number); i++)
        visit((node as ArrayLike<TensorData>)[i] as TensorData, depth + 1, `${path}[${i}]`);
  };
  visit(data, 0, '');
  return { shape, elements };
}

function checkElement(element: Element, path: string): Element {
  const type = typeof element;
  if (type === 'number' || type === 'bigint' || type === 'boolean') return element;
  throw new NudgeError('BAD_ARGUMENT', 'a tensor holds numbers, bigints or booleans', {
    path: `data${path}`,
    received: type,
  });
}

/** The dtype that the elements ask for: it depends on their type, never on their values. */
function inferDtype(elements: readonly Element[]): DType {
  if (elements.length > 0 && elements.every((element) => typeof element === 'boolean')) return 'bool';
  if (elements.some((element) => typeof element === 'bigint')) return 'int64';
  return 'float32';
}

/** The typed arrays of the integer dtypes, with the range of their elements. */
const INTEGERS = {
  int64: [BigInt64Array, -(2n ** 63n), 2n ** 63n - 1n],
  uint64: [BigUint64Array, 0n, 2n ** 64n - 1n],
  int32: [Int32Array, -(2n ** 31n), 2n ** 31n - 1n],
  uint32: [Uint32Array, 0n, 2n ** 32n - 1n],
  int16: [Int16Array, -(2n ** 15n), 2n ** 15n - 1n],
  uint16: [Uint16Array, 0n, 2n ** 16n - 1n],
  int8: [Int8Array, -128n, 127n],
  uint8: [Uint8Array, 0n, 255n],
} as const;

type IntegerDType = keyof typeof INTEGERS;

/** The elements as bytes, in the dtype asked for or in a float that converts to it. */
function encode(elements: readonly Element[], dtype: DType): { bytes: Uint8Array; dtype: DType } {
  if (Object.hasOwn(INTEGERS, dtype)) return { bytes: encodeIntegers(elements, dtype as IntegerDType), dtype };
  if (dtype === 'bool') return { bytes: Uint8Array.from(elements, (element) => Number(Number(element) !== 0)), dtype };
  const wide = dtype === 'float64' || dtype === 'complex128';
  const array = wide ? Float64Array.from(elements, Number) : Float32Array.from(elements, Number);
  return { bytes: asBytes(array), dtype: wide ? 'float64' : 'float32' };
}

function encodeIntegers(elements: readonly Element[], dtype: IntegerDType): Uint8Array {
  const [TypedArray, low, high] = INTEGERS[dtype];
  const array = new TypedArray(elements.length);
  const big = array instanceof BigInt64Array || array instanceof BigUint64Array;
  elements.forEach((element, i) => {
    // Numbers compare with bigints exactly; NaN compares with nothing.
    const value = typeof element === 'boolean' ? Number(element) : element;
    const fits = value >= low && value <= high && (typeof value === 'bigint' || Number.isInteger(value));
    if (!fits) throw noInteger(element, i, dtype);
    array[i] = (big ? BigInt(element) : Number(element)) as never;
  });
  return asBytes(array);
}

function noInteger(element: Element, index: number, dtype: IntegerDType): NudgeError {
  const [, low, high] = INTEGERS[dtype];
  return new NudgeError('DTYPE_MISMATCH', `element ${index} is no ${dtype}`, {
    expected: `a whole number from ${low} to ${high}`,
    received: String(element),
    remedy: "Round or clamp it first, or choose dtype: 'float32'.",
  });
}

function asBytes(array: TypedArray | Uint8ClampedArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function finish(made: Tensor, { dtype, device, requiresGrad = false }: TensorOptions): Tensor {
  let tensor = made;
  const target = { ...(dtype && { dtype }), ...(device && { device }) };
  const converted = tensor.to(target);
  if (converted !== tensor) {
    tensor.dispose();
    tensor = converted;
  }
  if (requiresGrad) tensor.requiresGrad = true;
  return tensor;
}

/**
 * A tensor from numbers, nested arrays or a typed array; always a copy.
 *
 * Numbers become float32 whatever their values are: a dtype must not depend on whether the data happens to be integral.
 * Booleans become bool, bigints int64, a typed array keeps its own type.
 *
 * @throws NudgeError `SHAPE_MISMATCH` for ragged lists.
 */
export function tensor(data: TensorData | Tensor, options: TensorOptions = {}): Tensor {
  checkOptions(options, ['dtype', 'device', 'requiresGrad'], 'torch.tensor');
  if (data instanceof Tensor) {
    using detached = data.detach();
    return finish(detached.clone(), options);
  }
  if (ArrayBuffer.isView(data)) return finish(fromTypedArray(data, [data.length]), options);
  const { shape, elements } = Array.isArray(data)
    ? flatten(data)
    : { shape: [], elements: [checkElement(data as Element, '')] };
  const wanted = options.dtype ?? inferDtype(elements);
  const { bytes, dtype } = encode(elements, wanted);
  return finish(fromBytes(bytes, shape, dtype), { ...options, dtype: wanted });
}

/** A tensor over a copy of raw little-endian bytes in row-major order. */
export function fromBytes(bytes: Uint8Array, shape: readonly number[], dtype: DType): Tensor {
  return new Tensor(native.fromBytes(bytes, shape, dtypeCode(dtype)));
}

/** A tensor over a copy of a typed array's elements, of its own dtype unless told that the bits mean another (`'bfloat16'`). */
export function fromTypedArray(
  array: TypedArray | Uint8ClampedArray,
  shape: readonly number[] = [array.length],
  dtype = dtypeOfTypedArray(array),
): Tensor {
  return fromBytes(asBytes(array), shape, dtype);
}

/** The dtype of `torch.full`: as for `tensor`, by the type of the value and not by the value. */
export function fullDtype(value: unknown): DType {
  return typeof value === 'boolean' ? 'bool' : typeof value === 'bigint' ? 'int64' : 'float32';
}
