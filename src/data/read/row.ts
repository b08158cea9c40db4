/** What readers give: rows with the place that they came from, and rows that cannot be read with the reason. */

import type { Fault } from '../records.ts';
import type { Row } from '../rows.ts';

export interface Place {
  file: string;
  /** Counted from 1, empty lines left out. */
  row: number;
  /** The line that the row begins on, counted from 1; missing in Parquet. */
  line?: number;
}

export interface GoodRow {
  where: Place;
  value: Row;
  /** Whether the values are a table's cells, which are all text. */
  cells: boolean;
}

export interface BadRow {
  where: Place;
  fault: Fault;
  /** The row as it stands in the file, cut where it is very long; null where it has no text. */
  raw: string | null;
}

export type RawRow = GoodRow | BadRow;

export interface ReadLimits {
  /** Longest row, in bytes as it stands in the file. Default: 16 MiB. A row is held in memory, and so are its fields. */
  maxRowBytes?: number;
}

export const MAX_ROW_BYTES = 16 * 1024 * 1024;

/** `train.jsonl:17`, `train.parquet, row 17`. */
export function showPlace({ file, row, line }: Place): string {
  return line === undefined ? `${file}, row ${row}` : `${file}:${line}`;
}

const DEEPEST = 64;

/**
 * A parsed value as a row, or why it is none. A string alone is a text: some corpora are lists of strings.
 *
 * A key `__proto__` is refused at any depth: copying such an object would change what all its fields are looked up in.
 */
export function asRow(value: unknown): { row: Row } | { fault: Fault } {
  if (typeof value === 'string') return { row: { text: value } };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const kind = Array.isArray(value) ? 'a list' : value === null ? 'null' : `a ${typeof value}`;
    return { fault: { reason: `is ${kind}: expected an object, such as { "prompt": "..." }` } };
  }
  const fault = whyUnsafe(value, 0);
  return fault === undefined ? { row: value as Row } : { fault };
}

function whyUnsafe(value: unknown, depth: number): Fault | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > DEEPEST) return { reason: `is nested more than ${DEEPEST} levels deep` };
  if (Object.hasOwn(value, '__proto__')) return { field: '__proto__', reason: 'is no name for a field' };
  for (const inner of Object.values(value)) {
    const fault = whyUnsafe(inner, depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** One value of JSON as a row. `raw` is what stands in the file. */
export function parseRow(bytes: Uint8Array, where: Place, isTorn: boolean): RawRow {
  const bad = (fault: Fault): BadRow => ({ where, fault, raw: rawText(bytes) });
  const text = decodeText(bytes);
  if (typeof text !== 'string') return bad(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = `is not JSON: ${(error as Error).message}`;
    return bad({ reason: isTorn ? `${reason}. The file ends here: it was cut off while it was written` : reason });
  }
  const result = asRow(value);
  return 'fault' in result ? bad(result.fault) : { where, value: result.row, cells: false };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes as text, or why they are none. */
export function decodeText(bytes: Uint8Array): string | Fault {
  const nul = bytes.indexOf(0);
  if (nul !== -1) return { reason: `holds a NUL byte (byte ${nul + 1} of it): the file is damaged here` };
  try {
    return utf8.decode(bytes);
  } catch {
    return { reason: 'is not UTF-8' };
  }
}

const LONGEST_RAW = 2000;

/** What is kept of a row that cannot be read. */
export function rawText(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, LONGEST_RAW)).toString('utf8');
  return bytes.length > LONGEST_RAW ? `${text}…` : text;
}
