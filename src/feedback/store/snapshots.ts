/** Which judgements something is trained on: chosen by a filter, named by a hash over them, kept for good. */
import type { Content } from '../../data/index.ts';
import { NudgeError } from '../../errors.ts';
import { canonicalJson, contentId } from './canonical.ts';
import { chunks, type Db, fromJson, readTasks } from './contents.ts';
import { asJudgement } from './judgements.ts';
import { withdrawnLabellers } from './labellers.ts';
import {
  type Judgement,
  type Labeller,
  type LabellerKind,
  notFound,
  parse,
  type Snapshot,
  SnapshotFilterSchema,
  type Task,
} from './records.ts';

/** A judgement with its task. */
export interface JudgedTask {
  readonly judgement: Judgement;
  readonly task: Task;
}

/** Takes a snapshot of the rankings that stand. Call it in a transaction. */
export async function takeSnapshot(db: Db, given: unknown, time: string): Promise<Snapshot> {
  const filter = parse(SnapshotFilterSchema, given, 'snapshot filter');
  const { project, since, until } = filter;
  const { labellers, exceptLabellers, kinds, guidelineVersions } = filter;
  await checkProject(db, project);
  const rows = await db
    .selectFrom('judgements as j')
    .innerJoin('tasks as t', 't.id', 'j.task')
    .innerJoin('labellers as l', 'l.id', 'j.labeller')
    .select(['j.id', 'j.labeller', 'j.guideline_version', 'l.kind'])
    .where('t.project', '=', project)
    .where('j.kind', '=', 'ranking')
    .$if(since !== null, (query) => query.where('j.time', '>=', since as string))
    .$if(until !== null, (query) => query.where('j.time', '<=', until as string))
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('judgements as s')
            .select('s.id')
            .whereRef('s.supersedes', '=', 'j.id')
            .$if(until !== null, (query) => query.where('s.time', '<=', until as string)),
        ),
      ),
    )
    .execute();
  const gone = filter.includeWithdrawn ? new Set<string>() : await withdrawnLabellers(db);
  const ids = rows
    .filter(({ labeller }) => !gone.has(labeller) && !exceptLabellers.includes(labeller))
    .filter(({ labeller }) => labellers?.includes(labeller) ?? true)
    .filter(({ kind }) => kinds?.includes(kind as LabellerKind) ?? true)
    .filter(({ guideline_version }) => guidelineVersions?.includes(guideline_version) ?? true)
    .map(({ id }) => id)
    .sort();
  const id = contentId('snapshot', { project, judgements: ids });
  const row = { id, project, filter: canonicalJson(filter), judgements: ids.length, time };
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('snapshots')
    .values(row)
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow();
  if (Number(numInsertedOrUpdatedRows) === 1) {
    for (const some of chunks(ids, 5000)) {
      const members = some.map((judgement) => ({ snapshot: id, judgement }));
      await db.insertInto('snapshot_judgements').values(members).execute();
    }
  }
  return await readSnapshot(db, id);
}

async function checkProject(db: Db, project: string): Promise<void> {
  const all = (await db.selectFrom('projects').select('id').orderBy('id').execute()).map(({ id }) => id);
  if (all.includes(project)) return;
  throw new NudgeError('NOT_FOUND', 'There is no such project in this store.', {
    path: 'project',
    expected:
      all.length === 0
        ? 'a project; the store is empty'
        : all
            .slice(0, 20)
            .map((id) => JSON.stringify(id))
            .join(', '),
    received: JSON.stringify(project),
    remedy: 'Check the name. A project begins with its first prompt or task.',
  });
}

/** @throws NudgeError NOT_FOUND. */
export async function readSnapshot(db: Db, id: string): Promise<Snapshot> {
  const row = await db.selectFrom('snapshots').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw notFound('snapshot', id);
  return { ...row, filter: fromJson(row.filter) };
}

export async function readSnapshots(db: Db, project: string): Promise<Snapshot[]> {
  const rows = await db.selectFrom('snapshots').selectAll().where('project', '=', project).orderBy('time').execute();
  return rows.map((row) => ({ ...row, filter: fromJson(row.filter) }));
}

/** All judgements of a snapshot with their tasks, oldest first. @throws NudgeError NOT_FOUND. */
export async function judgedTasks(db: Db, snapshot: string): Promise<JudgedTask[]> {
  await readSnapshot(db, snapshot);
  const rows = await db
    .selectFrom('snapshot_judgements as m')
    .innerJoin('judgements as j', 'j.id', 'm.judgement')
    .where('m.snapshot', '=', snapshot)
    .selectAll('j')
    .orderBy('j.time')
    .orderBy('j.id')
    .execute();
  const judgements = rows.map(asJudgement);
  const tasks = await readTasks(
    db,
    judgements.map(({ task }) => task),
  );
  return judgements.map((judgement, i) => ({ judgement, task: tasks[i] as Task }));
}

/** What a snapshot was made from. */
export interface Lineage {
  readonly snapshot: Snapshot;
  /** `withdrawn` is as of now: a snapshot from before a withdrawal says so. */
  readonly labellers: readonly (Pick<Labeller, 'id' | 'kind' | 'name' | 'withdrawn'> & {
    readonly judgements: number;
  })[];
  readonly guidelineVersions: readonly (string | null)[];
  /** Hashes of the models that wrote the completions. */
  readonly models: readonly (string | null)[];
  readonly tasks: number;
  readonly judgements: readonly string[];
  /** Times of the first and the last judgement. */
  readonly from: string | null;
  readonly to: string | null;
}

export async function lineageOf(db: Db, id: string): Promise<Lineage> {
  const snapshot = await readSnapshot(db, id);
  const judged = await judgedTasks(db, id);
  const counts = Map.groupBy(judged, ({ judgement }) => judgement.labeller);
  const gone = await withdrawnLabellers(db);
  const labellers = await db
    .selectFrom('labellers')
    .select(['id', 'kind', 'name'])
    .orderBy('kind')
    .orderBy('name')
    .execute();
  return {
    snapshot,
    labellers: labellers
      .filter((labeller) => counts.has(labeller.id))
      .map((labeller) => ({
        ...labeller,
        kind: labeller.kind as LabellerKind,
        withdrawn: gone.has(labeller.id),
        judgements: counts.get(labeller.id)?.length ?? 0,
      })),
    guidelineVersions: [...new Set(judged.map(({ judgement }) => judgement.guidelineVersion))],
    models: [...new Set(judged.flatMap(({ task }) => task.completions.map(({ model }) => model)))],
    tasks: new Set(judged.map(({ task }) => task.id)).size,
    judgements: judged.map(({ judgement }) => judgement.id).sort(),
    from: judged[0]?.judgement.time ?? null,
    to: judged.at(-1)?.judgement.time ?? null,
  };
}

export function contentsOf(task: Task): Content[] {
  return task.completions.map(({ content }) => content);
}
