/** The prompts of a file, one by one, so that a file may be larger than memory. */
import { createReadStream } from 'node:fs';
import { type Content, kindOf, type RawRow, type Row, readRows, showPlace, toRecord } from '../../data/index.ts';
import { NudgeError } from '../../errors.ts';

export interface PromptRow {
  /** Counted from 0, empty lines left out. */
  readonly index: number;
  /** `prompts.jsonl:17`. */
  readonly place: string;
  /** The row's own, if it has one. */
  readonly id: string | number | null;
  readonly prompt: Content;
}

/** A row that cannot be used, and why. */
export interface BadPrompt {
  readonly place: string;
  readonly reason: string;
}

/** Which columns the prompt is in: `{ prompt: 'question' }`. */
export type PromptMap = Readonly<Record<string, string>>;

const SHOWN = 10;

/** Datasets by their names' endings (JSONL, JSON, CSV, TSV, Parquet, also compressed); any other file is text, a prompt a line. */
export async function* readPrompts(path: string, map: PromptMap = {}): AsyncGenerator<PromptRow | BadPrompt> {
  let index = 0;
  for await (const raw of isDataset(path) ? readRows(path) : readTextLines(path)) {
    const place = showPlace(raw.where);
    if ('fault' in raw) {
      yield { place, reason: described(raw.fault) };
      continue;
    }
    const { cells } = raw;
    const read = toRecord(withPrompt(raw.value, map), 'prompt-only', { map, cells, extra: 'none', transcripts: false });
    if ('fault' in read) {
      yield { place, reason: described(read.fault) };
      continue;
    }
    const { id } = raw.value;
    const isId = typeof id === 'string' || typeof id === 'number';
    yield { index: index++, place, id: isId ? id : null, prompt: read.record.prompt };
  }
}

/**
 * Reads all prompts once, so that a bad row is told before anything is computed.
 *
 * @param check what else may be wrong with a prompt; null when nothing is.
 * @returns how many there are.
 * @throws NudgeError BAD_FILE with the file and line of the first bad rows; also for a file without prompts.
 */
export async function checkPrompts(
  path: string,
  map: PromptMap,
  check: (row: PromptRow) => string | null = () => null,
): Promise<number> {
  const bad: BadPrompt[] = [];
  let [good, total] = [0, 0];
  for await (const row of readPrompts(path, map)) {
    total++;
    const reason = 'reason' in row ? row.reason : check(row);
    if (reason === null) good++;
    else if (bad.length < SHOWN) bad.push({ place: row.place, reason });
  }
  const [first] = bad;
  if (first !== undefined) throw badRows(bad, total - good, total);
  if (total > 0) return total;
  throw new NudgeError('BAD_FILE', 'There are no prompts in this file.', {
    path,
    expected: 'a prompt a line, at least one',
  });
}

function badRows(bad: readonly BadPrompt[], count: number, total: number): NudgeError {
  const lines = bad.map(({ place, reason }) => `${place}: ${reason}`);
  if (count > bad.length) lines.push(`and ${count - bad.length} more`);
  return new NudgeError('BAD_FILE', `${count} of ${total} prompts cannot be used.`, {
    expected: 'in every row `prompt`, a string or a list of messages that ends with a question',
    received: lines.join('\n            '),
    remedy: 'Correct these rows, or leave them out. Nothing was generated.',
  });
}

function described({ field, reason }: { field?: string; reason: string }): string {
  return field === undefined ? reason : `${field} ${reason}`;
}

/** A JSON line that is a string alone is a prompt. */
function withPrompt(row: Row, map: PromptMap): Row {
  const keys = Object.keys(row);
  return keys.length === 1 && keys[0] === 'text' && map.prompt === undefined ? { prompt: row.text } : row;
}

function isDataset(path: string): boolean {
  try {
    kindOf(path);
    return true;
  } catch {
    return false;
  }
}

async function* readTextLines(path: string): AsyncGenerator<RawRow> {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let [rest, line, row] = ['', 0, 0];
  const take = function* (text: string): Generator<RawRow> {
    line++;
    const prompt = text.replace(/\r$/, '');
    if (prompt.trim() !== '') yield { where: { file: path, row: ++row, line }, value: { prompt }, cells: false };
  };
  try {
    for await (const piece of createReadStream(path)) {
      const lines = (rest + utf8.decode(piece as Buffer, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const text of lines) yield* take(text);
    }
    rest += utf8.decode();
  } catch (cause) {
    throw unreadable(path, line + 1, cause);
  }
  if (rest !== '') yield* take(rest);
}

function unreadable(path: string, line: number, cause: unknown): unknown {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') {
    return new NudgeError('BAD_FILE', 'This file is not UTF-8.', { path: `${path}, at or after line ${line}`, cause });
  }
  if (cause instanceof NudgeError || code === undefined) return cause;
  const remedy = code === 'EISDIR' ? 'Name a file.' : 'Check the path.';
  const received = (cause as Error).message;
  return new NudgeError(
    code === 'ENOENT' || code === 'EISDIR' ? 'BAD_ARGUMENT' : 'IO_FAILED',
    'The prompts cannot be read.',
    {
      path,
      received,
      remedy,
      cause,
    },
  );
}
