/**
 * The header of a GGUF file: metadata and the list of tensors, parsed and checked as a whole before a byte of tensor data is
 * read or reserved.
 *
 * The checks are those of ggml's `gguf_init_from_file`, with these differences. Stricter: text must be UTF-8, booleans 0 or 1,
 * no dimension 0, every tensor's bytes inside the file. More lenient: arrays may hold arrays, tensors may lie in any order
 * and leave gaps (but never overlap).
 */

import { NudgeError } from '../../errors.ts';
import { type ByteSource, bytes, quote, readBytes, showShape } from '../files/index.ts';
import { CORRUPT, Cursor, INCOMPLETE, NeedsMore } from './cursor.ts';
import {
  ALIGNMENT_KEY,
  align,
  DEFAULT_ALIGNMENT,
  GGUF_TYPES,
  type GgufType,
  MAX_ARRAY_DEPTH,
  MAX_DIMENSIONS,
  MAX_HEADER_BYTES,
  MAX_KEY_BYTES,
  PREFIX_BYTES,
  tensorSize,
  typeOfId,
  VALUE_BYTES,
  VALUE_TYPES,
  type ValueType,
  VERSIONS,
} from './format.ts';
import { ARRAY_CLASSES, type GgufArray, type GgufMetadata, type GgufValue } from './metadata.ts';

/** Where one tensor lies and how to read its bytes. */
export interface GgufTensorInfo {
  readonly name: string;
  readonly type: GgufType;
  /** In PyTorch's order, the reverse of the file's; empty for a scalar. */
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly begin: number;
  /** One past the last byte; `end - begin` is exactly what `type` and `shape` need. */
  readonly end: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: GgufMetadata;
  /** By name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
  readonly alignment: number;
}

// What is read at first, and how much more when the header turns out to be longer. Most headers with a vocabulary of 50,000
// tokens take under 2 MB; the work that starting again repeats adds up to a third.
const FIRST_BYTES = 4 * 1024 * 1024;
const GROWTH = 4;

// What people have on disk when a .gguf file is none, by its first bytes.
const IMPOSTORS: readonly (readonly [prefix: string, what: string, remedy: string])[] = [
  ['version ', 'a Git LFS pointer', 'Run `git lfs pull` in the repository to fetch the real file.'],
  ['PK\u0003\u0004', 'a zip archive', 'Unpack it, and pass the .gguf file inside if there is one.'],
  ['lmgg', 'a GGML file, the format before GGUF', 'Convert the original model to GGUF with a current llama.cpp.'],
  ['tjgg', 'a GGJT file, a format before GGUF', 'Convert the original model to GGUF with a current llama.cpp.'],
  ['fmgg', 'a GGMF file, a format before GGUF', 'Convert the original model to GGUF with a current llama.cpp.'],
  ['<!', 'an HTML page, probably a download error', 'Download the file again.'],
  ['<htm', 'an HTML page, probably a download error', 'Download the file again.'],
];

/**
 * Reads and checks the header of a file.
 *
 * @throws NudgeError BAD_FILE when the file is damaged, incomplete, of an unknown version or not a GGUF file.
 */
export async function readGgufHeader(source: ByteSource): Promise<GgufHeader> {
  const most = Math.min(source.size, MAX_HEADER_BYTES);
  // The prefix alone first: a file that is none must not cost 4 MB.
  const prefix = await readBytes(source, 0, Math.min(source.size, PREFIX_BYTES));
  checkPrefix(prefix, source.size, source.label);
  for (let length = Math.min(FIRST_BYTES, most); ; length = Math.min(length * GROWTH, most)) {
    try {
      return parseGgufHeader(await readBytes(source, 0, length), source.size, source.label);
    } catch (error) {
      if (!(error instanceof NeedsMore)) throw error;
    }
  }
}

/**
 * Parses a header and checks every claim that it makes against the file's size.
 *
 * @param head the first bytes of the file.
 * @param fileSize of the whole file, in bytes.
 * @param file shown in errors.
 * @throws NudgeError BAD_FILE naming the entry or tensor, what was expected and what was received; NeedsMore when `head`
 * is shorter than the header (never when it is the whole file).
 */
export function parseGgufHeader(head: Uint8Array, fileSize: number, file: string): GgufHeader {
  const version = checkPrefix(head, fileSize, file);
  const cursor = new Cursor(head, fileSize, MAX_HEADER_BYTES, file);
  cursor.take(8, 'the magic and version');
  // A tensor takes a name, a count of dimensions, a type and an offset; an entry a key, a type and a byte.
  const tensorCount = cursor.count('the count of tensors', 24);
  const entryCount = cursor.count('the count of metadata entries', 13);
  const metadata = readMetadata(cursor, entryCount);
  const alignment = readAlignment(metadata, file);
  const listed: ListedTensor[] = [];
  for (let i = 0; i < tensorCount; i++) listed.push(readTensor(cursor, i, alignment));
  const tensors = placeTensors(listed, align(cursor.position, alignment), fileSize, file);
  return { version, metadata, tensors, alignment };
}

/** The version, when this is a GGUF file that can be read. */
function checkPrefix(head: Uint8Array, fileSize: number, file: string): number {
  const start = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, PREFIX_BYTES)).toString('latin1');
  if (!start.startsWith('GGUF')) {
    const impostor = IMPOSTORS.find(([signature]) => start.startsWith(signature));
    const what =
      impostor?.[1] ?? (head.length === 0 ? 'an empty file' : `a file that begins with ${quote(start.slice(0, 8))}`);
    throw new NudgeError('BAD_FILE', 'This is not a GGUF file.', {
      path: file,
      expected: '"GGUF" as the first four bytes',
      received: what,
      remedy: impostor?.[2] ?? 'Pass a .gguf file; safetensors models are loaded from their directory.',
    });
  }
  if (fileSize < PREFIX_BYTES) {
    throw new NudgeError('BAD_FILE', 'This GGUF file is cut short.', {
      path: file,
      expected: `at least ${bytes(PREFIX_BYTES)}`,
      received: bytes(fileSize),
      remedy: INCOMPLETE,
    });
  }
  const version = new DataView(head.buffer, head.byteOffset).getUint32(4, true);
  if (VERSIONS.includes(version)) return version;
  // A big-endian 3 read as little-endian is 3 * 2^24.
  const swapped = (version & 0xffff) === 0;
  throw new NudgeError('BAD_FILE', 'This version of GGUF cannot be read.', {
    path: file,
    expected: `version ${VERSIONS.join(' or ')}, little-endian`,
    received: swapped ? 'a big-endian file' : `version ${version}`,
    remedy: swapped
      ? 'Convert the original model without --bigendian.'
      : version === 1
        ? 'Convert the original model again: version 1 was replaced in August 2023.'
        : 'Download the file again; if it is newer than this program, update the program.',
  });
}

