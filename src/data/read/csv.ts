/**
 * CSV and TSV. csv-parse sees the bytes as Latin-1, one letter a byte: all that it looks for is ASCII, and every cell is
 * decoded afterwards, so that a damaged cell costs its row and nothing else.
 */

import { pipeline, Readable } from 'node:stream';
import { type CsvError, parse } from 'csv-parse';
import { NudgeError } from '../../errors.ts';
import type { Fault } from '../records.ts';
import { readPieces } from './bytes.ts';
import { decodeText, MAX_ROW_BYTES, type RawRow, type ReadLimits, rawText } from './row.ts';

export interface TableOptions {
  /** What separates cells. Default: a comma, in .tsv files a tab. */
  delimiter?: string;
  /** What encloses cells that hold separators or line breaks; null where nothing does. Default: '"'. */
  quote?: string | null;
}

interface Parsed {
  record: string[];
  raw: string;
  info: { records: number };
}

/**
 * Rows of a table whose first line names the columns.
 *
 * @throws NudgeError BAD_FILE for names that are missing or come twice, and for a row over the limit, since what follows an
 * open quote cannot be told from what is inside it.
 */
export async function* readTable(path: string, options: TableOptions & ReadLimits = {}): AsyncGenerator<RawRow> {
  const { maxRowBytes = MAX_ROW_BYTES } = options;
  let names: string[] | undefined;
  let [row, line] = [0, 1];
  for await (const parsed of parseTable(path, options, maxRowBytes)) {
    if (parsed === 'open') {
      const where = { file: path, row: row + 1, line };
      yield {
        where,
        fault: { reason: 'opens a quote that is never closed: the file was cut off, or is no CSV' },
        raw: null,
      };
      return;
    }
    if (parsed === 'long') throw rowTooLong(path, line, maxRowBytes);
    const { record, raw } = parsed;
    const start = line;
    line += raw.match(/\r\n|\n|\r/g)?.length ?? 0;
    if (record.length <= 1 && raw.trim() === '') continue;
    if (names === undefined) {
      names = readNames(record, path);
      continue;
    }
    row++;
    const where = { file: path, row, line: start };
    const value = cellsOf(record, names);
    if ('cells' in value) yield { where, value: value.cells, cells: true };
    else yield { where, fault: value.fault, raw: rawText(Buffer.from(raw, 'latin1')) };
  }
}

/** Records in order; 'open' where the file ends inside quotes, 'long' where a record is over the limit. */
async function* parseTable(
  path: string,
  { delimiter = /\.(tsv|tab)(\.\w+)?$/i.test(path) ? '\t' : ',', quote = '"' }: TableOptions,
  limit: number,
): AsyncGenerator<Parsed | 'open' | 'long'> {
  let fault: { kind: 'open' | 'long'; after: number } | undefined;
  const parser = parse({
    delimiter,
    quote,
    encoding: 'latin1',
    record_delimiter: ['\r\n', '\n', '\r'],
    info: true,
    raw: true,
    relax_column_count: true, // counted by us, with the names at hand
    relax_quotes: true, // a quote inside a cell that begins with none is a letter
    max_record_size: limit,
    skip_records_with_error: true, // so that the rows before the error arrive
    on_skip: (error: CsvError | undefined) => {
      const kind = error?.code === 'CSV_MAX_RECORD_SIZE' ? 'long' : 'open';
      fault ??= { kind, after: Number((error as { records?: number } | undefined)?.records ?? 0) };
      return undefined;
    },
  });
  // An error of the file reaches the loop below through the parser.
  const records = pipeline(Readable.from(readPieces(path)), parser, () => {}) as AsyncIterable<Parsed>;
  for await (const parsed of records) {
    if (fault !== undefined && parsed.info.records > fault.after) break;
    yield parsed;
  }
  if (fault !== undefined) yield fault.kind;
}

function readNames(record: readonly string[], path: string): string[] {
  const names = record.map((cell) => {
    const name = decodeText(Buffer.from(cell, 'latin1'));
    return typeof name === 'string' ? name.trim() : '';
  });
  const twice = names.find((name, i) => names.indexOf(name) < i);
  const problem = names.includes('__proto__')
    ? 'a column called __proto__'
    : names.includes('')
      ? `no name for column ${names.indexOf('') + 1}`
      : twice !== undefined
        ? `two columns called ${JSON.stringify(twice)}`
        : undefined;
  if (problem === undefined) return names;
  throw new NudgeError('BAD_FILE', "The first line does not name the table's columns.", {
    path,
    expected: 'a different name for every column',
    received: problem,
    remedy: 'Write a line of names above the rows, such as prompt,completion.',
  });
}

/** The cells by name, or what is wrong with them. */
function cellsOf(
  record: readonly string[],
  names: readonly string[],
): { cells: Record<string, string> } | { fault: Fault } {
  if (record.length !== names.length) {
    const found = record.length === 1 ? '1 cell' : `${record.length} cells`;
    const reason = `has ${found} where the first line names ${names.length}: a cell with a separator or a line break needs quotes`;
    return { fault: { reason } };
  }
  const cells: Record<string, string> = {};
  for (const [i, name] of names.entries()) {
    const text = decodeText(Buffer.from(record[i] as string, 'latin1'));
    if (typeof text !== 'string') return { fault: { field: name, ...text } };
    cells[name] = text;
  }
  return { cells };
}

function rowTooLong(path: string, line: number, limit: number): NudgeError {
  return new NudgeError('BAD_FILE', 'A row of this table is longer than the limit.', {
    path: `${path}:${line}`,
    expected: `at most ${limit.toLocaleString('en-US')} bytes (maxRowBytes)`,
    remedy:
      'Look for a quote that is opened there and never closed. A file that does not quote its cells is read with ' +
      '{ quote: null }.',
  });
}
