/**
 * The file of completions: whole groups of rows, one group a prompt, in the order of the prompts.
 *
 * Rows are appended in order, so that what is there says where to go on. After `kill -9` or a power cut the end may be torn: what
 * is behind the last whole group is cut off, and computed again.
 */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { NudgeError } from '../../errors.ts';

/** What all rows of one run have in common: two runs that agree in it write the same rows. */
export interface RunIdentity {
  /** A hash of all of it, prompts included. */
  readonly run: string;
  readonly model: Readonly<Record<string, unknown>>;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface OutputRow extends RunIdentity {
  readonly promptIndex: number;
  readonly sampleIndex: number;
}

export interface OutputOptions {
  /** Rows a prompt. */
  readonly n: number;
  readonly prompts: number;
  readonly identity: RunIdentity;
  /** Start over, whatever is there. */
  readonly force: boolean;
}

/** Data that the system holds for longer than this is brought to the disk. */
const SYNC_MS = 5_000;
const LINE_FEED = 10;

export class OutputFile {
  readonly path: string;
  /** Prompts that were done before. */
  readonly done: number;
  readonly #handle: FileHandle;
  #synced = performance.now();

  private constructor(path: string, done: number, handle: FileHandle) {
    this.path = path;
    this.done = done;
    this.#handle = handle;
  }

  /**
   * Opens the file to go on behind its last whole group.
   *
   * @throws NudgeError BAD_ARGUMENT where it was begun with another model, parameters or prompts; FILE_EXISTS where it is none of
   * ours; BAD_FILE where it is damaged before its end; IO_FAILED. The file is then as before.
   */
  static async open(path: string, options: OutputOptions): Promise<OutputFile> {
    const { done, bytes } = options.force || !existsSync(path) ? { done: 0, bytes: 0 } : await scan(path, options);
    const handle = await open(path, existsSync(path) ? 'r+' : 'wx').catch((cause) => {
      throw writeFailed(path, cause);
    });
    await handle.truncate(bytes).catch((cause) => {
      throw writeFailed(path, cause);
    });
    return new OutputFile(path, done, await reopened(path, handle));
  }

  /** All rows of the next prompts, in one write. */
  async append(rows: readonly object[]): Promise<void> {
    const text = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
    try {
      await this.#handle.appendFile(text);
      if (performance.now() - this.#synced > SYNC_MS) await this.sync();
    } catch (cause) {
      throw writeFailed(this.path, cause);
    }
  }

  async sync(): Promise<void> {
    await this.#handle.sync();
    this.#synced = performance.now();
  }

  async close(): Promise<void> {
    try {
      await this.#handle.sync();
    } finally {
      await this.#handle.close();
    }
  }
}

/** A handle that appends, whatever was cut off. */
async function reopened(path: string, handle: FileHandle): Promise<FileHandle> {
  await handle.sync();
  await handle.close();
  return await open(path, 'a');
}

/**
 * Makes the directory, and looks at what is there: before a model is opened.
 *
 * @throws NudgeError FILE_EXISTS where a file is there that this command did not write, and it is not forced; IO_FAILED.
 */
export async function prepareOutput(path: string, force: boolean): Promise<void> {
  await mkdir(dirname(path), { recursive: true }).catch((cause) => {
    throw writeFailed(path, cause);
  });
  if (!existsSync(path)) return;
  if (!statSync(path).isFile()) throw notAFile(path);
  if (!force) await firstRow(path);
}

/** The first row of a file of ours; null where there is no whole one. */
async function firstRow(path: string): Promise<OutputRow | null> {
  for await (const { bytes, isWhole } of splitLines(path)) {
    const row = parse(bytes);
    if (row !== null && isWhole) return row;
    // A row that was cut off begins as all of ours do, or with nothing at all where the power went.
    const head = bytes.toString('latin1', 0, ROW_BEGINS.length).replaceAll('\0', '');
    if (isWhole || !ROW_BEGINS.startsWith(head)) throw foreign(path);
    return null;
  }
  return null;
}

const ROW_BEGINS = '{"run":"';

async function scan(path: string, { n, prompts, identity }: OutputOptions): Promise<{ done: number; bytes: number }> {
  const first = await firstRow(path);
  if (first !== null && first.run !== identity.run) throw mismatch(path, first, identity);
  let [rows, end, whole] = [0, 0, 0];
  for await (const { bytes, isWhole } of splitLines(path)) {
    // The end of a file that was cut off.
    if (!isWhole) break;
    const row = parse(bytes);
    const isNext =
      row?.run === identity.run && row.promptIndex * n + row.sampleIndex === rows && row.promptIndex < prompts;
    if (!isNext) throw damaged(path, rows + 1);
    end += bytes.length + 1;
    if (++rows % n === 0) whole = end;
  }
  return { done: Math.floor(rows / n), bytes: whole };
}

function parse(bytes: Buffer): OutputRow | null {
  try {
    const row = JSON.parse(bytes.toString('utf8')) as Partial<OutputRow> | null;
    const isRow =
      typeof row?.run === 'string' && Number.isInteger(row.promptIndex) && Number.isInteger(row.sampleIndex);
    return isRow ? (row as OutputRow) : null;
  } catch {
    return null;
  }
}

async function* splitLines(path: string): AsyncGenerator<{ bytes: Buffer; isWhole: boolean }> {
  let rest: Buffer[] = [];
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = piece.indexOf(LINE_FEED); end !== -1; end = piece.indexOf(LINE_FEED, start)) {
      yield { bytes: Buffer.concat([...rest, piece.subarray(start, end)]), isWhole: true };
      rest = [];
      start = end + 1;
    }
    if (start < piece.length) rest.push(piece.subarray(start));
  }
  if (rest.length > 0) yield { bytes: Buffer.concat(rest), isWhole: false };
}