function readMetadata(cursor: Cursor, count: number): GgufMetadata {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.string(`key ${i}`);
    if (key.length === 0 || Buffer.byteLength(key) > MAX_KEY_BYTES) {
      throw cursor.fail(`key ${i}`, `a key of 1 to ${MAX_KEY_BYTES} bytes`, quote(key));
    }
    const what = `metadata ${quote(key)}`;
    if (metadata.has(key)) throw cursor.fail(what, 'every key once', 'this key twice');
    metadata.set(key, readValue(cursor, readValueType(cursor, what), what));
  }
  return metadata;
}

function readValueType(cursor: Cursor, what: string): ValueType {
  const id = cursor.u32(what);
  const type = VALUE_TYPES[id];
  if (type !== undefined) return type;
  throw cursor.fail(what, `a value type from 0 to ${VALUE_TYPES.length - 1}`, String(id));
}

function readValue(cursor: Cursor, type: ValueType, what: string): GgufValue {
  switch (type) {
    case 'string':
      return { type, value: cursor.string(what) };
    case 'array':
      return readArray(cursor, what, 1);
    case 'bool': {
      const value = cursor.u8(what);
      if (value > 1) throw cursor.fail(what, '0 or 1 for a boolean', String(value));
      return { type, value: value === 1 };
    }
    case 'uint64':
    case 'int64': {
      const value = cursor.u64(what);
      return { type, value: type === 'int64' ? BigInt.asIntN(64, value) : value };
    }
    default:
      return { type, value: readNumbers(cursor, type, 1, what)[0] as number };
  }
}

function readArray(cursor: Cursor, what: string, depth: number): GgufArray {
  const of = readValueType(cursor, what);
  const count = cursor.count(what, VALUE_BYTES[of]);
  if (of === 'string') {
    const value: string[] = [];
    for (let i = 0; i < count; i++) value.push(cursor.string(what));
    return { type: 'array', of, value };
  }
  if (of === 'array') {
    if (depth === MAX_ARRAY_DEPTH) throw cursor.fail(what, `arrays nested at most ${MAX_ARRAY_DEPTH} deep`, 'deeper');
    const value: GgufArray[] = [];
    for (let i = 0; i < count; i++) value.push(readArray(cursor, what, depth + 1));
    return { type: 'array', of, value };
  }
  const value = readNumbers(cursor, of, count, what);
  if (of === 'bool') {
    const bad = (value as Uint8Array).findIndex((byte) => byte > 1);
    if (bad >= 0) throw cursor.fail(what, '0 or 1 for a boolean', `${value[bad]} at position ${bad}`);
  }
  return { type: 'array', of, value };
}

