/** What was shown to whom, and what they said. The one way in, for people, models and simulated labellers alike. */
import { createHash, randomUUID } from 'node:crypto';
import type { z } from 'zod';
import { NudgeError } from '../../errors.ts';
import { canonicalJson, contentId } from './canonical.ts';
import { countCompletions, type Db, fromJson, fromNullable } from './contents.ts';
import { readLabeller } from './labellers.ts';
import {
  type Display,
  type Flag,
  type Judgement,
  NewDisplaySchema,
  NewJudgementSchema,
  notFound,
  parse,
} from './records.ts';
import type { Tables } from './schema.ts';

/**
 * Stores in which order a labeller sees a task. Call it in a transaction, before anything is shown. Again with the same order
 * and versions, it gives the display that is there, so that a page that is loaded again shows the same.
 */
export async function recordDisplay(db: Db, given: unknown, time: string): Promise<Display> {
  const { task, labeller, order, guidelineVersion, clientVersion } = parse(NewDisplaySchema, given, 'display');
  const count = await countCompletions(db, task);
  await readLabeller(db, labeller);
  const last = await lastDisplay(db, task, labeller);
  const shown = order ?? last?.order ?? shuffled(count, `${task} ${labeller}`);
  checkOrder(shown, count, 'order');
  const said = { order: shown, guidelineVersion, clientVersion };
  if (last !== null && canonicalJson({ ...last, ...said }) === canonicalJson(last)) return last;
  const content = { task, labeller, ...said, time };
  const display = { id: contentId('display', content), ...content };
  await db
    .insertInto('displays')
    .values({
      id: display.id,
      task,
      labeller,
      shown_order: canonicalJson(shown),
      guideline_version: guidelineVersion,
      client_version: clientVersion,
      time,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return display;
}

export async function lastDisplay(db: Db, task: string, labeller: string): Promise<Display | null> {
  const row = await db
    .selectFrom('displays')
    .selectAll()
    .where('task', '=', task)
    .where('labeller', '=', labeller)
    .orderBy('time', 'desc')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return null;
  const { shown_order, guideline_version: guidelineVersion, client_version: clientVersion, ...rest } = row;
  return { ...rest, order: fromJson<number[]>(shown_order), guidelineVersion, clientVersion };
}

export interface Submitted {
  readonly judgement: Judgement;
  /** false: it was stored before, under the same client key. */
  readonly isNew: boolean;
}

/**
 * Appends a judgement. Call it in a transaction.
 *
 * @throws NudgeError BAD_ARGUMENT where it does not fit its task; NOT_FOUND; CONFLICT where the labeller judged the task
 * already and does not say that this supersedes it, is withdrawn, or used the client key for something else.
 */
export async function submitJudgement(db: Db, given: unknown, now: string): Promise<Submitted> {
  const fields = parse(NewJudgementSchema, given, 'judgement');
  const before = fields.clientKey === null ? null : await findByKey(db, fields.labeller, fields.clientKey);
  if (before !== null) return { judgement: sameAs(before, fields), isNew: false };
  const count = await countCompletions(db, fields.task);
  checkPositions(fields, count);
  const { withdrawn, name } = await readLabeller(db, fields.labeller);
  if (withdrawn) throw conflict('This labeller has withdrawn.', fields, `labeller ${name}, reinstated`, name);
  await checkChain(db, fields);
  const judgement = await settle(db, fields, now);
  if (judgement.displayedOrder !== null) checkOrder(judgement.displayedOrder, count, 'displayedOrder');
  await db.insertInto('judgements').values(asRow(judgement)).execute();
  return { judgement, isNew: true };
}

type Fields = z.output<typeof NewJudgementSchema>;

/** The whole judgement, with what the display says and its id. */
async function settle(db: Db, fields: Fields, now: string): Promise<Judgement> {
  const display = fields.displayedOrder === undefined ? await lastDisplay(db, fields.task, fields.labeller) : null;
  if (fields.displayedOrder === undefined && display === null) {
    throw new NudgeError('BAD_ARGUMENT', 'This labeller was never shown this task.', {
      path: 'judgement.displayedOrder',
      expected: 'recordDisplay before submitJudgement',
      remedy: 'Record the display; for judgements from elsewhere pass displayedOrder, or null where it is not known.',
    });
  }
  const content = {
    task: fields.task,
    labeller: fields.labeller,
    clientKey: fields.clientKey ?? randomUUID(),
    kind: fields.kind,
    ranks: fields.ranks,
    noneGood: fields.noneGood,
    strength: fields.strength,
    margin: fields.margin,
    flags: fields.flags,
    reason: fields.reason,
    displayedOrder: fields.displayedOrder ?? display?.order ?? null,
    latencyMs: fields.latencyMs,
    guidelineVersion: fields.guidelineVersion ?? display?.guidelineVersion ?? null,
    clientVersion: fields.clientVersion ?? display?.clientVersion ?? null,
    supersedes: fields.supersedes,
    time: fields.time ?? now,
  };
  return { id: judgementId(content), ...content };
}

/** The id is made of everything else, so that a row that was altered can be told. */
export function judgementId({ id: _, ...content }: Omit<Judgement, 'id'> & { id?: string }): string {
  return contentId('judgement', content);
}

/** A submit that came twice: the first one, if it said the same. */
function sameAs(before: Judgement, fields: Fields): Judgement {
  const { time, displayedOrder, guidelineVersion, clientVersion, ...said } = fields;
  const repeated = { ...before, ...said };
  if (canonicalJson(repeated) === canonicalJson(before)) return before;
  throw conflict(
    'This client key was used for another judgement.',
    fields,
    'a key of its own for each judgement',
    fields.clientKey ?? '',
  );
}

function checkPositions({ ranks, flags }: Fields, count: number): void {
  if (ranks !== null && ranks.length !== count) {
    throw new NudgeError('BAD_ARGUMENT', 'The ranks do not fit the task.', {
      path: 'judgement.ranks',
      expected: `${count}, one a completion`,
      received: String(ranks.length),
    });
  }
  const beyond = flags.find(({ position }) => position !== null && position >= count);
  if (beyond !== undefined) {
    throw new NudgeError('BAD_ARGUMENT', 'A flag is on a completion that the task does not have.', {
      path: 'judgement.flags',
      expected: `a position below ${count}`,
      received: String(beyond.position),
    });
  }
}

function checkOrder(order: readonly number[], count: number, path: string): void {
  const isPermutation = order.length === count && new Set(order).size === count && order.every((at) => at < count);
  if (isPermutation) return;
  throw new NudgeError('BAD_ARGUMENT', 'This is no order of the completions.', {
    path,
    expected: `each of 0 to ${count - 1} once`,
    received: JSON.stringify(order),
  });
}

/** A judgement supersedes the labeller's standing one of the task, or is the first. */
async function checkChain(db: Db, fields: Fields): Promise<void> {
  const standing = await standingJudgement(db, fields.task, fields.labeller);
  if ((standing?.id ?? null) === fields.supersedes) return;
  throw conflict(
    standing === null ? 'There is nothing to supersede.' : 'This labeller has judged this task already.',
    fields,
    standing === null ? 'supersedes: null' : `supersedes: ${standing.id}, to replace what was said`,
    `supersedes: ${fields.supersedes}`,
  );
}

function conflict(summary: string, { task }: Fields, expected: string, received: string): NudgeError {
  return new NudgeError('CONFLICT', summary, { path: `task ${task}`, expected, received });
}

export async function standingJudgement(db: Db, task: string, labeller: string): Promise<Judgement | null> {
  const row = await db
    .selectFrom('judgements as j')
    .selectAll()
    .where('j.task', '=', task)
    .where('j.labeller', '=', labeller)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('judgements as s').select('s.id').whereRef('s.supersedes', '=', 'j.id'))),
    )
    .executeTakeFirst();
  return row === undefined ? null : asJudgement(row);
}

