/** Parquet, row group by row group: as much is in memory at a time as the program that wrote the file chose. */

import type { FileHandle } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { NudgeError } from '../../errors.ts';
import type { Row } from '../rows.ts';
import { ioFailed, openFile } from './bytes.ts';
import { asRow, type RawRow } from './row.ts';

export interface ParquetOptions {
  /** Read these columns alone. Default: all. */
  columns?: readonly string[];
}

/** Decompressed bytes of one row group, and of a whole file inside gzip, that are taken into memory. */
const MOST_BYTES = 1024 ** 3;

/** @throws NudgeError BAD_FILE where the file is damaged or its row groups do not fit. */
export async function* readParquet(path: string, { columns }: ParquetOptions = {}): AsyncGenerator<RawRow> {
  const handle = await openFile(path);
  try {
    const file = await bufferOf(handle, path);
    const metadata = await understand(path, () => parquetMetadataAsync(file));
    const chosen = chooseColumns(metadata, columns, path);
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      checkGroup(Number(group.total_byte_size), path);
      const rowEnd = rowStart + Number(group.num_rows);
      const options = { file, metadata, columns: chosen, rowStart, rowEnd, compressors, parsers, utf8: false };
      const rows = await understand(path, () => parquetReadObjects(options));
      for (const [i, row] of rows.entries()) yield readRow(row, path, rowStart + i + 1);
      rowStart = rowEnd;
    }
  } finally {
    await handle.close();
  }
}

async function bufferOf(handle: FileHandle, path: string): Promise<AsyncBuffer> {
  const { size } = await handle.stat();
  const slice = async (start: number, end = size): Promise<ArrayBuffer> => {
    const bytes = new Uint8Array(end - start);
    let done = 0;
    while (done < bytes.length) {
      const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done).catch((cause) => {
        throw ioFailed('read', path, cause);
      });
      if (bytesRead === 0) throw new Error(`the file ends at byte ${start + done}`);
      done += bytesRead;
    }
    return bytes.buffer;
  };
  const head = new Uint8Array(await slice(0, Math.min(2, size)));
  if (head[0] !== 0x1f || head[1] !== 0x8b) return { byteLength: size, slice };
  // Parquet is read from its end, which a compressed file does not let one do.
  const whole = await understand(path, async () =>
    gunzipSync(new Uint8Array(await slice(0)), { maxOutputLength: MOST_BYTES }),
  );
  const buffer = whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.length) as ArrayBuffer;
  return { byteLength: buffer.byteLength, slice: (start, end) => buffer.slice(start, end) };
}

/** What the library says about a damaged file, as an error that names the file. */
async function understand<T>(path: string, run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof NudgeError) throw error;
    throw new NudgeError('BAD_FILE', 'This Parquet file cannot be read.', {
      path,
      received: (error as Error).message,
      remedy: 'Download or copy it again. If it opens elsewhere, write it anew with another compression.',
      cause: error,
    });
  }
}

function chooseColumns(metadata: FileMetaData, wanted: readonly string[] | undefined, path: string): string[] {
  const names = parquetSchema(metadata).children.map(({ element }) => element.name);
  if (names.includes('__proto__') || new Set(names).size < names.length) {
    throw new NudgeError('BAD_FILE', 'The columns of this Parquet file have no names of their own.', {
      path,
      expected: 'a different name for every column',
      received: names.join(', '),
    });
  }
  return wanted === undefined ? names : names.filter((name) => wanted.includes(name));
}

function checkGroup(bytes: number, path: string): void {
  if (bytes <= MOST_BYTES) return;
  throw new NudgeError('BAD_FILE', 'A row group of this Parquet file is too large to be taken into memory.', {
    path,
    expected: `at most ${MOST_BYTES.toLocaleString('en-US')} bytes in each`,
    received: `${bytes.toLocaleString('en-US')} bytes`,
    remedy: 'Write it anew with smaller row groups (pandas: row_group_size=10000), or as JSONL.',
  });
}

/** Stands for a text whose bytes are no UTF-8, until its row is reported. */
class DamagedText {}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array): string | DamagedText {
  try {
    return utf8.decode(bytes);
  } catch {
    return new DamagedText();
  }
}

const parsers = {
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && decode(bytes),
  jsonFromBytes: (bytes: Uint8Array | undefined) => {
    const text = bytes && decode(bytes);
    return typeof text === 'string' ? JSON.parse(text) : text;
  },
};

function readRow(row: Row, path: string, number: number): RawRow {
  const where = { file: path, row: number };
  const damaged: string[] = [];
  const plain = Object.entries(row).map(([name, value]) => {
    const cleaned = plainValue(value);
    if (cleaned instanceof DamagedText) damaged.push(name);
    return [name, cleaned];
  });
  if (damaged[0] !== undefined) return { where, fault: { field: damaged[0], reason: 'is not UTF-8' }, raw: null };
  const result = asRow(Object.fromEntries(plain));
  if ('fault' in result) return { where, fault: result.fault, raw: null };
  return { where, value: result.row, cells: false };
}

/** Parquet's values as JSON's: numbers, texts, lists and objects. Bytes that are no text are left out. */
function plainValue(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) {
    const text = decode(value); // old writers do not say which bytes are text
    return typeof text === 'string' ? text : null;
  }
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number>);
  if (value instanceof DamagedText) return value;
  if (Array.isArray(value)) {
    const items = value.map(plainValue);
    return items.find((item) => item instanceof DamagedText) ?? items;
  }
  const entries = Object.entries(value).map(([name, inner]) => [name, plainValue(inner)] as const);
  return entries.find(([, inner]) => inner instanceof DamagedText)?.[1] ?? Object.fromEntries(entries);
}
