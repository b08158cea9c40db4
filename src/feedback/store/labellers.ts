/** Who judges. A labeller that withdraws is not deleted: an event says so, and snapshots leave its judgements out. */
import { NudgeError } from '../../errors.ts';
import { canonicalJson, contentId } from './canonical.ts';
import { type Db, fromJson } from './contents.ts';
import { type Labeller, type LabellerKind, NewLabellerSchema, notFound, parse } from './records.ts';

/** Adds the labeller, or finds the one of this kind and name. @throws NudgeError CONFLICT where it has another profile. */
export async function addLabeller(db: Db, given: unknown, time: string): Promise<Labeller> {
  const { kind, name, profile } = parse(NewLabellerSchema, given, 'labeller');
  const id = contentId('labeller', { kind, name });
  const row = { id, kind, name, profile: canonicalJson(profile), time };
  await db
    .insertInto('labellers')
    .values(row)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const stored = await readLabeller(db, id);
  if (canonicalJson(stored.profile) === row.profile) return stored;
  throw new NudgeError('CONFLICT', 'There is a labeller of this name already, with another profile.', {
    path: `labeller ${kind} ${JSON.stringify(name)}`,
    expected: canonicalJson(stored.profile).slice(0, 500),
    received: row.profile.slice(0, 500),
    remedy: 'Give the new one a name of its own: what was judged under the old profile stays as it is.',
  });
}

/** @throws NudgeError NOT_FOUND. */
export async function readLabeller(db: Db, id: string): Promise<Labeller> {
  const [labeller] = await readLabellers(db, id);
  if (labeller === undefined) throw notFound('labeller', id);
  return labeller;
}

export async function readLabellers(db: Db, id?: string): Promise<Labeller[]> {
  const rows = await db
    .selectFrom('labellers')
    .selectAll()
    .$if(id !== undefined, (query) => query.where('id', '=', id as string))
    .orderBy('kind')
    .orderBy('name')
    .execute();
  const withdrawn = await withdrawnLabellers(db);
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind as LabellerKind,
    name: row.name,
    profile: fromJson(row.profile),
    withdrawn: withdrawn.has(row.id),
    time: row.time,
  }));
}

/** Those whose last event is a withdrawal. */
export async function withdrawnLabellers(db: Db): Promise<Set<string>> {
  const events = await db.selectFrom('labeller_events').select(['labeller', 'kind']).orderBy('number').execute();
  const last = new Map(events.map(({ labeller, kind }) => [labeller, kind]));
  return new Set([...last].flatMap(([labeller, kind]) => (kind === 'withdrawn' ? [labeller] : [])));
}

/** Appends the event, unless it says what is so already. Call it in a transaction. */
export async function appendEvent(
  db: Db,
  labeller: string,
  kind: 'withdrawn' | 'reinstated',
  reason: string,
  time: string,
): Promise<void> {
  const { withdrawn } = await readLabeller(db, labeller);
  if (withdrawn === (kind === 'withdrawn')) return;
  const { number } = await db
    .selectFrom('labeller_events')
    .select((query) => query.fn.countAll<number>().as('number'))
    .where('labeller', '=', labeller)
    .executeTakeFirstOrThrow();
  await db
    .insertInto('labeller_events')
    .values({ labeller, number: Number(number), kind, reason, time })
    .execute();
}
