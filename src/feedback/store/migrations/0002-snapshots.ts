/** Snapshots: which judgements something was trained on. */
import { type Kysely, sql } from 'kysely';
import { refuseChanges } from './triggers.ts';

export async function up(db: Kysely<unknown>): Promise<void> {
  const strict = sql`strict`;
  await db.schema
    .createTable('snapshots')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('project', 'text', (c) => c.notNull().references('projects.id'))
    .addColumn('filter', 'text', (c) => c.notNull())
    .addColumn('judgements', 'integer', (c) => c.notNull())
    .addColumn('time', 'text', (c) => c.notNull())
    .modifyEnd(strict)
    .execute();
  await db.schema
    .createTable('snapshot_judgements')
    .addColumn('snapshot', 'text', (c) => c.notNull().references('snapshots.id'))
    .addColumn('judgement', 'text', (c) => c.notNull().references('judgements.id'))
    .addPrimaryKeyConstraint('snapshot_judgements_key', ['snapshot', 'judgement'])
    .modifyEnd(strict)
    .execute();
  await db.schema.createIndex('snapshot_judgements_judgement').on('snapshot_judgements').column('judgement').execute();
  await refuseChanges(db, 'snapshots');
  await refuseChanges(db, 'snapshot_judgements');
}
