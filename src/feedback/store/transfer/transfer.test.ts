import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadRecords, type RankingRecord, toRow, writeJsonLines } from '../../../data/index.ts';
import type { Judgement, Task } from '../records.ts';
import { openStore, type PreferenceStore } from '../store.ts';
import { anyRanking, anyTask, random, refusalOf, testFolder } from '../testing/index.ts';
import { exportRecords } from './export.ts';
import { importRecords } from './import.ts';

const file = testFolder();
const KINDS = ['jsonl', 'parquet'] as const;

/** A store with random judgements by two labellers. Tasks are all strings or all messages, as Parquet wants it. */
async function randomStore(seed: number, tasks: number, fewest: number, most = 6): Promise<PreferenceStore> {
  const draw = random(seed);
  const store = await openStore(':memory:');
  const ann = await store.addLabeller({ kind: 'person', name: 'ann', profile: { languages: ['en', 'de'] } });
  const robot = await store.addLabeller({ kind: 'ai', name: 'judge 1' });
  const asMessages = seed % 2 === 0;
  const added = await store.addTasks(
    Array.from({ length: tasks }, (_, i) => limited(anyTask(draw, i, fewest, asMessages), most)),
  );
  for (const task of added) {
    for (const { id } of draw() < 0.5 ? [ann] : [ann, robot]) {
      await store.recordDisplay({ task: task.id, labeller: id, guidelineVersion: 'v1' });
      await store.submitJudgement({ task: task.id, labeller: id, ...anyRanking(draw, task.completions.length) });
    }
  }
  return store;
}

function limited<T extends { completions: readonly unknown[] }>(task: T, most: number): T {
  return { ...task, completions: task.completions.slice(0, most) };
}

/** All that a store says of a snapshot, without the times at which contents were added. */
async function contentOf(
  store: PreferenceStore,
  snapshot: string,
  keep: (judgement: Judgement, task: Task) => boolean,
) {
  const labellers = new Map((await store.labellers()).map(({ time: _, ...labeller }) => [labeller.id, labeller]));
  const untimed = ({ time: _, ...rest }: { time: string }) => rest;
  return (await store.judged(snapshot))
    .filter(({ judgement, task }) => keep(judgement, task))
    .map(({ judgement, task: { time: _, prompt, completions, ...task } }) => ({
      judgement,
      task: { ...task, prompt: untimed(prompt), completions: completions.map(untimed) },
      labeller: labellers.get(judgement.labeller),
    }));
}

