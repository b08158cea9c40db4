/** Whether the file still says what was stored: SQLite's own checks, and every content against its name. */
import { contentId } from './canonical.ts';
import { asCompletion, asPrompt, chunks, type Db } from './contents.ts';
import { asJudgement, judgementId } from './judgements.ts';
import type { NodeSqlite } from './sqlite.ts';

export interface Verification {
  readonly ok: boolean;
  /** What is wrong, a line each; at most 100. */
  readonly problems: readonly string[];
  readonly judgements: number;
}

export async function verify(file: NodeSqlite, db: Db): Promise<Verification> {
  const problems: string[] = [];
  for (const row of file.raw.prepare('pragma integrity_check(100)').all()) {
    if (row.integrity_check !== 'ok') problems.push(`file: ${row.integrity_check}`);
  }
  for (const row of file.raw.prepare('pragma foreign_key_check').all()) {
    problems.push(`${row.table}: a row refers to a row of ${row.parent} that is not there`);
  }
  const judgements = await db.selectFrom('judgements').select('id').execute();
  await checkContents(db, problems);
  for (const some of chunks(judgements, 5000)) {
    const ids = some.map(({ id }) => id);
    for (const row of await db.selectFrom('judgements').selectAll().where('id', 'in', ids).execute()) {
      if (judgementId(asJudgement(row)) !== row.id) problems.push(`judgement ${row.id}: was altered`);
    }
  }
  return { ok: problems.length === 0, problems: problems.slice(0, 100), judgements: judgements.length };
}

async function checkContents(db: Db, problems: string[]): Promise<void> {
  for (const row of await db.selectFrom('prompts').selectAll().execute()) {
    const { project, prompt, extra } = asPrompt(row);
    if (contentId('prompt', { project, prompt, extra }) !== row.id) problems.push(`prompt ${row.id}: was altered`);
  }
  for (const row of await db.selectFrom('completions').selectAll().execute()) {
    const { id, time: _, ...content } = asCompletion(row);
    if (contentId('completion', content) !== id) problems.push(`completion ${id}: was altered`);
  }
  for (const { id, filter: _, judgements, ...snapshot } of await db.selectFrom('snapshots').selectAll().execute()) {
    const members = await db.selectFrom('snapshot_judgements').select('judgement').where('snapshot', '=', id).execute();
    const ids = members.map(({ judgement }) => judgement).sort();
    const found = contentId('snapshot', { project: snapshot.project, judgements: ids });
    if (found !== id || ids.length !== judgements)
      problems.push(`snapshot ${id}: has other judgements than it was made of`);
  }
}
