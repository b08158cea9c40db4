import { type Kysely, sql } from 'kysely';

/**
 * The database itself refuses to change or delete a row of this table. SQLite's syntax; PostgreSQL needs a function and one
 * trigger, as docs/decisions/0010 says. `recursive_triggers` is on, so that INSERT OR REPLACE meets the same refusal.
 */
export async function refuseChanges(db: Kysely<unknown>, table: string): Promise<void> {
  for (const [event, word] of [
    ['update', 'changed'],
    ['delete', 'deleted'],
  ] as const) {
    const name = sql.ref(`${table}_not_${word}`);
    const message = sql.lit(`${table} are append-only: no row may be ${word}`);
    const body = sql`create trigger ${name} before ${sql.raw(event)} on ${sql.table(table)} begin select raise(abort, ${message}); end`;
    await body.execute(db);
  }
}