describe.each(KINDS)('store -> %s -> store', (kind) => {
  it.each([1, 2, 3, 4])(
    'gives the same judgements of rankings, with ties and partial ranks (seed %i)',
    async (seed) => {
      await using from = await randomStore(seed, 25, 2);
      const path = file(`${seed}.${kind}`);
      const { records, snapshot, leftOut } = await exportRecords(from, path, { format: 'ranking' });
      await using to = await openStore(':memory:');
      expect(await importRecords(to, path)).toEqual({ format: 'ranking', records, added: records, badRows: 0 });
      const compared = ({ ranks }: Judgement) => ranks !== null && ranks.filter((rank) => rank !== null).length >= 2;
      const wanted = await contentOf(from, snapshot as string, compared);
      const found = await contentOf(to, (await to.snapshot()).id, () => true);
      expect(found).toEqual(wanted);
      expect(found).toHaveLength(records);
      const all = await from.judged(snapshot as string);
      expect(Object.values(leftOut).reduce((sum, count) => sum + count, 0)).toBe(all.length - records);
      expect(await to.verify()).toMatchObject({ ok: true });
    },
  );

  it.each([5, 6])('gives the same judgements of pairs (seed %i)', async (seed) => {
    await using from = await randomStore(seed, 30, 2, 2);
    const path = file(`pairs-${seed}.${kind}`);
    const { records, snapshot } = await exportRecords(from, path, { format: 'preference' });
    await using to = await openStore(':memory:');
    expect(await importRecords(to, path)).toMatchObject({ format: 'preference', added: records });
    const said = (await to.judged((await to.snapshot()).id)).map(({ judgement }) => judgement.id);
    const paired = new Set((await from.preferences(snapshot as string)).map(({ extra }) => extra?.judgement));
    expect(new Set(said)).toEqual(paired);
    const again = await exportRecords(to, file(`pairs-again-${seed}.${kind}`), { format: 'preference' });
    expect(again.records).toBe(records);
    const rows = async (name: string) => (await loadRecords(file(name))).records;
    expect(await rows(`pairs-again-${seed}.${kind}`)).toEqual(await rows(`pairs-${seed}.${kind}`));
  });

  it('gives the same labels of single answers', async () => {
    await using from = await randomStore(8, 30, 1, 1);
    const path = file(`labels.${kind}`);
    const { records, snapshot } = await exportRecords(from, path, { format: 'unpaired' });
    await using to = await openStore(':memory:');
    expect(await importRecords(to, path)).toMatchObject({ format: 'unpaired', added: records });
    expect(await contentOf(to, (await to.snapshot()).id, () => true)).toEqual(
      await contentOf(from, snapshot as string, () => true),
    );
  });

  it('gives the same prompts and demonstrations', async () => {
    await using from = await openStore(':memory:');
    const [first] = await from.addPrompts([
      { prompt: 'one', extra: { id: 7, topic: 'x' } },
      { prompt: 'two\n' },
      { prompt: 'one' },
    ]);
    await from.addCompletions([
      {
        prompt: first?.id as string,
        completion: { content: 'an answer', origin: 'demonstration', extra: { by: 'ann' } },
      },
      { prompt: first?.id as string, completion: { content: 'sampled', origin: 'model' } },
    ]);
    await using to = await openStore(':memory:');
    await exportRecords(from, file(`prompts.${kind}`), { format: 'prompt-only' });
    await exportRecords(from, file(`examples.${kind}`), { format: 'prompt-completion' });
    expect(await importRecords(to, file(`prompts.${kind}`))).toMatchObject({ records: 3, added: 3 });
    expect(await importRecords(to, file(`examples.${kind}`))).toMatchObject({ records: 1, added: 1 });
    const texts = async (store: PreferenceStore) =>
      (await store.prompts()).map(({ prompt, extra }) => ({ prompt, extra }));
    expect(await texts(to)).toEqual(await texts(from));
    expect(await to.completions()).toMatchObject([
      { content: 'an answer', origin: 'demonstration', extra: { by: 'ann' } },
    ]);
  });
});

