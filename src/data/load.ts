/** Files to records. Every row is checked before anything starts: a bad one is found now, not after an hour. */

import { rm } from 'node:fs/promises';
import { NudgeError } from '../errors.ts';
import { type Place, type ReadOptions, readRows, showPlace } from './read/index.ts';
import type { Fault, Format, RecordsByFormat } from './records.ts';
import {
  checkFieldMap,
  checkFormat,
  detectFormat,
  fieldColumns,
  type Row,
  type RowOptions,
  toRecord,
  unknownFormat,
} from './rows.ts';
import { writeJsonLines } from './write/jsonl.ts';

export interface LoadOptions extends Omit<ReadOptions, 'columns'>, Omit<RowOptions, 'cells'> {
  /** What the rows are. Default: what the fields of the first row say. */
  format?: Format;
}

export interface SkipOptions {
  /** Go on without bad rows, and write them to this file (JSON Lines). Default: a bad row is an error. */
  skipBadRows?: { to: string };
}

export interface Loaded<F extends Format> {
  format: F;
  records: RecordsByFormat[F][];
  /** Where each record came from. */
  places: Place[];
  /** Rows that were set aside. */
  badRows: number;
}

export type AnyLoaded = { [F in Format]: Loaded<F> }[Format];

export interface GoodRecord {
  where: Place;
  format: Format;
  record: RecordsByFormat[Format];
}

export interface BadRecord {
  where: Place;
  fault: Fault;
  /** The row, where it could be read, or its text; null where it has none. */
  row: Row | string | null;
}

/** Of rows that fit no format, so many are looked at before the file is given up. */
const MOST_UNKNOWN = 20;
/** Bad rows that an error lists. */
const MOST_LISTED = 20;

/**
 * Reads files one after another as records of one format, bad rows in between.
 *
 * @throws NudgeError BAD_FILE where no format fits, and what `readRows` throws.
 */
export async function* streamRecords(
  paths: string | readonly string[],
  options: LoadOptions = {},
): AsyncGenerator<GoodRecord | BadRecord> {
  const map = checkFieldMap(options.map ?? {});
  let format = options.format === undefined ? null : checkFormat(options.format);
  const unknown: { row: Row; where: Place }[] = [];
  const { extra = 'all' } = options;
  const columns = extra === 'all' ? {} : { columns: fieldColumns(map, extra === 'none' ? [] : extra) };
  for await (const raw of readRows(paths, { ...options, ...columns })) {
    const { where } = raw;
    if ('fault' in raw) {
      yield { where, fault: raw.fault, row: raw.raw };
      continue;
    }
    format ??= detectFormat(raw.value, map);
    if (format === null) {
      unknown.push({ row: raw.value, where });
      if (unknown.length >= MOST_UNKNOWN) break;
      yield { where, fault: { reason: 'has the fields of no format' }, row: raw.value };
      continue;
    }
    const result = toRecord(raw.value, format, { ...options, cells: raw.cells });
    if ('record' in result) yield { where, format, record: result.record };
    else yield { where, fault: result.fault, row: raw.value };
  }
  const [first] = unknown;
  if (format === null && first !== undefined) throw unknownFormat(first.row, showPlace(first.where));
}

/**
 * Reads files as records, all of them or none: bad rows are an error that lists the first 20 with file, line, field and
 * reason, unless `skipBadRows` says where to put them.
 *
 * @throws NudgeError BAD_FILE for bad rows, for files without rows and for fields of no format; IO_FAILED.
 */
export function loadRecords<F extends Format>(
  paths: string | readonly string[],
  options: LoadOptions & SkipOptions & { format: F },
): Promise<Loaded<F>>;
export function loadRecords(paths: string | readonly string[], options?: LoadOptions & SkipOptions): Promise<AnyLoaded>;
export async function loadRecords(
  paths: string | readonly string[],
  options: LoadOptions & SkipOptions = {},
): Promise<AnyLoaded> {
  const files = typeof paths === 'string' ? [paths] : paths;
  const loaded: Loaded<Format> = { format: options.format ?? 'text', records: [], places: [], badRows: 0 };
  const listed: string[] = [];
  const bad = gather(streamRecords(files, options), loaded, listed);
  const aside = options.skipBadRows?.to;
  if (aside === undefined) for await (const _ of bad);
  else await writeJsonLines(aside, bad, { overwrite: true });
  if (aside !== undefined && loaded.badRows === 0) await rm(aside);
  if (aside === undefined && loaded.badRows > 0) throw badRowsFound(files, loaded, listed);
  if (loaded.records.length === 0) throw nothingLeft(files, loaded.badRows, aside);
  return loaded as AnyLoaded;
}

/** Puts good records into `loaded` and gives on the bad ones, as they are written aside. */
async function* gather(
  rows: AsyncIterable<GoodRecord | BadRecord>,
  loaded: Loaded<Format>,
  listed: string[],
): AsyncGenerator<object> {
  for await (const row of rows) {
    if ('record' in row) {
      loaded.format = row.format;
      loaded.records.push(row.record);
      loaded.places.push(row.where);
      continue;
    }
    loaded.badRows++;
    const { where, fault } = row;
    if (listed.length < MOST_LISTED) listed.push(`${showPlace(where)}: ${showFault(fault)}`);
    yield { ...where, ...fault, value: row.row };
  }
}

function showFault({ field, reason }: Fault): string {
  return field === undefined ? `the row ${reason}` : `${field} ${reason}`;
}

function badRowsFound(files: readonly string[], { badRows, records }: Loaded<Format>, listed: string[]): NudgeError {
  const all = badRows + records.length;
  const more = badRows > listed.length ? [`and ${(badRows - listed.length).toLocaleString('en-US')} more`] : [];
  return new NudgeError(
    'BAD_FILE',
    `${badRows.toLocaleString('en-US')} of ${all.toLocaleString('en-US')} rows cannot be used.`,
    {
      path: files.join(', '),
      received: [...listed, ...more].join('\n            '),
      remedy:
        'Correct them, or go on without them: --skip-bad-rows bad.jsonl (skipBadRows: { to }) sets them aside with their reasons.',
    },
  );
}

function nothingLeft(files: readonly string[], badRows: number, aside: string | undefined): NudgeError {
  return new NudgeError(
    'BAD_FILE',
    badRows > 0 ? 'No row of these files can be used.' : 'There are no rows in these files.',
    {
      path: files.join(', '),
      received: badRows > 0 ? `${badRows} rows, all of them bad` : 'no rows',
      remedy: badRows > 0 ? `See the reasons in ${aside}.` : 'Check that the files were written whole.',
    },
  );
}
