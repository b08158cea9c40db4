/**
 * The constants of the GGUF format and the arithmetic of tensor sizes.
 *
 * A file is: the magic "GGUF", a version, the counts of tensors and of metadata entries; the metadata, typed key by key; a
 * list of tensors (name, sizes with the fastest dimension first, type, offset); padding; the tensors' bytes, each aligned.
 * Little-endian. Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, checked against Python's gguf 0.19.
 */

/** "GGUF" as a little-endian u32. */
export const MAGIC = 0x46554747;

/** Versions that are read (2 and 3 have the same layout; 1 counted in 32 bits). 3 is written. */
export const VERSIONS: readonly number[] = [2, 3];
export const WRITTEN_VERSION = 3;

/** Magic, version and the two counts. */
export const PREFIX_BYTES = 24;

/** Metadata and tensor list of real models are under 20 MB (vocabularies of 256,000 tokens with their merges). */
export const MAX_HEADER_BYTES = 128 * 1024 * 1024;

/** Of the tensors' data, where `general.alignment` does not say otherwise. */
export const DEFAULT_ALIGNMENT = 32;
export const ALIGNMENT_KEY = 'general.alignment';

/** ggml's own limits. */
export const MAX_DIMENSIONS = 4;
export const MAX_TENSOR_NAME_BYTES = 63;
export const MAX_KEY_BYTES = 65_535;

/** Arrays in arrays are in the format but in no known model. */
export const MAX_ARRAY_DEPTH = 4;

/** The metadata's value types; the position is the number in the file. */
export const VALUE_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;
export type ValueType = (typeof VALUE_TYPES)[number];

/** Bytes of a value; of a string or array, the least it can take. */
export const VALUE_BYTES: Readonly<Record<ValueType, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  string: 8,
  array: 12,
  uint64: 8,
  int64: 8,
  float64: 8,
};

interface TypeFacts {
  /** The number in the file. */
  readonly id: number;
  /** Elements that are stored together; 1 for plain numbers. */
  readonly block: number;
  /** Bytes of a block. */
  readonly bytes: number;
}

// The order of the list in errors. Q8_1 and Q8_K are types of computation: no file should hold them.
const TYPES = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  BF16: { id: 30, block: 1, bytes: 2 },
  F64: { id: 28, block: 1, bytes: 8 },
  I8: { id: 24, block: 1, bytes: 1 },
  I16: { id: 25, block: 1, bytes: 2 },
  I32: { id: 26, block: 1, bytes: 4 },
  I64: { id: 27, block: 1, bytes: 8 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q4_1: { id: 3, block: 32, bytes: 20 },
  Q5_0: { id: 6, block: 32, bytes: 22 },
  Q5_1: { id: 7, block: 32, bytes: 24 },
  Q2_K: { id: 10, block: 256, bytes: 84 },
  Q3_K: { id: 11, block: 256, bytes: 110 },
  Q4_K: { id: 12, block: 256, bytes: 144 },
  Q5_K: { id: 13, block: 256, bytes: 176 },
  Q6_K: { id: 14, block: 256, bytes: 210 },
  Q8_1: { id: 9, block: 32, bytes: 40 },
  Q8_K: { id: 15, block: 256, bytes: 292 },
  IQ2_XXS: { id: 16, block: 256, bytes: 66 },
  IQ2_XS: { id: 17, block: 256, bytes: 74 },
  IQ3_XXS: { id: 18, block: 256, bytes: 98 },
  IQ1_S: { id: 19, block: 256, bytes: 50 },
  IQ4_NL: { id: 20, block: 32, bytes: 18 },
  IQ3_S: { id: 21, block: 256, bytes: 110 },
  IQ2_S: { id: 22, block: 256, bytes: 82 },
  IQ4_XS: { id: 23, block: 256, bytes: 136 },
  IQ1_M: { id: 29, block: 256, bytes: 56 },
  TQ1_0: { id: 34, block: 256, bytes: 54 },
  TQ2_0: { id: 35, block: 256, bytes: 66 },
  MXFP4: { id: 39, block: 32, bytes: 17 },
  NVFP4: { id: 40, block: 64, bytes: 36 },
  Q1_0: { id: 41, block: 128, bytes: 18 },
} as const satisfies Record<string, TypeFacts>;

/** A tensor's type as ggml spells it. */
export type GgufType = keyof typeof TYPES;

/** Every type whose size is known. Which of them become tensors: `READABLE_TYPES`. */
export const GGUF_TYPES = Object.keys(TYPES) as readonly GgufType[];

const BY_ID = new Map<number, GgufType>(GGUF_TYPES.map((type) => [TYPES[type].id, type]));

export function typeFacts(type: GgufType): TypeFacts {
  return TYPES[type];
}

/** The type behind a number in a file; undefined for one that was removed or came later. */
export function typeOfId(id: number): GgufType | undefined {
  return BY_ID.get(id);
}

/** PyTorch's dtype for the types that are plain numbers. */
export const TORCH_DTYPES = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F64: 'float64',
  I8: 'int8',
  I16: 'int16',
  I32: 'int32',
  I64: 'int64',
} as const satisfies Partial<Record<GgufType, string>>;
export type PlainType = keyof typeof TORCH_DTYPES;

export function isPlain(type: GgufType): type is PlainType {
  return Object.hasOwn(TORCH_DTYPES, type);
}

export type TensorSize = { readonly bytes: number } | { readonly problem: string };

/**
 * Bytes that a tensor takes, or why it has no size.
 *
 * @param shape positive safe integers in PyTorch's order, the last dimension contiguous; empty for a scalar.
 */
export function tensorSize(type: GgufType, shape: readonly number[]): TensorSize {
  const { block, bytes } = TYPES[type];
  const row = shape.at(-1) ?? 1;
  if (row % block !== 0) {
    return { problem: `rows of ${row} elements are not whole blocks of ${block}` };
  }
  // The product stays exact below 2^53; past that it is refused whatever it is.
  let size = (row / block) * bytes;
  let elements = row;
  for (const dim of shape.slice(0, -1)) {
    size *= dim;
    elements *= dim;
    if (size > Number.MAX_SAFE_INTEGER || elements > Number.MAX_SAFE_INTEGER) return { problem: 'its size overflows' };
  }
  return size > Number.MAX_SAFE_INTEGER ? { problem: 'its size overflows' } : { bytes: size };
}

/** `position` moved up to a multiple of a power of two. */
export function align(position: number, alignment: number): number {
  return Math.ceil(position / alignment) * alignment;
}
