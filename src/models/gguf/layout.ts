/** From metadata and tensors to the bytes of a header and the places of the data: everything about writing that needs no disk. */

import { NudgeError } from '../../errors.ts';
import { quote, showShape } from '../files/index.ts';
import { ByteWriter, writeEntry } from './encode.ts';
import {
  ALIGNMENT_KEY,
  align,
  DEFAULT_ALIGNMENT,
  GGUF_TYPES,
  type GgufType,
  MAGIC,
  MAX_DIMENSIONS,
  MAX_TENSOR_NAME_BYTES,
  tensorSize,
  typeFacts,
  WRITTEN_VERSION,
} from './format.ts';
import type { GgufMetadata } from './metadata.ts';

/** A tensor to write, without libtorch. */
export interface GgufRawTensor {
  readonly type: GgufType;
  /** Positive integers in PyTorch's order; empty for a scalar. */
  readonly shape: readonly number[];
  /** The data in the type's own form, whole or piece by piece; a function is called when its turn comes. */
  readonly bytes: Uint8Array | (() => Pieces | Promise<Pieces>);
}
type Pieces = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** A tensor whose name and size are checked. */
export interface PlannedTensor {
  readonly name: string;
  readonly tensor: GgufRawTensor;
  readonly size: number;
  /** Zeros to follow the data. */
  readonly padding: number;
}

export interface Layout {
  /** Up to the first tensor's data, padding included. */
  readonly header: Uint8Array;
  readonly tensors: readonly PlannedTensor[];
  /** Of the whole file, in bytes. */
  readonly fileBytes: number;
}

/**
 * Lays a file out as Python's GGUFWriter does: for the same metadata and tensors in the same order, byte for byte.
 *
 * @throws NudgeError BAD_ARGUMENT naming the key or tensor that cannot be stored.
 */
export function layOutGguf(metadata: GgufMetadata, tensors: Iterable<readonly [string, GgufRawTensor]>): Layout {
  const alignment = alignmentOf(metadata);
  const planned = plan(tensors, alignment);
  const writer = new ByteWriter();
  writer.u32(MAGIC);
  writer.u32(WRITTEN_VERSION);
  writer.u64(planned.length);
  writer.u64(metadata.size);
  for (const [key, value] of metadata) writeEntry(writer, key, value);
  let offset = 0;
  for (const { name, tensor, size, padding } of planned) {
    writer.string(name);
    writer.u32(tensor.shape.length);
    for (const dim of tensor.shape.toReversed()) writer.u64(dim);
    writer.u32(typeFacts(tensor.type).id);
    writer.u64(offset);
    offset += size + padding;
  }
  writer.zeros(align(writer.length, alignment) - writer.length);
  return { header: writer.bytes(), tensors: planned, fileBytes: writer.length + offset };
}

function alignmentOf(metadata: GgufMetadata): number {
  const entry = metadata.get(ALIGNMENT_KEY);
  if (entry === undefined) return DEFAULT_ALIGNMENT;
  if (entry.type === 'uint32' && entry.value > 0 && Number.isInteger(Math.log2(entry.value))) return entry.value;
  throw new NudgeError('BAD_ARGUMENT', 'This metadata cannot be saved.', {
    path: quote(ALIGNMENT_KEY),
    expected: 'a power of two, as uint32',
    received: `${entry.type === 'array' ? 'an array' : entry.value} (${entry.type})`,
    remedy: `Leave ${ALIGNMENT_KEY} out.`,
  });
}

function plan(tensors: Iterable<readonly [string, GgufRawTensor]>, alignment: number): PlannedTensor[] {
  const names = new Set<string>();
  return Array.from(tensors, ([name, tensor]) => {
    const { type, shape } = tensor;
    const fail = (expected: string, received: string, remedy: string) =>
      new NudgeError('BAD_ARGUMENT', 'This tensor cannot be saved.', { path: quote(name), expected, received, remedy });
    const length = Buffer.byteLength(name);
    if (length === 0 || length > MAX_TENSOR_NAME_BYTES || !name.isWellFormed()) {
      throw fail(`a name of 1 to ${MAX_TENSOR_NAME_BYTES} bytes`, `${length} bytes`, 'Give it another name.');
    }
    if (names.has(name)) throw fail('every name once', 'this name twice', 'Rename one of the two.');
    names.add(name);
    if (!GGUF_TYPES.includes(type)) throw fail(GGUF_TYPES.join(', '), String(type), 'Choose one of these types.');
    const positive = shape.every((dim) => Number.isSafeInteger(dim) && dim > 0);
    if (!positive || shape.length > MAX_DIMENSIONS) {
      throw fail(
        `at most ${MAX_DIMENSIONS} positive sizes`,
        showShape(shape),
        'Leave empty tensors out; reshape others.',
      );
    }
    const size = tensorSize(type, shape);
    if ('problem' in size) {
      throw fail(
        'whole blocks',
        `${type} of shape ${showShape(shape)}: ${size.problem}`,
        'Choose another type for it.',
      );
    }
    return { name, tensor, size: size.bytes, padding: align(size.bytes, alignment) - size.bytes };
  });
}
