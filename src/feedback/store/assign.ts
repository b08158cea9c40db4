/** Who judges which task next. */
import { sql } from 'kysely';
import { z } from 'zod';
import type { Db } from './contents.ts';
import { recordDisplay } from './judgements.ts';
import { readLabeller } from './labellers.ts';
import { type Display, ProjectName, parse } from './records.ts';

export const AssignSchema = z.strictObject({
  project: ProjectName,
  labeller: z.string(),
  overlap: z.int().min(1).max(1000).default(1).describe('Judgements that each task is to get, from as many labellers.'),
  leaseSeconds: z
    .number()
    .min(0)
    .default(900)
    .describe('How long a task that was shown to someone else counts as theirs, while they have not judged it.'),
  guidelineVersion: z.string().nullable().default(null),
  clientVersion: z.string().nullable().default(null),
});

export type AssignOptions = z.input<typeof AssignSchema>;

/**
 * Picks the next task for a labeller and records its display: first one that this labeller was shown and has not judged, then
 * the oldest that has too few judgements, those on their way (shown to others within the lease) included. Call it in a
 * transaction: then two labellers who ask at once do not get the same task unless it needs both.
 *
 * @returns null where nothing is left for this labeller.
 */
export async function assignTask(db: Db, given: unknown, now: Date, time: string): Promise<Display | null> {
  const options = parse(AssignSchema, given, 'assignment');
  const { project, labeller, overlap, leaseSeconds, guidelineVersion, clientVersion } = options;
  await readLabeller(db, labeller);
  const leased = new Date(now.getTime() - leaseSeconds * 1000).toISOString();
  const task = (await openTask(db, project, labeller)) ?? (await neededTask(db, project, labeller, overlap, leased));
  return task === null ? null : await recordDisplay(db, { task, labeller, guidelineVersion, clientVersion }, time);
}

async function openTask(db: Db, project: string, labeller: string): Promise<string | null> {
  const row = await db
    .selectFrom('displays as d')
    .innerJoin('tasks as t', 't.id', 'd.task')
    .select('d.task')
    .where('d.labeller', '=', labeller)
    .where('t.project', '=', project)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('judgements as j')
            .select('j.id')
            .whereRef('j.task', '=', 'd.task')
            .where('j.labeller', '=', labeller),
        ),
      ),
    )
    .orderBy('d.time', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.task ?? null;
}

/** Not judged by this labeller, and taken by fewer others than it needs: those who ranked it, and those who look at it now. */
async function neededTask(
  db: Db,
  project: string,
  labeller: string,
  overlap: number,
  leased: string,
): Promise<string | null> {
  const query = sql<{ id: string }>`
    select t.id from tasks t
    where t.project = ${project}
      and not exists (select 1 from judgements mine where mine.task = t.id and mine.labeller = ${labeller})
      and (
        select count(*) from (
          select j.labeller from judgements j
          where j.task = t.id and j.kind = 'ranking'
            and not exists (select 1 from judgements s where s.supersedes = j.id)
          union
          select d.labeller from displays d
          where d.task = t.id and d.labeller <> ${labeller} and d.time > ${leased}
            and not exists (select 1 from judgements k where k.task = d.task and k.labeller = d.labeller)
        ) as taken
      ) < ${overlap}
    order by t.time, t.id limit 1`;
  return (await query.execute(db)).rows[0]?.id ?? null;
}
