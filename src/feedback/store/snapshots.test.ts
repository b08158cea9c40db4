import { describe, expect, it } from 'vitest';
import { openStore, type PreferenceStore } from './store.ts';
import { refusalOf } from './testing/index.ts';

/** One second a call, so that times are known. */
function clock(): () => Date {
  let seconds = 0;
  return () => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds++));
}

async function judged(
  store: PreferenceStore,
  who: string,
  prompt: string,
  ranks: (number | null)[],
  rest: object = {},
) {
  const completions = ranks.map((_, i) => `${prompt} ${i}`);
  const task = await store.addTask({ prompt, completions });
  const labeller = await store.addLabeller({ kind: 'person', name: who });
  return await store.submitJudgement({ task: task.id, labeller: labeller.id, ranks, displayedOrder: null, ...rest });
}

describe('a snapshot', () => {
  it('has the same id for the same judgements, whatever the filter, and another for others', async () => {
    await using store = await openStore(':memory:');
    await judged(store, 'ann', 'p', [1, 2]);
    const first = await store.snapshot();
    expect(await store.snapshot()).toEqual(first);
    expect((await store.snapshot({ kinds: ['person'] })).id).toBe(first.id);
    await judged(store, 'ben', 'p', [2, 1]);
    const second = await store.snapshot();
    expect(second.id).not.toBe(first.id);
    expect(second.judgements).toBe(2);
    expect(await store.snapshots()).toEqual([first, second]);
    expect(await store.rankings(first.id)).toHaveLength(1);
  });

  it('is chosen by labeller, kind, guideline and time', async () => {
    await using store = await openStore(':memory:', { now: clock() });
    const a = await judged(store, 'ann', 'p', [1, 2], { guidelineVersion: 'v1' });
    const b = await judged(store, 'ben', 'p', [2, 1], { guidelineVersion: 'v2' });
    const c = await judged(store, 'ben', 'q', [1, 1]);
    const robot = await store.addLabeller({ kind: 'ai', name: 'judge' });
    const d = await store.submitJudgement({ task: a.task, labeller: robot.id, ranks: [1, 2], displayedOrder: null });
    const ids = async (filter: object) => (await store.lineage((await store.snapshot(filter)).id)).judgements;
    const sorted = (...all: { id: string }[]) => all.map(({ id }) => id).sort();
    expect(await ids({})).toEqual(sorted(a, b, c, d));
    expect(await ids({ labellers: [a.labeller] })).toEqual(sorted(a));
    expect(await ids({ exceptLabellers: [a.labeller] })).toEqual(sorted(b, c, d));
    expect(await ids({ kinds: ['ai'] })).toEqual(sorted(d));
    expect(await ids({ guidelineVersions: ['v1', null] })).toEqual(sorted(a, c, d));
    expect(await ids({ since: b.time, until: c.time })).toEqual(sorted(b, c));
    expect(await refusalOf(ids({ project: 'other' }))).toMatchObject({ code: 'NOT_FOUND', expected: '"default"' });
    expect((await refusalOf(store.snapshot({ guideline: 'v1' } as never))).code).toBe('BAD_ARGUMENT');
  });

  it('can be taken as of an earlier time: what came later supersedes nothing', async () => {
    await using store = await openStore(':memory:', { now: clock() });
    const first = await judged(store, 'ann', 'p', [1, 2]);
    const then = await store.snapshot();
    await judged(store, 'ann', 'p', [2, 1], { supersedes: first.id });
    expect((await store.snapshot({ until: first.time })).id).toBe(then.id);
    expect((await store.snapshot()).id).not.toBe(then.id);
  });

  it('leads back to who said what, under which guideline, about whose answers', async () => {
    await using store = await openStore(':memory:', { now: clock() });
    const task = await store.addTask({
      prompt: 'p',
      completions: [{ content: 'x', origin: 'model', model: 'sha256:aa' }, 'y'],
    });
    const ann = await store.addLabeller({ kind: 'person', name: 'ann' });
    await store.recordDisplay({ task: task.id, labeller: ann.id, guidelineVersion: 'v3' });
    const judgement = await store.submitJudgement({ task: task.id, labeller: ann.id, ranks: [1, 2] });
    const snapshot = await store.snapshot();
    expect(await store.lineage(snapshot.id)).toEqual({
      snapshot,
      labellers: [{ id: ann.id, kind: 'person', name: 'ann', withdrawn: false, judgements: 1 }],
      guidelineVersions: ['v3'],
      models: ['sha256:aa', null],
      tasks: 1,
      judgements: [judgement.id],
      from: judgement.time,
      to: judgement.time,
    });
    expect((await refusalOf(store.lineage('0'.repeat(64)))).code).toBe('NOT_FOUND');
  });
});

