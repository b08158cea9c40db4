/** Tensors from JavaScript's data. */

import { NudgeError } from '../errors.ts';
import { type DType, dtypeCode, dtypeOfTypedArray, type TypedArray } from './dtype.ts';
import { native } from './native.ts';
import { type Device, Tensor } from './tensor.ts';

export interface TensorOptions {
  dtype?: DType;
  device?: Device;
  requiresGrad?: boolean;
}

/** Numbers nested to any depth; every list of one depth must have the same length. */
export type TensorData = number | bigint | boolean | TypedArray | readonly TensorData[];

type Element = number | bigint | boolean;

function flatten(data: readonly TensorData[]): { shape: number[]; elements: Element[] } {
  const shape: number[] = [];
  for (
    let level: TensorData = data;
    Array.isArray(level) || ArrayBuffer.isView(level);
    level = level[0] as TensorData
  ) {
    shape.push(level.length);
    if (level.length === 0) break;
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

/** Fills a typed array of the dtype; floats that JavaScript has no array for start as float32 and are converted after. */
function encode(elements: readonly Element[], dtype: DType): { bytes: Uint8Array; dtype: DType } {
  if (dtype === 'int64' || dtype === 'uint64') {
    const array = dtype === 'int64' ? new BigInt64Array(elements.length) : new BigUint64Array(elements.length);
    elements.forEach((element, i) => {
      array[i] = toBigInt(element, i);
    });
    return { bytes: asBytes(array), dtype };
  }
  const arrays = {
    float64: Float64Array,
    int32: Int32Array,
    int16: Int16Array,
    int8: Int8Array,
    uint8: Uint8Array,
    uint16: Uint16Array,
    uint32: Uint32Array,
  };
  const bool = dtype === 'bool';
  const Exact = bool ? Uint8Array : Object.hasOwn(arrays, dtype) ? arrays[dtype as keyof typeof arrays] : Float32Array;
  const array = new Exact(elements.length);
  elements.forEach((element, i) => {
    array[i] = bool ? Number(Boolean(element)) : Number(element);
  });
  return { bytes: asBytes(array), dtype: Exact === Float32Array ? 'float32' : dtype };
}

function toBigInt(element: Element, index: number): bigint {
  if (typeof element === 'number' && !Number.isInteger(element)) {
    throw new NudgeError('DTYPE_MISMATCH', 'an integer tensor cannot hold a fraction', {
      path: `element ${index}`,
      received: String(element),
      remedy: "Round it first, or choose dtype: 'float32'.",
    });
  }
  return BigInt(element);
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
  if (data instanceof Tensor) return finish(data.detach().clone(), options);
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
