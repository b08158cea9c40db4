/** The elements of a tensor as JavaScript numbers, read from its raw bytes: independent of every operator under test. */

/** What a comparison needs of a tensor; `Tensor` has it, a golden value too. */
export interface TensorLike {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The elements, little-endian, in row-major order. */
  bytes(): Uint8Array;
}

export type Element = number | bigint;

/** The elements in row-major order; a complex number is two of them, a boolean 0 or 1. */
export function elementsOf(tensor: TensorLike): Element[] {
  const reader = READERS[tensor.dtype];
  if (reader === undefined) throw new Error(`no reader for the elements of a ${tensor.dtype} tensor`);
  const raw = tensor.bytes();
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const elements: Element[] = [];
  for (let at = 0; at < raw.byteLength; at += reader.size) elements.push(reader.read(view, at));
  return elements;
}

/** From a value of a 16-bit float type to the next: the unit in the last place. */
export function spacing(dtype: 'bfloat16' | 'float16', value: number): number {
  const [fractionBits, lowestExponent] = dtype === 'bfloat16' ? [7, -126] : [10, -14];
  const exponent = value === 0 ? lowestExponent : Math.floor(Math.log2(Math.abs(value)));
  return 2 ** (Math.max(exponent, lowestExponent) - fractionBits);
}

const READERS: Record<string, { size: number; read: (view: DataView, at: number) => Element }> = {
  bool: { size: 1, read: (view, at) => view.getUint8(at) },
  uint8: { size: 1, read: (view, at) => view.getUint8(at) },
  int8: { size: 1, read: (view, at) => view.getInt8(at) },
  int16: { size: 2, read: (view, at) => view.getInt16(at, true) },
  int32: { size: 4, read: (view, at) => view.getInt32(at, true) },
  int64: { size: 8, read: (view, at) => view.getBigInt64(at, true) },
  float16: { size: 2, read: (view, at) => float16(view.getUint16(at, true)) },
  bfloat16: { size: 2, read: (view, at) => bfloat16(view.getUint16(at, true)) },
  float32: { size: 4, read: (view, at) => view.getFloat32(at, true) },
  float64: { size: 8, read: (view, at) => view.getFloat64(at, true) },
  complex64: { size: 4, read: (view, at) => view.getFloat32(at, true) },
  complex128: { size: 8, read: (view, at) => view.getFloat64(at, true) },
};

function bfloat16(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
}

function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
