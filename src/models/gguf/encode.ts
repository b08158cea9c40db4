/** Values of a GGUF header as bytes. */

import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';
import { MAX_KEY_BYTES, VALUE_BYTES, VALUE_TYPES, type ValueType } from './format.ts';
import { ARRAY_CLASSES, type GgufArray, type GgufValue, showType } from './metadata.ts';

/** Bytes that grow at their end. */
export class ByteWriter {
  #buffer = Buffer.allocUnsafe(64 * 1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What was written, not copied. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#buffer.writeUInt32LE(value, at);
  }

  u64(value: number | bigint): void {
    const at = this.#room(8);
    this.#buffer.writeBigUInt64LE(BigInt(value), at);
  }

  /** A length and UTF-8. */
  string(text: string): void {
    const length = Buffer.byteLength(text);
    this.u64(length);
    const at = this.#room(length);
    this.#buffer.write(text, at, 'utf8');
  }

  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#buffer.set(bytes, at);
  }

  zeros(count: number): void {
    const at = this.#room(count);
    this.#buffer.fill(0, at, at + count);
  }

  // Called before the buffer is looked at: it may become another one.
  #room(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#length, 2 * this.#buffer.length));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    return at;
  }
}

const WHOLE: Partial<Record<ValueType, readonly [low: number, high: number]>> = {
  uint8: [0, 0xff],
  int8: [-0x80, 0x7f],
  uint16: [0, 0xffff],
  int16: [-0x8000, 0x7fff],
  uint32: [0, 0xffffffff],
  int32: [-0x80000000, 0x7fffffff],
};

/**
 * Writes one entry of the metadata.
 *
 * @throws NudgeError BAD_ARGUMENT when the value is not of the type it claims, or a text is not Unicode.
 */
export function writeEntry(writer: ByteWriter, key: string, value: GgufValue): void {
  if (key.length === 0 || Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw cannotWrite(key, `a key of 1 to ${MAX_KEY_BYTES} bytes`, `${Buffer.byteLength(key)} bytes`);
  }
  writeString(writer, key, key);
  const id = VALUE_TYPES.indexOf(value.type);
  if (id < 0) throw cannotWrite(key, VALUE_TYPES.join(', '), String(value.type));
  writer.u32(id);
  if (value.type === 'array') writeArray(writer, key, value);
  else if (value.type === 'string') writeString(writer, key, value.value);
  else writer.raw(scalarBytes(key, value));
}

function writeString(writer: ByteWriter, key: string, text: unknown): void {
  if (typeof text !== 'string') throw cannotWrite(key, 'a string', typeof text);
  if (!text.isWellFormed()) throw cannotWrite(key, 'a string in Unicode', 'half a surrogate pair');
  writer.string(text);
}

function scalarBytes(key: string, { type, value }: Exclude<GgufValue, GgufArray | { type: 'string' }>): Uint8Array {
  if (type === 'bool') {
    if (typeof value !== 'boolean') throw cannotWrite(key, 'a boolean', typeof value);
    return Uint8Array.of(value ? 1 : 0);
  }
  if (type === 'uint64' || type === 'int64') {
    const fits =
      typeof value === 'bigint' && (type === 'uint64' ? BigInt.asUintN(64, value) : BigInt.asIntN(64, value)) === value;
    if (!fits) throw cannotWrite(key, `a bigint within ${type}`, String(value));
    return new Uint8Array(new BigUint64Array([BigInt.asUintN(64, value)]).buffer);
  }
  const range = WHOLE[type];
  const fits =
    typeof value === 'number' &&
    (range === undefined || (Number.isInteger(value) && value >= range[0] && value <= range[1]));
  if (!fits)
    throw cannotWrite(
      key,
      range === undefined ? 'a number' : `an integer from ${range[0]} to ${range[1]}`,
      String(value),
    );
  return new Uint8Array(ARRAY_CLASSES[type].of(value).buffer);
}

function writeArray(writer: ByteWriter, key: string, array: GgufArray): void {
  writer.u32(VALUE_TYPES.indexOf(array.of));
  writer.u64(array.value.length);
  if (array.of === 'string') {
    for (const text of array.value) writeString(writer, key, text);
  } else if (array.of === 'array') {
    for (const inner of array.value) writeArray(writer, key, inner);
  } else {
    const { value, of } = array;
    if (!(value instanceof ARRAY_CLASSES[of])) throw cannotWrite(key, ARRAY_CLASSES[of].name, showType(array));
    writer.raw(new Uint8Array(value.buffer, value.byteOffset, value.length * VALUE_BYTES[of]));
  }
}

function cannotWrite(key: string, expected: string, received: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'This metadata cannot be saved.', {
    path: quote(key),
    expected,
    received,
    remedy: 'Give the value the type that it claims, or claim another type.',
  });
}
