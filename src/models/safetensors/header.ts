/**
 * The header of a safetensors file: parsed and checked as a whole before a byte of tensor data is read or reserved.
 *
 * The checks are the reference implementation's (https://github.com/huggingface/safetensors, `SafeTensors::read_metadata`
 * and `Metadata::validate`, release 0.8). Stricter than the reference: a repeated tensor name or metadata key is refused
 * (it keeps the last), whitespace before the first `{` is refused (the format's text forbids it, the code lets it pass),
 * and so are serde's undocumented spellings of an entry (an array in place of the object).
 */

import { NudgeError } from '../../errors.ts';
import { type ByteSource, bytes, quote, quoteSome, readBytes, showShape } from '../files/index.ts';
import {
  isSafetensorsDtype,
  MAX_HEADER_BYTES,
  METADATA_KEY,
  PREFIX_BYTES,
  SAFETENSORS_DTYPES,
  type SafetensorsDtype,
  tensorSize,
} from './format.ts';
import { OtherNumber, parseStrictJson, type StrictJson, StrictJsonError } from './json.ts';

/** Where one tensor lies and how to read its bytes. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  /** Sizes by dimension, in C order; empty for a scalar. */
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly begin: number;
  /** One past the last byte; `end - begin` is exactly what `dtype` and `shape` need. */
  readonly end: number;
}

export interface SafetensorsHeader {
  /** By name, in the order of the data. A Map, so that a tensor called `__proto__` is only a name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The free text under `__metadata__`; empty when there is none. */
  readonly metadata: ReadonlyMap<string, string>;
}

const CORRUPT = 'Download or copy the file again; if you wrote it yourself, write it with a safetensors library.';
const INCOMPLETE = 'Download or copy the file again: it is incomplete.';

// What people have on disk when a .safetensors file is none, by its first bytes.
const IMPOSTORS: readonly (readonly [prefix: string, what: string, remedy: string])[] = [
  ['version ', 'a Git LFS pointer', 'Run `git lfs pull` in the repository to fetch the real file.'],
  [
    'PK\u0003\u0004',
    'a zip archive, probably a PyTorch checkpoint',
    'Convert it with `safetensors.torch.save_file` in Python.',
  ],
  ['GGUF', 'a GGUF file', 'Pass the safetensors files of the model instead.'],
  ['<!', 'an HTML page, probably a download error', 'Download the file again.'],
  ['<htm', 'an HTML page, probably a download error', 'Download the file again.'],
];

/**
 * Reads and checks the header of a file.
 *
 * @throws NudgeError BAD_FILE when the file is damaged, incomplete or not a safetensors file.
 */
export async function readHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const { label, size } = source;
  if (size < PREFIX_BYTES) {
    throw new NudgeError('BAD_FILE', 'This file is too short to be a safetensors file.', {
      path: label,
      expected: `at least the ${PREFIX_BYTES} bytes of the header's length`,
      received: bytes(size),
      remedy: INCOMPLETE,
    });
  }
  const length = headerLength(await readBytes(source, 0, PREFIX_BYTES), size, label);
  return parseHeader(await readBytes(source, PREFIX_BYTES, length), size, label);
}

/**
 * The length of the header's JSON, in bytes, from the file's first eight bytes.
 *
 * @param fileSize of the whole file, in bytes.
 * @param file shown in errors.
 * @throws NudgeError BAD_FILE when the length cannot be: under 2, over the format's cap or past the end of the file.
 */
export function headerLength(prefix: Uint8Array, fileSize: number, file: string): number {
  const length = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES).getBigUint64(0, true);
  const start = Buffer.from(prefix).toString('latin1');
  const impostor = IMPOSTORS.find(([signature]) => start.startsWith(signature));
  if (impostor !== undefined && length > BigInt(fileSize)) {
    const [, what, remedy] = impostor;
    throw new NudgeError('BAD_FILE', `This is ${what}, not a safetensors file.`, { path: file, remedy });
  }
  const summary = 'The length of the safetensors header is impossible.';
  const received = `${length} bytes`;
  if (length > BigInt(MAX_HEADER_BYTES)) {
    const expected = `at most ${bytes(MAX_HEADER_BYTES)}`;
    throw new NudgeError('BAD_FILE', summary, { path: file, expected, received, remedy: CORRUPT });
  }
  if (length < 2n) {
    throw new NudgeError('BAD_FILE', summary, {
      path: file,
      expected: 'at least 2 bytes, "{}"',
      received,
      remedy: CORRUPT,
    });
  }
  if (PREFIX_BYTES + Number(length) > fileSize) {
    const expected = `at most the ${bytes(fileSize - PREFIX_BYTES)} that the file has after the length`;
    throw new NudgeError('BAD_FILE', summary, { path: file, expected, received, remedy: INCOMPLETE });
  }
  return Number(length);
}

/**
 * Parses the header's JSON and checks every claim it makes against the file's size.
 *
 * @param json exactly the bytes that `headerLength` announced.
 * @param fileSize of the whole file, in bytes.
 * @param file shown in errors.
 * @throws NudgeError BAD_FILE naming the tensor, what was expected and what was received.
 */
export function parseHeader(json: Uint8Array, fileSize: number, file: string): SafetensorsHeader {
  const root = headerObject(json, file);
  const metadata = parseMetadata(root.get(METADATA_KEY), file);
  root.delete(METADATA_KEY);
  const dataStart = PREFIX_BYTES + json.length;
  const tensors: TensorInfo[] = [];
  for (const [name, value] of root) tensors.push(parseEntry(name, value, dataStart, file));
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(tensors, dataStart, fileSize, file);
  return { tensors: new Map(tensors.map((info) => [info.name, info])), metadata };
}