describe('importRecords', () => {
  const rankings: RankingRecord[] = [
    { prompt: 'p', completions: ['a', 'b', 'c'], ranks: [2, 1, null], extra: { annotator: 'w7', topic: 'x' } },
    { prompt: 'p', completions: ['a', 'b', 'c'], ranks: [1, 1, 3], extra: { annotator: 'w9', topic: 'x' } },
    { prompt: 'p', completions: ['a', 'b', 'c'], ranks: [3, 2, 1], extra: { annotator: 'w7', topic: 'x' } },
    { prompt: 'q', completions: ['a', 'b'], ranks: [1, 2], truncated: [false, true] },
  ];

  it('takes rankings from elsewhere as they are, and adds nothing the second time', async () => {
    await writeJsonLines(file('foreign.jsonl'), rankings.map(toRow));
    await using store = await openStore(':memory:');
    expect(await importRecords(store, file('foreign.jsonl'))).toMatchObject({ records: 4, added: 4 });
    expect(await importRecords(store, file('foreign.jsonl'))).toMatchObject({ records: 4, added: 0 });
    const found = await store.rankings((await store.snapshot()).id);
    expect(found.map(({ ranks }) => ranks)).toEqual(rankings.map(({ ranks }) => ranks));
    await exportRecords(store, file('foreign-out.jsonl'), { format: 'ranking', source: false });
    expect((await loadRecords(file('foreign-out.jsonl'))).records).toEqual(rankings);
  });

  it('lets labellers that a column names share a task; who judges it twice gets a copy', async () => {
    await writeJsonLines(file('named.jsonl'), rankings.slice(0, 3).map(toRow));
    await using store = await openStore(':memory:');
    await importRecords(store, file('named.jsonl'), { labellerColumn: 'annotator' });
    const tasks = await store.tasks();
    expect(tasks.map(({ key, extra }) => [key, extra])).toEqual([
      ['', { topic: 'x' }],
      ['copy 2', { topic: 'x' }],
    ]);
    const [first] = tasks as [Task];
    expect((await store.judgementsOf(first.id)).map(({ ranks }) => ranks)).toEqual([
      [2, 1, null],
      [1, 1, 3],
    ]);
    expect((await store.labellers()).map(({ name }) => name)).toEqual(['w7', 'w9']);
    const error = await refusalOf(importRecords(store, file('named.jsonl'), { labellerColumn: 'worker' }));
    expect(error).toMatchObject({ code: 'BAD_FILE', path: expect.stringMatching(/named.jsonl:1, worker/) });
  });

  it('keeps the margins of pairs, and repeated pairs', async () => {
    const pair = { prompt: 'p', chosen: 'good', rejected: 'bad', margin: 0.5 };
    await writeJsonLines(file('pairs.jsonl'), [pair, pair, { ...pair, margin: undefined, chosen: 'better' }]);
    await using store = await openStore(':memory:');
    expect(await importRecords(store, file('pairs.jsonl'))).toMatchObject({ format: 'preference', added: 3 });
    const found = await store.preferences((await store.snapshot()).id);
    expect(found.map(({ chosen, margin }) => [chosen, margin])).toEqual([
      ['good', 0.5],
      ['good', 0.5],
      ['better', undefined],
    ]);
  });

  it('restores a judgement that superseded one, in the store that has it and in one that has not', async () => {
    await using store = await openStore(':memory:');
    const task = await store.addTask({ prompt: 'p', completions: ['a', 'b'] });
    const ann = await store.addLabeller({ kind: 'person', name: 'ann' });
    await store.recordDisplay({ task: task.id, labeller: ann.id });
    const first = await store.submitJudgement({ task: task.id, labeller: ann.id, ranks: [1, 2] });
    await store.submitJudgement({ task: task.id, labeller: ann.id, ranks: [2, 1], supersedes: first.id });
    await exportRecords(store, file('superseded.jsonl'), { format: 'ranking' });
    expect(await importRecords(store, file('superseded.jsonl'))).toMatchObject({ added: 0 });
    await using other = await openStore(':memory:');
    expect(await importRecords(other, file('superseded.jsonl'))).toMatchObject({ added: 1 });
    expect((await other.rankings((await other.snapshot()).id)).map(({ ranks }) => ranks)).toEqual([[2, 1]]);
  });

  it('says which row is refused, and goes on from there when it is corrected', async () => {
    await using store = await openStore(':memory:');
    const row = (i: number, ranks: number[]) => ({ prompt: `p${i}`, completions: ['a', 'b'], ranks });
    await writeJsonLines(file('first.jsonl'), [row(2, [1, 2])]);
    await importRecords(store, file('first.jsonl'));
    await writeJsonLines(file('second.jsonl'), [row(1, [1, 2]), row(2, [2, 1]), row(3, [1, 2])]);
    const error = await refusalOf(importRecords(store, file('second.jsonl')));
    expect(error).toMatchObject({ code: 'CONFLICT', path: `${file('second.jsonl')}:2` });
    await writeJsonLines(file('second.jsonl'), [row(1, [1, 2]), row(2, [1, 2]), row(3, [1, 2])], { overwrite: true });
    expect(await importRecords(store, file('second.jsonl'))).toMatchObject({ records: 3, added: 1 });
    expect(await store.summary()).toMatchObject({ rankings: 3 });
  });

  it('lets labellers work meanwhile: nothing is lost or doubled', async () => {
    const rows = Array.from({ length: 300 }, (_, i) => ({ prompt: `p${i}`, completions: ['a', 'b'], ranks: [1, 2] }));
    await writeJsonLines(file('big.jsonl'), rows);
    await using store = await openStore(file('busy.sqlite'));
    await using importing = await openStore(file('busy.sqlite'));
    await store.addTasks(Array.from({ length: 10 }, (_, i) => ({ prompt: `mine ${i}`, completions: ['a', 'b'] })));
    const work = async (name: string) => {
      const { id } = await store.addLabeller({ kind: 'person', name });
      for (let done = 0; done < 10; done++) {
        const display = await store.assignTask({ labeller: id, overlap: 5 });
        await store.submitJudgement({ task: display?.task as string, labeller: id, ranks: [2, 1] });
      }
    };
    const [imported] = await Promise.all([
      importRecords(importing, file('big.jsonl')),
      ...['ann', 'ben', 'cleo', 'dan', 'eve'].map(work),
    ]);
    expect(imported).toMatchObject({ records: 300, added: 300 });
    expect(await store.summary()).toMatchObject({ tasks: 310, rankings: 350, labellers: 6 });
    expect(await store.verify()).toMatchObject({ ok: true });
  });

  it('refuses texts, and a column nudge that it did not write', async () => {
    await using store = await openStore(':memory:');
    await writeJsonLines(file('texts.jsonl'), [{ text: 'once upon a time' }]);
    expect(await refusalOf(importRecords(store, file('texts.jsonl')))).toMatchObject({ code: 'BAD_ARGUMENT' });
    await writeJsonLines(file('forged.jsonl'), [
      { ...toRow(rankings[0] as RankingRecord), nudge: { version: 1, task: {} } },
    ]);
    const error = await refusalOf(importRecords(store, file('forged.jsonl')));
    expect(error).toMatchObject({ code: 'BAD_FILE', path: `${file('forged.jsonl')}:1` });
    expect(await store.summary()).toMatchObject({ tasks: 0, rankings: 0 });
  });
});

