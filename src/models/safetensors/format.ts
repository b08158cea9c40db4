/**
 * The constants of the safetensors format and the arithmetic of tensor sizes.
 *
 * A file is: 8 bytes, the header's length N as a little-endian u64; N bytes of JSON; then the tensors' bytes,
 * little-endian, in C order, without a gap, a hole or an overlap. Source: https://github.com/huggingface/safetensors
 * (checked against release 0.8).
 */

/** Bytes before the header's JSON. */
export const PREFIX_BYTES = 8;

/** The reference implementation's cap: a longer header is an attack or garbage, never a model. */
export const MAX_HEADER_BYTES = 100_000_000;

/** The header's one key that is not a tensor: free text about the file. */
export const METADATA_KEY = '__metadata__';

interface DtypeFacts {
  /** Size of one element. */
  readonly bits: number;
  /** PyTorch's name; null where PyTorch stores the type packed or not at all. */
  readonly torch: string | null;
}

// In the order of the reference's enum: it calls this "increasing alignment" and lays tensors out in the reverse of it,
// so this order decides whether our files are byte-identical to Python's.
const DTYPES = {
  BOOL: { bits: 8, torch: 'bool' },
  F4: { bits: 4, torch: null },
  F6_E2M3: { bits: 6, torch: null },
  F6_E3M2: { bits: 6, torch: null },
  U8: { bits: 8, torch: 'uint8' },
  I8: { bits: 8, torch: 'int8' },
  F8_E5M2: { bits: 8, torch: 'float8_e5m2' },
  F8_E4M3: { bits: 8, torch: 'float8_e4m3fn' },
  F8_E8M0: { bits: 8, torch: 'float8_e8m0fnu' },
  F8_E4M3FNUZ: { bits: 8, torch: 'float8_e4m3fnuz' },
  F8_E5M2FNUZ: { bits: 8, torch: 'float8_e5m2fnuz' },
  I16: { bits: 16, torch: 'int16' },
  U16: { bits: 16, torch: 'uint16' },
  F16: { bits: 16, torch: 'float16' },
  BF16: { bits: 16, torch: 'bfloat16' },
  I32: { bits: 32, torch: 'int32' },
  U32: { bits: 32, torch: 'uint32' },
  F32: { bits: 32, torch: 'float32' },
  C64: { bits: 64, torch: 'complex64' },
  F64: { bits: 64, torch: 'float64' },
  I64: { bits: 64, torch: 'int64' },
  U64: { bits: 64, torch: 'uint64' },
} as const satisfies Record<string, DtypeFacts>;

/** A dtype as the format spells it. */
export type SafetensorsDtype = keyof typeof DTYPES;

/** A PyTorch dtype that the format can hold. */
export type StorableTorchDtype = Exclude<(typeof DTYPES)[SafetensorsDtype]['torch'], null>;

/** Every dtype of the format, by increasing alignment. */
export const SAFETENSORS_DTYPES = Object.keys(DTYPES) as readonly SafetensorsDtype[];

const RANK = new Map(SAFETENSORS_DTYPES.map((dtype, rank) => [dtype, rank]));
const FROM_TORCH = new Map<string, SafetensorsDtype>();
for (const dtype of SAFETENSORS_DTYPES) {
  const { torch } = DTYPES[dtype];
  if (torch !== null) FROM_TORCH.set(torch, dtype);
}

export function isSafetensorsDtype(value: unknown): value is SafetensorsDtype {
  return typeof value === 'string' && Object.hasOwn(DTYPES, value);
}

/** PyTorch's name for a dtype of the format; null for the sub-byte types, which PyTorch has no element type for. */
export function torchDtype(dtype: SafetensorsDtype): StorableTorchDtype | null {
  return DTYPES[dtype].torch;
}

/** The format's name for a PyTorch dtype; undefined for one that it cannot hold (complex128, quantised types). */
export function safetensorsDtype(torch: string): SafetensorsDtype | undefined {
  return FROM_TORCH.get(torch);
}

/** True for a floating-point type, the ones that a change of precision is meant for. */
export function isFloatingPoint(dtype: SafetensorsDtype): boolean {
  return dtype.startsWith('F') || dtype.startsWith('BF');
}

/** Where a dtype stands in the order of alignment: a larger number is laid out earlier in a file. */
export function alignmentRank(dtype: SafetensorsDtype): number {
  return RANK.get(dtype) as number;
}

export type TensorSize = { readonly bytes: number } | { readonly problem: string };

/**
 * Bytes that a tensor takes, or why it has no size.
 *
 * A zero dimension makes the tensor empty but does not excuse the others: `[0, 2^50, 2^50]` is refused although it holds
 * nothing, because its strides overflow in every library that builds it (the reference is more lenient here).
 *
 * @param shape non-negative safe integers; the empty shape is a scalar.
 */
export function tensorSize(dtype: SafetensorsDtype, shape: readonly number[]): TensorSize {
  const { bits } = DTYPES[dtype];
  let extent = bits;
  let empty = false;
  for (const dim of shape) {
    if (dim === 0) empty = true;
    else extent *= dim;
    if (extent > Number.MAX_SAFE_INTEGER) return { problem: 'its size overflows' };
  }
  if (empty) return { bytes: 0 };
  if (extent % 8 !== 0) return { problem: `its ${bits}-bit elements do not fill whole bytes` };
  return { bytes: extent / 8 };
}
