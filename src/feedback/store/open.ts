/** From a path to a database of the newest version. */
import { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import { NudgeError } from '../../errors.ts';
import { MIGRATIONS } from './migrations/index.ts';
import type { Tables } from './schema.ts';
import { NodeSqlite, NodeSqliteDialect, patiently } from './sqlite.ts';

export interface Opened {
  readonly file: NodeSqlite;
  readonly db: Kysely<Tables>;
}

/**
 * Opens or makes the file and brings it to the newest version, in one transaction: a failure leaves it as it was, and two
 * processes that open it at once wait for each other.
 *
 * @param upTo stop at this migration; tests make older files so.
 */
export async function openDatabase(path: string, upTo?: string): Promise<Opened> {
  const file = await patiently(async () => new NodeSqlite(path));
  const db = new Kysely<Tables>({ dialect: new NodeSqliteDialect(file) });
  try {
    if (checkVersion(file) !== Object.keys(MIGRATIONS).at(-1)) await patiently(() => migrate(db, upTo));
    return { file, db };
  } catch (error) {
    file.close();
    if (error instanceof NudgeError || !(error instanceof Error)) throw error;
    throw new NudgeError('BAD_FILE', 'The preference store could not be brought to the newest version.', {
      path,
      received: error.message,
      remedy: 'The file is as it was. Open it with the version of Nudge that wrote it, or go back to a backup.',
      cause: error,
    });
  }
}

async function migrate(db: Kysely<Tables>, upTo: string | undefined): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => ({ ...MIGRATIONS }) } });
  const { error } = await (upTo === undefined ? migrator.migrateToLatest() : migrator.migrateTo(upTo));
  if (error !== undefined) throw error;
}

/** The newest migration that the file has; undefined where it has none. */
function checkVersion(file: NodeSqlite): string | undefined {
  const has = file.value("select count(*) from sqlite_schema where type = 'table' and name = 'kysely_migration'");
  if (has === 0) return undefined;
  const newest = file.value('select max(name) from kysely_migration');
  if (newest === null) return undefined;
  if (Object.hasOwn(MIGRATIONS, String(newest))) return String(newest);
  throw new NudgeError('BAD_FILE', 'This preference store was written by a newer version of Nudge.', {
    path: file.path,
    expected: `version ${Object.keys(MIGRATIONS).at(-1)} or older`,
    received: `version ${newest}`,
    remedy: 'Update Nudge, or open a backup that this version wrote.',
  });
}
