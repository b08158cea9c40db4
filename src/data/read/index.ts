/** Rows of files, whatever their kind: a stream of what was read, and of what could not be. */

import { NudgeError } from '../../errors.ts';
import { readTable, type TableOptions } from './csv.ts';
import { readJson } from './json.ts';
import { readJsonLines } from './jsonl.ts';
import { type ParquetOptions, readParquet } from './parquet.ts';
import type { RawRow, ReadLimits } from './row.ts';

export { type BadRow, type GoodRow, type Place, type RawRow, showPlace } from './row.ts';

export type FileKind = 'jsonl' | 'json' | 'csv' | 'tsv' | 'parquet';

export interface ReadOptions extends ReadLimits, TableOptions, ParquetOptions {
  /** What the files are. Default: what their names end with, before .gz or .zst. */
  kind?: FileKind;
  /** Stop after so many rows, good or bad, of all files together. Default: all. */
  limit?: number;
}

const KINDS: Readonly<Record<string, FileKind>> = {
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  json: 'json',
  csv: 'csv',
  tsv: 'tsv',
  tab: 'tsv',
  parquet: 'parquet',
};

/**
 * Reads files one after another, row by row. Compressed ones (gzip, Zstandard) are decompressed as they are read.
 *
 * A row that cannot be read is part of the stream, with its reason; what spoils a whole file is an error.
 *
 * @throws NudgeError IO_FAILED, BAD_FILE; BAD_ARGUMENT where a name does not say what the file is.
 */
export async function* readRows(paths: string | readonly string[], options: ReadOptions = {}): AsyncGenerator<RawRow> {
  const files = typeof paths === 'string' ? [paths] : paths;
  // A name that says nothing is an error at once, not after hours of the files before it.
  const kinds = files.map((path) => options.kind ?? kindOf(path));
  let left = options.limit ?? Infinity;
  for (const [i, path] of files.entries()) {
    if (left <= 0) return;
    for await (const row of readFile(path, kinds[i] as FileKind, options)) {
      yield row;
      if (--left <= 0) return;
    }
  }
}

function readFile(path: string, kind: FileKind, options: ReadOptions): AsyncGenerator<RawRow> {
  if (kind === 'jsonl') return readJsonLines(path, options);
  if (kind === 'json') return readJson(path, options);
  if (kind === 'parquet') return readParquet(path, options);
  return readTable(path, kind === 'tsv' ? { delimiter: '\t', ...options } : options);
}

/** What a file is, by its name. @throws NudgeError BAD_ARGUMENT. */
export function kindOf(path: string): FileKind {
  const name = path.toLowerCase().replace(/\.(gz|gzip|zst)$/, '');
  const ending = /\.([a-z]+)$/.exec(name)?.[1] ?? '';
  const kind = Object.hasOwn(KINDS, ending) ? KINDS[ending] : undefined;
  if (kind !== undefined) return kind;
  throw new NudgeError('BAD_ARGUMENT', "This file's name does not say what it is.", {
    path,
    expected: `a name that ends with ${Object.keys(KINDS)
      .map((end) => `.${end}`)
      .join(', ')}, and .gz or .zst where it is compressed`,
    remedy: "Rename it, or say what it is: { kind: 'jsonl' }.",
  });
}