describe('records of a snapshot', () => {
  it('are rankings as they were said', async () => {
    await using store = await openStore(':memory:');
    const { id, task, labeller } = await judged(store, 'ann', 'p', [2, null, 1, 2]);
    await judged(store, 'ann', 'q', [1, null]);
    expect(await store.rankings((await store.snapshot()).id)).toEqual([
      {
        prompt: 'p',
        completions: ['p 0', 'p 1', 'p 2', 'p 3'],
        ranks: [2, null, 1, 2],
        extra: { judgement: id, task, labeller },
      },
    ]);
  });

  it('say which completions were cut off when they were sampled', async () => {
    await using store = await openStore(':memory:');
    const cut = { content: 'because of the', sampling: { finishReason: 'length' } };
    const whole = { content: 'No idea.', sampling: { finishReason: 'stop' } };
    const task = await store.addTask({ prompt: 'Why?', completions: [cut, whole, 'Hm.'] });
    const { id: labeller } = await store.addLabeller({ kind: 'person', name: 'ann' });
    await store.submitJudgement({ task: task.id, labeller, ranks: [2, 1, 1], displayedOrder: null });
    const [ranking] = await store.rankings((await store.snapshot()).id);
    expect(ranking?.truncated).toEqual([true, false, false]);
  });

  it('are all pairs that are not tied, with margins as asked for', async () => {
    await using store = await openStore(':memory:');
    // 2 above 0 and 3, which are tied, above 4; 1 was not ranked. Ranks may skip numbers: 7 is the third level.
    await judged(store, 'ann', 'p', [2, null, 1, 2, 7], { strength: 4, margin: 0.25 });
    const { id } = await store.snapshot();
    const pairs = async (margin?: 'none' | 'ranks' | 'strength' | 'stored') =>
      (await store.preferences(id, margin === undefined ? {} : { margin })).map(({ chosen, rejected, margin }) => [
        chosen,
        rejected,
        margin,
      ]);
    expect(await pairs('ranks')).toEqual([
      ['p 0', 'p 4', 1],
      ['p 2', 'p 0', 1],
      ['p 2', 'p 3', 1],
      ['p 2', 'p 4', 2],
      ['p 3', 'p 4', 1],
    ]);
    expect(new Set((await pairs()).map(([, , margin]) => margin))).toEqual(new Set([0.25]));
    expect(new Set((await pairs('strength')).map(([, , margin]) => margin))).toEqual(new Set([1]));
    expect(new Set((await pairs('none')).map(([, , margin]) => margin))).toEqual(new Set([undefined]));
  });

  it('have no pair of equal texts', async () => {
    await using store = await openStore(':memory:');
    const task = await store.addTask({ prompt: 'p', completions: ['same', 'same', 'other'] });
    const ann = await store.addLabeller({ kind: 'person', name: 'ann' });
    await store.submitJudgement({ task: task.id, labeller: ann.id, ranks: [1, 2, 3], displayedOrder: null });
    const pairs = await store.preferences((await store.snapshot()).id);
    expect(pairs.map(({ chosen, rejected }) => [chosen, rejected])).toEqual([
      ['same', 'other'],
      ['same', 'other'],
    ]);
  });

  it('are good and bad answers where one was judged, or none was good', async () => {
    await using store = await openStore(':memory:');
    await judged(store, 'ann', 'good', [1]);
    await judged(store, 'ann', 'bad', [1], { noneGood: true });
    await judged(store, 'ann', 'two', [1, 2], { noneGood: true });
    await judged(store, 'ann', 'compared', [1, 2]);
    const labels = await store.unpaired((await store.snapshot()).id);
    expect(labels.map(({ completion, label }) => [completion, label])).toEqual([
      ['good 0', true],
      ['bad 0', false],
      ['two 0', false],
      ['two 1', false],
    ]);
  });
});