describe('exportRecords', () => {
  it('leaves out what the format cannot hold, and says why', async () => {
    await using store = await openStore(':memory:');
    const ann = await store.addLabeller({ kind: 'person', name: 'ann' });
    const judge = async (completions: string[], ranks: (number | null)[]) => {
      const task = await store.addTask({ prompt: 'p', completions });
      await store.submitJudgement({ task: task.id, labeller: ann.id, ranks, displayedOrder: null });
    };
    await judge(['a', 'b'], [1, 2]);
    await judge(['a\0', 'c'], [1, 2]);
    await judge(['d', 'e'], [1, null]);
    await judge(['f', 'g'], [1, 1]);
    expect(await exportRecords(store, file('some.jsonl'), { format: 'ranking' })).toMatchObject({
      records: 2,
      leftOut: {
        'fewer than two completions were ranked': 1,
        'completions holds a NUL character (U+0000): the text is damaged': 1,
      },
    });
    expect(await exportRecords(store, file('pairs-left.jsonl'), { format: 'preference' })).toMatchObject({
      records: 1,
      leftOut: { 'no pair was told apart': 2, 'chosen holds a NUL character (U+0000): the text is damaged': 1 },
    });
    const error = await refusalOf(exportRecords(store, file('none.jsonl'), { format: 'unpaired' }));
    expect(error).toMatchObject({ code: 'BAD_ARGUMENT', received: expect.stringMatching(/4: answers were compared/) });
  });

  it('writes plain rows for other programs, and no file over another', async () => {
    await using store = await openStore(':memory:');
    const task = await store.addTask({ prompt: 'p', completions: ['a', 'b', 'c'], extra: { topic: 'x' } });
    const ann = await store.addLabeller({ kind: 'person', name: 'ann' });
    await store.submitJudgement({ task: task.id, labeller: ann.id, ranks: [2, 1, null], displayedOrder: null });
    await exportRecords(store, file('plain.jsonl'), { format: 'ranking', source: false });
    expect(readFileSync(file('plain.jsonl'), 'utf8')).toBe(
      '{"topic":"x","prompt":"p","completions":["a","b","c"],"ranks":[2,1,null]}\n',
    );
    writeFileSync(file('there.jsonl'), 'mine');
    const error = await refusalOf(exportRecords(store, file('there.jsonl'), { format: 'ranking' }));
    expect(error.code).toBe('FILE_EXISTS');
    expect(readFileSync(file('there.jsonl'), 'utf8')).toBe('mine');
  });
});

describe('backup', () => {
  it('is a store with all that was said, skips and superseded judgements included', async () => {
    await using store = await randomStore(11, 5, 2);
    await store.backup(file('backup.sqlite'));
    await using copy = await openStore(file('backup.sqlite'));
    expect(await copy.summary()).toEqual(await store.summary());
    expect((await copy.snapshot()).id).toBe((await store.snapshot()).id);
    expect((await refusalOf(store.backup(file('backup.sqlite')))).code).toBe('FILE_EXISTS');
  });
});
