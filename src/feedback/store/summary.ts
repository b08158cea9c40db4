import { sql } from 'kysely';
import type { Db } from './contents.ts';

/** Counts of a project, for status lines. */
export interface StoreSummary {
  readonly prompts: number;
  readonly completions: number;
  readonly tasks: number;
  /** Rankings that stand: neither superseded nor taken back. */
  readonly rankings: number;
  /** Who made them. */
  readonly labellers: number;
}

export async function summarise(db: Db, project: string): Promise<StoreSummary> {
  const { rows } = await sql<StoreSummary>`
    with standing as (
      select j.labeller from judgements j join tasks t on t.id = j.task
      where t.project = ${project} and j.kind = 'ranking'
        and not exists (select 1 from judgements s where s.supersedes = j.id)
    )
    select
      (select count(*) from prompts where project = ${project}) as prompts,
      (select count(*) from completions c join prompts p on p.id = c.prompt where p.project = ${project}) as completions,
      (select count(*) from tasks where project = ${project}) as tasks,
      (select count(*) from standing) as rankings,
      (select count(distinct labeller) from standing) as labellers`.execute(db);
  return { ...(rows[0] as StoreSummary) };
}