function readNumbers(cursor: Cursor, type: keyof typeof ARRAY_CLASSES, count: number, what: string) {
  const source = cursor.slice(count * VALUE_BYTES[type], what);
  // A copy of its own: aligned, and it does not keep the whole header alive.
  return new ARRAY_CLASSES[type](new Uint8Array(source).buffer);
}

function readAlignment(metadata: GgufMetadata, file: string): number {
  const entry = metadata.get(ALIGNMENT_KEY);
  if (entry === undefined) return DEFAULT_ALIGNMENT;
  if (entry.type === 'uint32' && entry.value > 0 && Number.isInteger(Math.log2(entry.value))) return entry.value;
  throw new NudgeError('BAD_FILE', 'The alignment of this GGUF file is not valid.', {
    path: `${file}, metadata ${quote(ALIGNMENT_KEY)}`,
    expected: 'a power of two, as uint32',
    received: `${entry.type === 'array' ? 'an array' : entry.value} (${entry.type})`,
    remedy: CORRUPT,
  });
}

interface ListedTensor {
  readonly name: string;
  readonly type: GgufType;
  readonly shape: readonly number[];
  readonly size: number;
  /** From the start of the data. */
  readonly offset: number;
}

function readTensor(cursor: Cursor, index: number, alignment: number): ListedTensor {
  const name = cursor.string(`the name of tensor ${index}`);
  const what = `tensor ${quote(name)}`;
  if (name.length === 0) throw cursor.fail(`the name of tensor ${index}`, 'a name', 'an empty string');
  const rank = cursor.u32(what);
  if (rank > MAX_DIMENSIONS) throw cursor.fail(what, `at most ${MAX_DIMENSIONS} dimensions`, String(rank));
  const shape: number[] = [];
  for (let i = 0; i < rank; i++) {
    const dim = cursor.u64(what);
    if (dim === 0n || dim > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw cursor.fail(what, 'sizes from 1 to 2^53 - 1', `${dim} as dimension ${i}`);
    }
    shape.unshift(Number(dim));
  }
  const id = cursor.u32(what);
  const type = typeOfId(id);
  if (type === undefined) {
    throw cursor.fail(
      what,
      `a known type: ${GGUF_TYPES.join(', ')}`,
      `type number ${id}, which was removed or is newer`,
    );
  }
  const size = tensorSize(type, shape);
  if ('problem' in size) {
    throw cursor.fail(
      what,
      'a size in whole blocks below 2^53',
      `${type} of shape ${showShape(shape)}: ${size.problem}`,
    );
  }
  const offset = cursor.u64(what);
  if (offset % BigInt(alignment) !== 0n) throw cursor.fail(what, `an offset aligned to ${alignment}`, String(offset));
  // Past 2^53 it is past the end of any file, which is refused later with the file's size.
  return { name, type, shape, size: size.bytes, offset: Number(offset) };
}

/** Every tensor inside the file, no two of the same name and no two over one another. */
function placeTensors(
  listed: readonly ListedTensor[],
  dataStart: number,
  fileSize: number,
  file: string,
): ReadonlyMap<string, GgufTensorInfo> {
  const fail = (summary: string, name: string, expected: string, received: string, remedy = CORRUPT) =>
    new NudgeError('BAD_FILE', summary, { path: `${file}, tensor ${quote(name)}`, expected, received, remedy });
  const tensors = new Map<string, GgufTensorInfo>();
  for (const { name, type, shape, size, offset } of listed) {
    if (tensors.has(name)) throw fail('This GGUF file has a tensor twice.', name, 'every name once', 'this name twice');
    const begin = dataStart + offset;
    const end = begin + size;
    if (end > fileSize) {
      const expected = `${bytes(end)} at least, where this tensor ends`;
      throw fail('This GGUF file is cut short.', name, expected, bytes(fileSize), INCOMPLETE);
    }
    tensors.set(name, { name, type, shape, begin, end });
  }
  const ordered = [...tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end);
  ordered.reduce((before: GgufTensorInfo | undefined, info) => {
    if (before === undefined || info.begin >= before.end) return info;
    const expected = `a tensor that begins at ${bytes(before.end)} or later, after ${quote(before.name)}`;
    throw fail('Two tensors of this GGUF file overlap.', info.name, expected, `[${info.begin}, ${info.end})`);
  }, undefined);
  return tensors;
}
