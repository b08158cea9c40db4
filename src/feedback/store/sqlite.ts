/**
 * Kysely's SQLite dialect over `node:sqlite`, and SQLite's errors as Nudge's.
 *
 * Kysely expects a database like better-sqlite3's; this is that shape over `DatabaseSync`, with differences that matter where
 * several write: a transaction takes the write lock at its beginning and waits for it without holding up the event loop, so that
 * two connections of one process do not wait for each other for ever; migrations run inside a transaction; and a rollback after
 * SQLite's own is no error that hides the first.
 */

import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryCompiler,
  SqliteAdapter,
  type SqliteDatabase,
  SqliteDriver,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type SqliteStatement,
} from 'kysely';
import { NudgeError } from '../../errors.ts';

/** How long a call waits for others' writes, in milliseconds. A write takes a few. */
export const BUSY_TIMEOUT_MS = 10_000;

/** How long SQLite itself waits, which holds up everything else in this process. */
const BLOCKING_MS = 50;

/** Marks the file as ours (PRAGMA application_id): "NUDG". */
const APPLICATION_ID = 0x4e554447;

/** Statements that are kept compiled. */
const CACHED = 200;

export class NodeSqliteDialect implements Dialect {
  readonly #database: NodeSqlite;

  constructor(database: NodeSqlite) {
    this.#database = database;
  }

  createDriver(): Driver {
    return new PatientDriver({ database: this.#database });
  }

  createQueryCompiler(): QueryCompiler {
    return new SqliteQueryCompiler();
  }

  createAdapter(): SqliteAdapter {
    return new TransactionalDdlAdapter();
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new SqliteIntrospector(db);
  }
}

/** Takes the write lock at the beginning: a transaction that reads first and writes then could not wait for it any more. */
class PatientDriver extends SqliteDriver {
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await patiently(async () => await super.beginTransaction(connection));
  }
}

/** Tries again while others write, for 10 seconds. @throws NudgeError STORE_BUSY. */
export async function patiently<T>(action: () => Promise<T>): Promise<T> {
  for (const until = Date.now() + BUSY_TIMEOUT_MS; ; ) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof NudgeError) || error.code !== 'STORE_BUSY' || Date.now() > until) throw error;
      await sleep(1 + Math.random() * 20);
    }
  }
}

/** SQLite can undo CREATE TABLE; Kysely's adapter says no, and would leave half a migration behind. */
class TransactionalDdlAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

/** The part of better-sqlite3 that Kysely uses, over `DatabaseSync`. */
export class NodeSqlite implements SqliteDatabase {
  readonly path: string;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, Statement>();

  /** @throws NudgeError IO_FAILED, BAD_FILE; STORE_BUSY at once, see `patiently`. */
  constructor(path: string) {
    this.path = path;
    this.#db = guarded(path, () => new DatabaseSync(path, { timeout: BLOCKING_MS, defensive: true }));
    try {
      this.#configure();
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** The database itself, for backups. */
  get raw(): DatabaseSync {
    return this.#db;
  }

  prepare(sql: string): SqliteStatement {
    if (sql === 'begin') return this.#prepare('begin immediate');
    if (sql === 'rollback' && !this.#db.isTransaction) return NOTHING;
    return this.#prepare(sql);
  }

  close(): void {
    this.#statements.clear();
    if (this.#db.isOpen) this.#db.close();
  }

  /** One value, such as a pragma's. */
  value(sql: string): unknown {
    const row = guarded(this.path, () => this.#db.prepare(sql).get());
    return row === undefined ? undefined : Object.values(row)[0];
  }

  exec(sql: string): void {
    guarded(this.path, () => this.#db.exec(sql));
  }

  #configure(): void {
    const id = Number(this.value('pragma application_id'));
    const isEmpty = this.value('select count(*) from sqlite_schema') === 0;
    if (id !== APPLICATION_ID && !isEmpty) throw notOurs(this.path);
    // Write-ahead logging: readers and one writer at the same time. FULL: what was acknowledged survives a power cut, too.
    this.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on;');
    this.exec('pragma recursive_triggers = on; pragma trusted_schema = off; pragma cell_size_check = on;');
    if (id !== APPLICATION_ID) this.exec(`pragma application_id = ${APPLICATION_ID}`);
  }

  #prepare(sql: string): Statement {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = new Statement(
      this.path,
      guarded(this.path, () => this.#db.prepare(sql)),
    );
    if (this.#statements.size >= CACHED) this.#statements.delete(this.#statements.keys().next().value as string);
    this.#statements.set(sql, statement);
    return statement;
  }
}

class Statement implements SqliteStatement {
  readonly reader: boolean;
  readonly #path: string;
  readonly #statement: StatementSync;

  constructor(path: string, statement: StatementSync) {
    this.#path = path;
    this.#statement = statement;
    this.reader = statement.columns().length > 0;
  }

  all(parameters: readonly unknown[]): unknown[] {
    return guarded(this.#path, () => this.#statement.all(...(parameters as SQLInputValue[])));
  }

  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint } {
    return guarded(this.#path, () => this.#statement.run(...(parameters as SQLInputValue[])));
  }

  iterate(parameters: readonly unknown[]): IterableIterator<unknown> {
    // A statement of its own would be needed to read two streams at once; nothing here streams.
    return this.all(parameters).values() as IterableIterator<unknown>;
  }
}

const NOTHING: SqliteStatement = {
  reader: false,
  all: () => [],
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  iterate: () => [].values(),
};

/** SQLite's primary result codes that a user can do something about. */
const BUSY = [5, 6];
const FULL = 13;
const DAMAGED = [11, 26];
const UNREACHABLE = [3, 8, 10, 14, 23];

function guarded<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw asNudgeError(path, error);
  }
}

/** SQLite's error as what it means to the user; others, such as constraints, as they are. */
function asNudgeError(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('errcode' in error)) return error;
  const code = Number(error.errcode) & 0xff;
  const details = { path, received: error.message, cause: error };
  if (DAMAGED.includes(code)) {
    return new NudgeError(
      'BAD_FILE',
      'The preference store cannot be read: the file is damaged, or is no SQLite file.',
      {
        ...details,
        remedy: 'Go back to a backup (`store.backup`); `sqlite3 FILE .recover` saves what is left of a damaged file.',
      },
    );
  }
  if (BUSY.includes(code)) {
    return new NudgeError(
      'STORE_BUSY',
      `Others have been writing to the preference store for ${BUSY_TIMEOUT_MS / 1000} seconds.`,
      {
        ...details,
        remedy: 'Try again; if it stays so, end the process that holds the file. Nothing was written.',
      },
    );
  }
  if (code === FULL) {
    return new NudgeError('DISK_FULL', 'The disk is full. Nothing of this call was stored.', {
      ...details,
      remedy: 'Free some space and try again.',
    });
  }
  if (UNREACHABLE.includes(code)) {
    return new NudgeError('IO_FAILED', 'The preference store cannot be opened or written.', {
      ...details,
      remedy: 'Check the path and its permissions; the directory must exist and be writable, too.',
    });
  }
  return error;
}

function notOurs(path: string): NudgeError {
  return new NudgeError('BAD_FILE', "This SQLite file is another program's.", {
    path,
    expected: 'a preference store that Nudge made, or no file',
    remedy: 'Choose another path. To bring in data, export it as JSONL or Parquet and import that.',
  });
}
