/**
 * TensorBoard's event files, written by hand: records in TFRecord's framing, each an `Event` in protobuf's encoding.
 *
 * A record is the length (uint64), the masked CRC-32C of those 8 bytes, the event, and its masked CRC-32C, all little-endian
 * (tensorflow/core/lib/io/record_writer.h). Of the message types (tensorflow/core/util/event.proto, framework/summary.proto):
 *
 *     Event       { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7; }
 *     Summary     { repeated Value value = 1; }   Value { string tag = 1; float simple_value = 2; }
 *     SessionLog  { enum SessionStatus { START = 1; } status = 1; }
 */
import { closeSync, fsyncSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

let filesMade = 0;

/** One event file. What is added is with the operating system at once, so that a crash of this process loses nothing. */
export class EventFile {
  readonly path: string;
  readonly #file: number;

  /**
   * Opens a new file in the directory; TensorBoard reads all files of a directory as one run.
   *
   * @param firstStep the step with which the run goes on: TensorBoard drops what earlier files say of it and later ones. It
   * takes the first file for the beginning, so that one says so too.
   */
  constructor(directory: string, firstStep = 0) {
    mkdirSync(directory, { recursive: true });
    const now = Date.now() / 1000;
    // TensorBoard reads a directory's files in the order of their names: seconds first, then what makes them unique.
    const name = `events.out.tfevents.${Math.floor(now)}.${hostname()}.${process.pid}.${filesMade++}`;
    this.path = join(directory, name);
    this.#file = openSync(this.path, 'ax');
    this.#write(versionRecord(now));
    this.#write(startRecord(now, firstStep));
  }

  /** The metrics of one step. @param time seconds since 1970. */
  add(step: number, time: number, scalars: Readonly<Record<string, number>>): void {
    this.#write(scalarsRecord(time, step, scalars));
  }

  /** Brings everything to the disk itself. */
  flush(): void {
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(record: Uint8Array): void {
    writeFileSync(this.#file, record);
  }
}

export function versionRecord(time: number): Uint8Array {
  return frame(concat([double(1, time), text(3, 'brain.Event:2')]));
}

export function startRecord(time: number, step: number): Uint8Array {
  return frame(concat([double(1, time), integer(2, step), bytes(7, integer(1, 1))]));
}

export function scalarsRecord(time: number, step: number, scalars: Readonly<Record<string, number>>): Uint8Array {
  const values = Object.entries(scalars).map(([tag, value]) => bytes(1, concat([text(1, tag), float(2, value)])));
  return frame(concat([double(1, time), integer(2, step), bytes(5, concat(values))]));
}

/** A record as it stands in the file. */
function frame(event: Uint8Array): Uint8Array {
  const record = new Uint8Array(8 + 4 + event.length + 4);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(event.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(event, 12);
  view.setUint32(12 + event.length, maskedCrc(event), true);
  return record;
}

/** Rotated and offset, since a CRC over data that holds CRCs tells little. */
function maskedCrc(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** The Castagnoli polynomial, reflected. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C (RFC 3720, appendix B.4). */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// ---- protobuf's wire format: a key (field << 3 | type), then the value ----

function varint(value: bigint): number[] {
  const out: number[] = [];
  let left = BigInt.asUintN(64, value);
  while (left > 0x7fn) {
    out.push(Number(left & 0x7fn) | 0x80);
    left >>= 7n;
  }
  return [...out, Number(left)];
}

const key = (field: number, type: number): number[] => varint(BigInt((field << 3) | type));

const integer = (field: number, value: number): Uint8Array =>
  Uint8Array.from([...key(field, 0), ...varint(BigInt(value))]);

function double(field: number, value: number): Uint8Array {
  const buffer = new Uint8Array(8);
  new DataView(buffer.buffer).setFloat64(0, value, true);
  return Uint8Array.from([...key(field, 1), ...buffer]);
}

function float(field: number, value: number): Uint8Array {
  const buffer = new Uint8Array(4);
  new DataView(buffer.buffer).setFloat32(0, value, true);
  return Uint8Array.from([...key(field, 5), ...buffer]);
}

const bytes = (field: number, value: Uint8Array): Uint8Array =>
  concat([Uint8Array.from([...key(field, 2), ...varint(BigInt(value.length))]), value]);

const text = (field: number, value: string): Uint8Array => bytes(field, Buffer.from(value));

const concat = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
