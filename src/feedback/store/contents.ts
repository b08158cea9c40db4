/** Prompts, completions and tasks: added once, found by their contents. */
import type { Kysely } from 'kysely';
import type { z } from 'zod';
import type { Content } from '../../data/index.ts';
import { canonicalJson, contentId } from './canonical.ts';
import {
  type Completion,
  NewCompletionSchema,
  NewPromptSchema,
  NewTaskSchema,
  notFound,
  type Origin,
  type Prompt,
  parse,
  type Task,
} from './records.ts';
import type { Tables } from './schema.ts';

export type Db = Kysely<Tables>;

type Json = Readonly<Record<string, unknown>>;

/** Adds the prompt, and its project where that is new. Adding it again gives the same prompt. */
export async function addPrompt(db: Db, given: unknown, time: string): Promise<Prompt> {
  const { project, prompt, extra } = parse(NewPromptSchema, given, 'prompt');
  await insertOnce(db, 'projects', { id: project, time });
  const id = contentId('prompt', { project, prompt, extra });
  const row = { id, project, content: canonicalJson(prompt), extra: canonicalJson(extra), time };
  await insertOnce(db, 'prompts', row);
  return asPrompt(await db.selectFrom('prompts').selectAll().where('id', '=', id).executeTakeFirstOrThrow());
}

export async function addCompletion(db: Db, prompt: string, given: unknown, time: string): Promise<Completion> {
  const fields = parse(NewCompletionSchema, given, 'completion');
  if ((await db.selectFrom('prompts').select('id').where('id', '=', prompt).executeTakeFirst()) === undefined) {
    throw notFound('prompt', prompt);
  }
  const id = await insertCompletion(db, prompt, fields, time);
  return asCompletion(await db.selectFrom('completions').selectAll().where('id', '=', id).executeTakeFirstOrThrow());
}

export async function readCompletions(db: Db, project: string, origin?: Origin): Promise<Completion[]> {
  const rows = await db
    .selectFrom('completions as c')
    .innerJoin('prompts as p', 'p.id', 'c.prompt')
    .selectAll('c')
    .where('p.project', '=', project)
    .$if(origin !== undefined, (query) => query.where('c.origin', '=', origin as string))
    .orderBy('c.time')
    .orderBy('c.id')
    .execute();
  return rows.map(asCompletion);
}

async function insertCompletion(
  db: Db,
  prompt: string,
  fields: z.output<typeof NewCompletionSchema>,
  time: string,
): Promise<string> {
  const id = contentId('completion', { prompt, ...fields });
  const json = (value: unknown) => (value === null ? null : canonicalJson(value));
  await insertOnce(db, 'completions', {
    id,
    prompt,
    content: canonicalJson(fields.content),
    origin: fields.origin,
    token_ids: json(fields.tokenIds),
    logprobs: json(fields.logprobs),
    model: fields.model,
    sampling: json(fields.sampling),
    seed: fields.seed,
    extra: canonicalJson(fields.extra),
    time,
  });
  return id;
}

/** Adds the task with its prompt and completions, or finds the one with the same. Returns its id. */
export async function addTask(db: Db, given: unknown, time: string): Promise<string> {
  const { project, prompt: content, promptExtra, completions, key, extra } = parse(NewTaskSchema, given, 'task');
  const prompt = await addPrompt(db, { project, prompt: content, extra: promptExtra }, time);
  const ids: string[] = [];
  for (const fields of completions) ids.push(await insertCompletion(db, prompt.id, fields, time));
  const id = contentId('task', { project, prompt: prompt.id, completions: ids, key, extra });
  const isNew = await insertOnce(db, 'tasks', {
    id,
    project,
    prompt: prompt.id,
    key,
    extra: canonicalJson(extra),
    time,
  });
  if (isNew) {
    const rows = ids.map((completion, position) => ({ task: id, position, completion }));
    await db.insertInto('task_completions').values(rows).execute();
  }
  return id;
}

/** Whether the row was new. Rows are named by their contents: one that is there already is the same. */
async function insertOnce<T extends 'projects' | 'prompts' | 'completions' | 'tasks'>(
  db: Db,
  table: T,
  row: Tables[T],
): Promise<boolean> {
  const result = await db
    .insertInto(table)
    .values(row as never)
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return Number(result.numInsertedOrUpdatedRows) === 1;
}

/** The tasks with these ids, in this order. @throws NudgeError NOT_FOUND. */
export async function readTasks(db: Db, ids: readonly string[]): Promise<Task[]> {
  const found = new Map<string, Task>();
  for (const some of chunks([...new Set(ids)], 5000)) {
    const tasks = await db.selectFrom('tasks').selectAll().where('id', 'in', some).execute();
    const prompts = await db
      .selectFrom('prompts')
      .innerJoin('tasks', 'tasks.prompt', 'prompts.id')
      .where('tasks.id', 'in', some)
      .selectAll('prompts')
      .distinct()
      .execute();
    const completions = await db
      .selectFrom('task_completions')
      .innerJoin('completions', 'completions.id', 'task_completions.completion')
      .where('task_completions.task', 'in', some)
      .orderBy('task_completions.task')
      .orderBy('task_completions.position')
      .selectAll('completions')
      .select('task_completions.task as task')
      .execute();
    const promptOf = new Map(prompts.map((row) => [row.id, asPrompt(row)]));
    const completionsOf = Map.groupBy(completions, ({ task }) => task);
    for (const { prompt, extra, ...task } of tasks) {
      found.set(task.id, {
        ...task,
        prompt: promptOf.get(prompt) as Prompt,
        completions: (completionsOf.get(task.id) ?? []).map(asCompletion),
        extra: fromJson<Json>(extra),
      });
    }
  }
  return ids.map((id) => {
    const task = found.get(id);
    if (task === undefined) throw notFound('task', id);
    return task;
  });
}

/** K, the completions of a task. @throws NudgeError NOT_FOUND. */
export async function countCompletions(db: Db, task: string): Promise<number> {
  const row = await db
    .selectFrom('task_completions')
    .select((query) => query.fn.countAll<number>().as('count'))
    .where('task', '=', task)
    .executeTakeFirstOrThrow();
  if (Number(row.count) === 0) throw notFound('task', task);
  return Number(row.count);
}

export function asPrompt({ content, extra, ...row }: Tables['prompts']): Prompt {
  return { ...row, prompt: fromJson<Content>(content), extra: fromJson<Json>(extra) };
}

export function asCompletion(row: Tables['completions']): Completion {
  return {
    id: row.id,
    prompt: row.prompt,
    content: fromJson<Content>(row.content),
    origin: row.origin as Origin,
    tokenIds: fromNullable<number[]>(row.token_ids),
    logprobs: fromNullable<number[]>(row.logprobs),
    model: row.model,
    sampling: fromNullable<Json>(row.sampling),
    seed: row.seed,
    extra: fromJson<Json>(row.extra),
    time: row.time,
  };
}

export function fromJson<T>(text: string): T {
  return JSON.parse(text) as T;
}

export function fromNullable<T>(text: string | null): T | null {
  return text === null ? null : fromJson<T>(text);
}

/** SQLite binds 32,766 parameters at most. */
export function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