async function findByKey(db: Db, labeller: string, key: string): Promise<Judgement | null> {
  const row = await db
    .selectFrom('judgements')
    .selectAll()
    .where('labeller', '=', labeller)
    .where('client_key', '=', key)
    .executeTakeFirst();
  return row === undefined ? null : asJudgement(row);
}

/** @throws NudgeError NOT_FOUND. */
export async function readJudgement(db: Db, id: string): Promise<Judgement> {
  const row = await db.selectFrom('judgements').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw notFound('judgement', id);
  return asJudgement(row);
}

export function asJudgement(row: Tables['judgements']): Judgement {
  return {
    id: row.id,
    task: row.task,
    labeller: row.labeller,
    clientKey: row.client_key,
    kind: row.kind as Judgement['kind'],
    ranks: fromNullable<(number | null)[]>(row.ranks),
    noneGood: row.none_good === 1,
    strength: row.strength,
    margin: row.margin,
    flags: fromJson<Flag[]>(row.flags),
    reason: row.reason,
    displayedOrder: fromNullable<number[]>(row.displayed_order),
    latencyMs: row.latency_ms,
    guidelineVersion: row.guideline_version,
    clientVersion: row.client_version,
    supersedes: row.supersedes,
    time: row.time,
  };
}

function asRow(judgement: Judgement): Tables['judgements'] {
  const json = (value: unknown) => (value === null ? null : canonicalJson(value));
  return {
    id: judgement.id,
    task: judgement.task,
    labeller: judgement.labeller,
    client_key: judgement.clientKey,
    kind: judgement.kind,
    ranks: json(judgement.ranks),
    none_good: judgement.noneGood ? 1 : 0,
    strength: judgement.strength,
    margin: judgement.margin,
    flags: canonicalJson(judgement.flags),
    reason: judgement.reason,
    displayed_order: json(judgement.displayedOrder),
    latency_ms: judgement.latencyMs,
    guideline_version: judgement.guidelineVersion,
    client_version: judgement.clientVersion,
    supersedes: judgement.supersedes,
    time: judgement.time,
  };
}

/** A permutation of 0 to count - 1 that only the name decides (Fisher-Yates over SHA-256). */
export function shuffled(count: number, name: string): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const draw = createHash('sha256').update(`${name} ${i}`).digest().readUIntBE(0, 6);
    const j = draw % (i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}