function headerObject(json: Uint8Array, file: string): Map<string, StrictJson> {
  const fail = (expected: string, received: string, cause?: unknown) =>
    new NudgeError('BAD_FILE', 'The safetensors header is not valid.', {
      path: file,
      expected,
      received,
      remedy: CORRUPT,
      cause,
    });
  if (json[0] !== 0x7b) throw fail('"{" as the first byte', `0x${(json[0] ?? 0).toString(16).padStart(2, '0')}`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json);
  } catch (cause) {
    throw fail('UTF-8', 'bytes that are not UTF-8', cause);
  }
  try {
    // It begins with "{", so what parses is an object.
    return parseStrictJson(text) as Map<string, StrictJson>;
  } catch (cause) {
    if (cause instanceof StrictJsonError) throw fail('JSON in which no key is repeated', cause.message, cause);
    throw cause;
  }
}

function parseMetadata(value: StrictJson | undefined, file: string): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  // The reference reads null as "none".
  if (value === undefined || value === null) return metadata;
  const fail = (received: string) =>
    new NudgeError('BAD_FILE', `${METADATA_KEY} in the safetensors header is not valid.`, {
      path: file,
      expected: 'an object of strings',
      received,
      remedy: CORRUPT,
    });
  if (!(value instanceof Map)) throw fail(describeJson(value));
  for (const [key, text] of value) {
    if (typeof text !== 'string') throw fail(`${describeJson(text)} under ${quote(key)}`);
    metadata.set(key, text);
  }
  return metadata;
}

function parseEntry(name: string, value: StrictJson, dataStart: number, file: string): TensorInfo {
  const fail = (field: string, expected: string, received: string) =>
    new NudgeError('BAD_FILE', `The safetensors header has a tensor with an invalid ${field}.`, {
      path: tensorPath(file, name),
      expected,
      received,
      remedy: CORRUPT,
    });
  if (!(value instanceof Map)) throw fail('entry', 'an object with dtype, shape and data_offsets', describeJson(value));
  const dtype = value.get('dtype');
  if (!isSafetensorsDtype(dtype)) throw fail('dtype', SAFETENSORS_DTYPES.join(', '), describeJson(dtype));
  const shape = value.get('shape');
  if (!isSizes(shape)) throw fail('shape', 'an array of integers from 0 to 2^53 - 1', describeBadSizes(shape));
  const offsets = value.get('data_offsets');
  if (!isSizes(offsets)) throw fail('data_offsets', 'two integers, 0 <= begin <= end', describeBadSizes(offsets));
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length !== 2 || begin > end) {
    throw fail('data_offsets', 'two integers, 0 <= begin <= end', showShape(offsets));
  }
  const size = tensorSize(dtype, shape);
  const what = `${dtype} of shape ${showShape(shape)}`;
  if ('problem' in size) throw fail('shape', 'a size in whole bytes below 2^50', `${what}: ${size.problem}`);
  if (end - begin !== size.bytes) {
    throw fail('data_offsets', `${bytes(size.bytes)} for ${what}`, `${bytes(end - begin)}, [${begin}, ${end}]`);
  }
  return { name, dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

/** The tensors, in the order of their data, must cover the rest of the file exactly once. */
function checkCoverage(tensors: readonly TensorInfo[], dataStart: number, fileSize: number, file: string): void {
  let position = dataStart;
  let previous: string | undefined;
  for (const { name, begin, end } of tensors) {
    if (begin !== position) {
      const after = previous === undefined ? 'the first tensor' : `the tensor after ${quote(previous)}`;
      throw new NudgeError(
        'BAD_FILE',
        `The tensors of this file ${begin < position ? 'overlap' : 'leave a hole between them'}.`,
        {
          path: tensorPath(file, name),
          expected: `${after} to begin at ${position - dataStart}`,
          received: `data_offsets [${begin - dataStart}, ${end - dataStart}]`,
          remedy: CORRUPT,
        },
      );
    }
    position = end;
    previous = name;
  }
  if (position === fileSize) return;
  const short = position > fileSize;
  throw new NudgeError(
    'BAD_FILE',
    short ? 'This safetensors file is cut short.' : 'This safetensors file has bytes after its last tensor.',
    {
      path: file,
      expected: `${bytes(position)}, by the header`,
      received: bytes(fileSize),
      remedy: short ? INCOMPLETE : CORRUPT,
    },
  );
}

/** How a file and one of its tensors appear in errors. */
export function tensorPath(file: string, name: string): string {
  return `${file}, tensor ${quote(name)}`;
}

function isSizes(value: StrictJson | undefined): value is number[] {
  return Array.isArray(value) && value.every((size) => typeof size === 'number');
}

function describeBadSizes(value: StrictJson | undefined): string {
  const bad = Array.isArray(value) ? value.findIndex((size) => typeof size !== 'number') : -1;
  return Array.isArray(value) ? `${describeJson(value[bad])} at position ${bad}` : describeJson(value);
}

function describeJson(value: StrictJson | undefined): string {
  if (value === undefined) return 'nothing';
  if (value instanceof OtherNumber) return value.text.length > 40 ? `${value.text.slice(0, 40)}…` : value.text;
  if (value instanceof Map)
    return value.size === 0 ? 'an empty object' : `an object with ${quoteSome([...value.keys()], 3)}`;
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'string' ? quote(value) : String(value);
}
