/**
 * Records as Parquet, with the columns that `datasets` and pandas expect: texts, or lists of { role, content }. Extra columns
 * are typed by what is in them; what is no number, text or truth value is written as JSON.
 */

import type { SchemaElement } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { NudgeError } from '../../errors.ts';
import type { AnyRecord, Format } from '../records.ts';
import { type WriteOptions, writeAtomically } from './atomic.ts';
import { toRow } from './flatten.ts';

export interface ParquetWriteOptions extends WriteOptions {
  /** Rows a row group, which is what a reader takes into memory at once. Default: 10,000. */
  rowGroupSize?: number;
}

type Row = Record<string, unknown>;
type ColumnType = 'text' | 'messages' | 'texts' | 'conversations' | 'ranks' | 'boolean' | 'int' | 'double' | 'json';

/** Writes records of one format. @returns how many. @throws NudgeError FILE_EXISTS, IO_FAILED, DISK_FULL, BAD_ARGUMENT. */
export async function writeParquet(
  path: string,
  format: Format,
  records: readonly AnyRecord[],
  options: ParquetWriteOptions = {},
): Promise<number> {
  const { rowGroupSize = 10_000 } = options;
  const rows = records.map(toRow);
  const columns = columnsOf(format, rows);
  return await writeAtomically(path, options, async (append) => {
    const writer = new ByteWriter();
    const file = new ParquetWriter({ writer, schema: schemaOf(columns), createdBy: 'nudge' });
    const drain = async (): Promise<void> => {
      const bytes = writer.getBytes().slice();
      writer.index = 0;
      await append(bytes);
    };
    for (let start = 0; start < rows.length; start += rowGroupSize) {
      const group = rows.slice(start, start + rowGroupSize);
      const columnData = [...columns].map(([name, type]) => ({
        name,
        data: group.map((row) => encodeValue(type, row[name])),
      }));
      file.write({ columnData, rowGroupSize });
      await drain();
    }
    file.finish();
    await drain();
    return rows.length;
  });
}

/** Every column with the one type that all its values have. */
function columnsOf(format: Format, rows: readonly Row[]): Map<string, ColumnType> {
  const columns = new Map<string, ColumnType>();
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) {
      if (value === undefined || value === null) continue;
      const type = typeOf(name, value);
      const before = columns.get(name) ?? type;
      columns.set(name, before === type ? type : common(before, type, name));
    }
  }
  if (columns.size > 0) return columns;
  throw new NudgeError('BAD_ARGUMENT', 'There are no records to write.', {
    path: 'records',
    received: `0 of ${format}`,
  });
}

function typeOf(name: string, value: unknown): ColumnType {
  if (name === 'ranks') return 'ranks';
  if (name === 'completions' && Array.isArray(value)) {
    if (value.every((item) => typeof item === 'string')) return 'texts';
    return value.every(isConversation) ? 'conversations' : 'json';
  }
  if (typeof value === 'string') return 'text';
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'int' : 'double';
  return isConversation(value) ? 'messages' : 'json';
}

/** Messages of role and content alone: with more fields, such as tool calls, they are written as JSON. */
function isConversation(value: unknown): boolean {
  const isMessage = (item: unknown) =>
    typeof item === 'object' &&
    item !== null &&
    Object.keys(item).every((key) => key === 'role' || key === 'content') &&
    Object.values(item).every((field) => typeof field === 'string');
  return Array.isArray(value) && value.length > 0 && value.every(isMessage);
}

function common(a: ColumnType, b: ColumnType, name: string): ColumnType {
  const types = new Set([a, b]);
  if (types.has('int') && types.has('double')) return 'double';
  if (types.has('json')) return 'json';
  throw new NudgeError('BAD_ARGUMENT', 'A column of Parquet holds values of one kind.', {
    path: name,
    expected: `${a} in every record`,
    received: `${a} in some, ${b} in others`,
    remedy: 'Write JSONL, or bring all records to strings or to messages.',
  });
}

function encodeValue(type: ColumnType, value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (type === 'int') return BigInt(value as number);
  if (type === 'ranks') return (value as (number | null)[]).map((rank) => (rank === null ? null : BigInt(rank)));
  return value;
}

function schemaOf(columns: ReadonlyMap<string, ColumnType>): SchemaElement[] {
  const root: SchemaElement = { name: 'root', num_children: columns.size };
  return [root, ...[...columns].flatMap(([name, type]) => elementsOf(name, type))];
}

function elementsOf(name: string, type: ColumnType): SchemaElement[] {
  const text = (column: string): SchemaElement => ({
    name: column,
    type: 'BYTE_ARRAY',
    converted_type: 'UTF8',
    repetition_type: 'OPTIONAL',
  });
  const plain = (kind: 'BOOLEAN' | 'INT64' | 'DOUBLE', column = name): SchemaElement[] => [
    { name: column, type: kind, repetition_type: 'OPTIONAL' },
  ];
  const list = (column: string, element: SchemaElement[]): SchemaElement[] => [
    { name: column, repetition_type: 'OPTIONAL', num_children: 1, converted_type: 'LIST' },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    ...element,
  ];
  const messages = (column: string): SchemaElement[] =>
    list(column, [{ name: 'element', repetition_type: 'OPTIONAL', num_children: 2 }, text('role'), text('content')]);
  switch (type) {
    case 'messages':
      return messages(name);
    case 'texts':
      return list(name, [text('element')]);
    case 'conversations':
      return list(name, messages('element'));
    case 'ranks':
      return list(name, plain('INT64', 'element'));
    case 'boolean':
      return plain('BOOLEAN');
    case 'int':
      return plain('INT64');
    case 'double':
      return plain('DOUBLE');
    case 'json':
      return [{ name, type: 'BYTE_ARRAY', converted_type: 'JSON', repetition_type: 'OPTIONAL' }];
    default:
      return [text(name)];
  }
}
