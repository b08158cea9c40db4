/** From tensors to the bytes of a header, and to shards: everything about writing that needs no disk. */

import { NudgeError } from '../../errors.ts';
import { bytes, quote, showShape } from '../files/index.ts';
import {
  alignmentRank,
  isSafetensorsDtype,
  MAX_HEADER_BYTES,
  METADATA_KEY,
  PREFIX_BYTES,
  SAFETENSORS_DTYPES,
  type SafetensorsDtype,
  tensorSize,
} from './format.ts';

/** A tensor to write, without libtorch. */
export interface RawTensor {
  readonly dtype: SafetensorsDtype;
  /** Non-negative integers; empty for a scalar. */
  readonly shape: readonly number[];
  /** The elements, little-endian, in C order; a function is called when its turn comes, so that one tensor is held at a time. */
  readonly bytes: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

/** A tensor whose name and size are checked. */
export interface PlannedTensor {
  readonly name: string;
  readonly tensor: RawTensor;
  readonly size: number;
}

/** One file to come. */
export interface Layout {
  /** The length and the JSON, padded so that the data begins at a multiple of eight. */
  readonly header: Uint8Array;
  /** In the order of their data. */
  readonly tensors: readonly PlannedTensor[];
  /** Of the whole file, in bytes. */
  readonly fileBytes: number;
}

/**
 * Checks names, dtypes and shapes, in the order given.
 *
 * @throws NudgeError BAD_ARGUMENT naming the tensor.
 */
export function planTensors(tensors: Iterable<readonly [string, RawTensor]>): PlannedTensor[] {
  const names = new Set<string>();
  return Array.from(tensors, ([name, tensor]) => {
    const fail = (expected: string, received: string, remedy: string) =>
      new NudgeError('BAD_ARGUMENT', 'This tensor cannot be saved.', { path: quote(name), expected, received, remedy });
    if (name === METADATA_KEY) throw fail('a name for a tensor', 'the key of the metadata', 'Give it another name.');
    if (!name.isWellFormed()) throw fail('a name in Unicode', 'half a surrogate pair', 'Give it another name.');
    if (names.has(name)) throw fail('every name once', 'this name twice', 'Rename one of the two.');
    names.add(name);
    const { dtype, shape } = tensor;
    if (!isSafetensorsDtype(dtype)) {
      throw fail(SAFETENSORS_DTYPES.join(', '), String(dtype), 'Convert the tensor to one of these dtypes.');
    }
    if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
      throw fail('non-negative integers', showShape(shape), 'Pass the shape of the data.');
    }
    const size = tensorSize(dtype, shape);
    if ('problem' in size) {
      throw fail('a size in whole bytes', `${dtype} of shape ${showShape(shape)}: ${size.problem}`, 'Check the shape.');
    }
    return { name, tensor, size: size.bytes };
  });
}

/**
 * Lays one file out as the reference does: by descending alignment of the dtype, then by name in UTF-8 order, the header
 * padded with spaces. For the same tensors and at most one metadata entry the file equals the Python library's byte for
 * byte. (Python writes two or more entries in an order that changes with every run; here they are sorted.)
 *
 * @throws NudgeError BAD_ARGUMENT when the header would be longer than readers accept.
 */
export function layOut(tensors: readonly PlannedTensor[], metadata: ReadonlyMap<string, string> | null): Layout {
  const keyed = tensors.map((planned) => ({ planned, key: Buffer.from(planned.name) }));
  keyed.sort(
    (a, b) =>
      alignmentRank(b.planned.tensor.dtype) - alignmentRank(a.planned.tensor.dtype) || Buffer.compare(a.key, b.key),
  );
  const ordered = keyed.map(({ planned }) => planned);
  const fields: string[] = [];
  if (metadata !== null) fields.push(`"${METADATA_KEY}":{${metadataFields(metadata)}}`);
  let offset = 0;
  for (const { name, tensor, size } of ordered) {
    const entry = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, offset + size] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    offset += size;
  }
  const json = Buffer.from(`{${fields.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new NudgeError('BAD_ARGUMENT', 'The names and metadata of these tensors are too long for one file.', {
      expected: `a header of at most ${bytes(MAX_HEADER_BYTES)}`,
      received: bytes(length),
      remedy: 'Keep large texts in a file of their own, or save into several files with `maxShardBytes`.',
    });
  }
  const header = Buffer.alloc(PREFIX_BYTES + length, ' ');
  header.writeBigUInt64LE(BigInt(length), 0);
  json.copy(header, PREFIX_BYTES);
  return { header, tensors: ordered, fileBytes: header.length + offset };
}

function metadataFields(metadata: ReadonlyMap<string, string>): string {
  const entries = Array.from(metadata, ([key, text]) => ({ key: Buffer.from(key), field: metadataField(key, text) }));
  return entries
    .sort((a, b) => Buffer.compare(a.key, b.key))
    .map(({ field }) => field)
    .join(',');
}

function metadataField(key: string, text: unknown): string {
  if (typeof text === 'string' && text.isWellFormed() && key.isWellFormed()) {
    return `${JSON.stringify(key)}:${JSON.stringify(text)}`;
  }
  throw new NudgeError('BAD_ARGUMENT', 'This metadata cannot be saved.', {
    path: quote(key),
    expected: 'a string in Unicode as key and as value',
    received: typeof text === 'string' ? 'half a surrogate pair' : `a value of type ${typeof text}`,
    remedy: 'Turn the value into a string, for example with JSON.stringify.',
  });
}

/**
 * Splits tensors into shards, in the order given, as `huggingface_hub` does: a shard is closed when the next tensor would
 * make it larger than `maxBytes` of data; a tensor that is larger on its own gets a shard to itself.
 */
export function splitIntoShards(tensors: readonly PlannedTensor[], maxBytes: number): PlannedTensor[][] {
  const shards: PlannedTensor[][] = [];
  let current: PlannedTensor[] = [];
  let filled = 0;
  for (const planned of tensors) {
    if (planned.size > maxBytes) {
      shards.push([planned]);
      continue;
    }
    if (filled + planned.size > maxBytes) {
      shards.push(current);
      current = [];
      filled = 0;
    }
    current.push(planned);
    filled += planned.size;
  }
  if (current.length > 0 || shards.length === 0) shards.push(current);
  return shards;
}

/** The index of a sharded model, as `transformers` writes it: sorted by tensor name, two spaces of indentation. */
export function indexJson(shards: readonly { file: string; tensors: readonly PlannedTensor[] }[]): Uint8Array {
  const entries = shards.flatMap(({ file, tensors }) => tensors.map(({ name, size }) => ({ name, size, file })));
  const totalSize = entries.reduce((sum, { size }) => sum + size, 0);
  // Written field by field: an object would move names such as "0" to the front and swallow `__proto__`.
  const weights = entries
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, file }) => `    ${JSON.stringify(name)}: ${JSON.stringify(file)}`);
  const lines = weights.length === 0 ? '{}' : `{\n${weights.join(',\n')}\n  }`;
  return Buffer.from(`{\n  "metadata": {\n    "total_size": ${totalSize}\n  },\n  "weight_map": ${lines}\n}\n`);
}