function foreign(path: string): NudgeError {
  return new NudgeError('FILE_EXISTS', 'There is a file already, and `nudge generate` did not write it.', {
    path,
    remedy: 'Choose another --out, or replace the file with --force.',
  });
}

function notAFile(path: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'The completions go into a file.', {
    path,
    received: 'a directory, or something else that is no file',
    remedy: 'Correct --out.',
  });
}

function mismatch(path: string, before: OutputRow, now: RunIdentity): NudgeError {
  const changed = [...differences('', before.model, now.model), ...differences('', before.parameters, now.parameters)];
  const said = changed.length > 0 ? changed : [{ name: 'the prompts', before: 'other ones', now: 'these' }];
  const list = (of: 'before' | 'now') => said.map((change) => `${change.name}: ${change[of]}`).join(', ');
  return new NudgeError('BAD_ARGUMENT', 'This file was begun by another run, which cannot go on as this one.', {
    path,
    expected: list('before'),
    received: list('now'),
    remedy: 'Call it as before to go on, choose another --out, or start over with --force.',
  });
}

function differences(path: string, before: unknown, now: unknown): { name: string; before: string; now: string }[] {
  const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
  if (isObject(before) && isObject(now)) {
    const [a, b] = [before as Record<string, unknown>, now as Record<string, unknown>];
    const names = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...names].flatMap((name) => differences(path === '' ? name : `${path}.${name}`, a[name], b[name]));
  }
  const shown = (value: unknown) => JSON.stringify(value) ?? 'not set';
  return shown(before) === shown(now) ? [] : [{ name: path, before: shown(before), now: shown(now) }];
}

function damaged(path: string, line: number): NudgeError {
  return new NudgeError('BAD_FILE', 'This file of completions is damaged, or was changed.', {
    path: `${path}:${line}`,
    expected: 'the next row of this run',
    remedy: 'Put the file back as it was, or start over with --force.',
  });
}

function writeFailed(path: string, cause: unknown): NudgeError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  return new NudgeError(isFull ? 'DISK_FULL' : 'IO_FAILED', 'The completions could not be written.', {
    path,
    received: message,
    remedy: isFull ? 'Free space, then call it again: it goes on.' : 'Check the path and its permissions.',
    cause,
  });
}
