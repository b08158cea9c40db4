import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Display, Labeller, Task } from './records.ts';
import { openStore, type PreferenceStore } from './store.ts';
import { refusalOf, testFolder } from './testing/index.ts';

const file = testFolder();
let count = 0;

let store: PreferenceStore;
let task: Task;
let ann: Labeller;
let ben: Labeller;

beforeEach(async () => {
  store = await openStore(file(`${count++}.sqlite`));
  task = await store.addTask({ prompt: 'Why is the sky blue?', completions: ['Rayleigh.', 'Magic.', 'No idea.'] });
  ann = await store.addLabeller({ kind: 'person', name: 'ann' });
  ben = await store.addLabeller({ kind: 'person', name: 'ben' });
  return async () => await store.close();
});

const show = (who: Labeller, what = task): Promise<Display> => store.recordDisplay({ task: what.id, labeller: who.id });

describe('tasks', () => {
  it('keep prompt, completions and where they come from', async () => {
    const completion = {
      content: 'Hi!',
      origin: 'model' as const,
      tokenIds: [7, 8],
      logprobs: [-0.1, -2.5e-7],
      model: 'sha256:0a',
      sampling: { temperature: 0.7, topP: 1 },
      seed: 2 ** 53 - 1,
      extra: { finishReason: 'stop' },
    };
    const prompt = [{ role: 'user', content: 'Hello' }];
    const added = await store.addTask({
      project: 'chat',
      prompt,
      completions: [completion, 'Bye.'],
      extra: { topic: 'x' },
    });
    const read = await store.task(added.id);
    expect(read).toEqual(added);
    expect(read.prompt.prompt).toEqual(prompt);
    expect(read.completions[0]).toMatchObject(completion);
    expect(read.completions[1]).toMatchObject({ content: 'Bye.', origin: 'imported', tokenIds: null, seed: null });
    expect(await store.tasks('chat')).toEqual([read]);
  });

  it('are the same when they are added again, and others with another key', async () => {
    const again = { prompt: 'Why is the sky blue?', completions: ['Rayleigh.', 'Magic.', 'No idea.'] };
    expect((await store.addTask(again)).id).toBe(task.id);
    expect((await store.addTask({ ...again, key: 'to see whether they say the same' })).id).not.toBe(task.id);
    expect(await store.summary()).toMatchObject({ prompts: 1, completions: 3, tasks: 2 });
  });

  it('may hold the same completion twice', async () => {
    const twice = await store.addTask({ prompt: 'a', completions: ['b', 'b', 'c'] });
    expect(twice.completions.map(({ content }) => content)).toEqual(['b', 'b', 'c']);
  });

  it.each([
    [{ prompt: '  ', completions: ['a'] }, /prompt: is empty/],
    [{ prompt: 'a', completions: [] }, /completions/],
    [{ prompt: 'a', completions: ['b'], color: 'red' }, /color/],
    [{ prompt: 'a', completions: [{ content: 'b', tokenIds: [1], logprobs: [] }] }, /one log-probability a token id/],
    [{ prompt: [], completions: ['b'] }, /prompt/],
    [{ prompt: 'a', completions: ['b'], project: 'a\0b' }, /NUL/],
    [{ prompt: 'a', completions: ['x'.repeat(5 * 2 ** 20)] }, /longer than 4194304 characters/],
  ])('are refused where they do not fit: %#', async (given, message) => {
    const error = await refusalOf(store.addTask(given as never));
    expect(error.code).toBe('BAD_ARGUMENT');
    expect(error.received).toMatch(message);
  });

  it('keep any text that a model can say: NUL, lone surrogates, SQL, a megabyte', async () => {
    const texts = ['a\0b', '\ud800 alone', "'); drop table judgements; --", '', 'é\u0301', 'y'.repeat(2 ** 20)];
    const { id } = await store.addTask({ prompt: 'p\0\udc00', completions: texts });
    const read = await store.task(id);
    expect(read.prompt.prompt).toBe('p\0\udc00');
    expect(read.completions.map(({ content }) => content)).toEqual(texts);
    expect(await store.verify()).toMatchObject({ ok: true });
  });
});

describe('displays', () => {
  it('store the order in which a labeller sees a task, and keep it', async () => {
    const first = await show(ann);
    expect(first.order.toSorted()).toEqual([0, 1, 2]);
    expect(await show(ann)).toEqual(first);
    const given = await store.recordDisplay({
      task: task.id,
      labeller: ann.id,
      order: [2, 0, 1],
      guidelineVersion: 'v2',
    });
    expect(given.order).toEqual([2, 0, 1]);
    const judgement = await store.submitJudgement({ task: task.id, labeller: ann.id, ranks: [1, 2, 3] });
    expect(judgement).toMatchObject({ displayedOrder: [2, 0, 1], guidelineVersion: 'v2' });
  });

  it('are shuffled evenly over tasks and labellers', async () => {
    const tasks = await store.addTasks(
      Array.from({ length: 300 }, (_, i) => ({ prompt: `p${i}`, completions: ['a', 'b', 'c'] })),
    );
    const displays = await store.recordDisplays(tasks.map(({ id }) => ({ task: id, labeller: ann.id })));
    const first = [0, 1, 2].map((position) => displays.filter(({ order }) => order[0] === position).length);
    // 100 expected of each; four standard deviations are 33.
    for (const times of first) expect(Math.abs(times - 100)).toBeLessThan(33);
    expect(new Set(displays.map(({ order }) => order.join())).size).toBe(6);
  });

  it.each([[[0, 1]], [[0, 1, 1]], [[0, 1, 3]]])('refuse %j as an order of three', async (order) => {
    const error = await refusalOf(store.recordDisplay({ task: task.id, labeller: ann.id, order }));
    expect(error).toMatchObject({ code: 'BAD_ARGUMENT', expected: 'each of 0 to 2 once' });
  });
});

describe('judgements', () => {
  it('keep ties, partial ranks, and all that belongs to them', async () => {
    await show(ann);
    const said = {
      ranks: [1, 1, null],
      noneGood: false,
      strength: 3,
      flags: [{ position: 1, flag: 'wrong' }],
      reason: 'First two explain; the third gives up.',
      latencyMs: 12_345,
      clientVersion: 'studio 1.2',
    };
    const judgement = await store.submitJudgement({ task: task.id, labeller: ann.id, ...said });
    expect(judgement).toMatchObject(said);
    expect(await store.judgement(judgement.id)).toEqual(judgement);
    expect(await store.judgementsOf(task.id)).toEqual([judgement]);
  });

  it('are stored once when a submit is sent again', async () => {
    await show(ann);
    const sent = { task: task.id, labeller: ann.id, ranks: [1, 2, 3], clientKey: 'tab 7, click 3' };
    const [first, second] = await Promise.all([store.submitJudgement(sent), store.submitJudgement(sent)]);
    expect(second).toEqual(first);
    expect(await store.judgementsOf(task.id)).toHaveLength(1);
    const other = await refusalOf(store.submitJudgement({ ...sent, ranks: [3, 2, 1] }));
    expect(other).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/client key was used/) });
  });

  it('are replaced by later ones that say so, and never changed', async () => {
    await show(ann);
    const base = { task: task.id, labeller: ann.id };
    const first = await store.submitJudgement({ ...base, ranks: [1, 2, 3] });
    const twice = await refusalOf(store.submitJudgement({ ...base, ranks: [2, 1, 3] }));
    expect(twice).toMatchObject({ code: 'CONFLICT', expected: expect.stringContaining(first.id) });
    const second = await store.submitJudgement({ ...base, ranks: [2, 1, 3], supersedes: first.id });
    expect(await store.standing(task.id, ann.id)).toEqual(second);
    const stale = await refusalOf(store.submitJudgement({ ...base, ranks: [3, 1, 2], supersedes: first.id }));
    expect(stale.code).toBe('CONFLICT');
    const undone = await store.submitJudgement({ ...base, kind: 'retraction', supersedes: second.id });
    expect((await store.snapshot()).judgements).toBe(0);
    await store.submitJudgement({ ...base, ranks: [1, 1, 1], supersedes: undone.id });
    expect((await store.judgementsOf(task.id)).map(({ ranks }) => ranks)).toEqual([
      [1, 2, 3],
      [2, 1, 3],
      null,
      [1, 1, 1],
    ]);
    expect((await store.snapshot()).judgements).toBe(1);
  });

  it("do not supersede another labeller's", async () => {
    await show(ann);
    await show(ben);
    const anns = await store.submitJudgement({ task: task.id, labeller: ann.id, ranks: [1, 2, 3] });
    const error = await refusalOf(
      store.submitJudgement({ task: task.id, labeller: ben.id, ranks: [1, 2, 3], supersedes: anns.id }),
    );
    expect(error.code).toBe('CONFLICT');
  });

  it.each([
    [{ ranks: [1, 2] }, 'BAD_ARGUMENT', /The ranks do not fit the task/],
    [{ ranks: [1, 2, 0] }, 'BAD_ARGUMENT', /ranks.2/],
    [{ ranks: [1, 2, 1.5] }, 'BAD_ARGUMENT', /ranks.2/],
    [{ ranks: [null, null, null] }, 'BAD_ARGUMENT', /ranks nothing/],
    [{}, 'BAD_ARGUMENT', /ranks: is missing/],
    [{ kind: 'skip', ranks: [1, 2, 3] }, 'BAD_ARGUMENT', /does not go with kind skip/],
    [{ kind: 'retraction' }, 'BAD_ARGUMENT', /what is taken back/],
    [{ ranks: [1, 2, 3], strength: 5 }, 'BAD_ARGUMENT', /strength/],
    [
      { ranks: [1, 2, 3], flags: [{ position: 3, flag: 'x' }] },
      'BAD_ARGUMENT',
      /completion that the task does not have/,
    ],
    [{ ranks: [1, 2, 3], reason: 'a\0b' }, 'BAD_ARGUMENT', /NUL/],
    [{ ranks: [1, 2, 3], reason: '\ud800' }, 'BAD_ARGUMENT', /lone surrogate/],
    [{ ranks: [1, 2, 3], displayedOrder: [0, 0, 1] }, 'BAD_ARGUMENT', /no order of the completions/],
    [{ ranks: [1, 2, 3], supersedes: 'f'.repeat(64) }, 'CONFLICT', /nothing to supersede/],
    [{ ranks: [1, 2, 3], task: 'f'.repeat(64) }, 'NOT_FOUND', /no such task/],
    [{ ranks: [1, 2, 3], labeller: 'f'.repeat(64) }, 'NOT_FOUND', /no such labeller/],
    [{ ranks: [1, 2, 3], task: "' or 1=1 --" }, 'BAD_ARGUMENT', /expected an id/],
    [{ ranks: [1, 2, 3], rank: 1 }, 'BAD_ARGUMENT', /rank/],
  ])('are refused where they do not fit: %j', async (given, code, message) => {
    await show(ann);
    const error = await refusalOf(store.submitJudgement({ task: task.id, labeller: ann.id, ...given } as never));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(await store.judgementsOf(task.id)).toEqual([]);
  });

  it('are refused for a task that was never shown, unless the order is given or said to be unknown', async () => {
    const sent = { task: task.id, labeller: ann.id, ranks: [1, 2, 3] };
    expect((await refusalOf(store.submitJudgement(sent))).message).toMatch(/never shown/);
    expect((await store.submitJudgement({ ...sent, displayedOrder: null })).displayedOrder).toBeNull();
  });

  it('are stored all or none', async () => {
    await show(ann);
    const good = { task: task.id, labeller: ann.id, ranks: [1, 2, 3] };
    await refusalOf(store.submitJudgements([good, { ...good, labeller: ben.id, ranks: [1] }]));
    expect(await store.judgementsOf(task.id)).toEqual([]);
  });

  it('cannot be changed or deleted, not even past the store', async () => {
    await show(ann);
    await store.submitJudgement({ task: task.id, labeller: ann.id, ranks: [1, 2, 3] });
    await store.snapshot();
    const raw = new DatabaseSync(store.path);
    const tables = raw.prepare("select name from sqlite_schema where type = 'table' and name not like 'kysely%'").all();
    for (const { name } of tables) {
      const column = raw.prepare(`select name from pragma_table_info('${name}')`).get()?.name;
      const rows = raw.prepare(`select count(*) as n from ${name}`).get()?.n;
      if (rows === 0) continue;
      expect(() => raw.exec(`update ${name} set ${column} = ${column}`)).toThrow(/append-only/);
      expect(() => raw.exec(`delete from ${name}`)).toThrow(/append-only/);
    }
    raw.exec('pragma recursive_triggers = on');
    expect(() => raw.exec('insert or replace into judgements select * from judgements')).toThrow(/append-only/);
    raw.close();
  });

  it('tell when a row was altered all the same', async () => {
    await show(ann);
    const { id } = await store.submitJudgement({ task: task.id, labeller: ann.id, ranks: [1, 2, 3] });
    expect(await store.verify()).toEqual({ ok: true, problems: [], judgements: 1 });
    const raw = new DatabaseSync(store.path);
    raw.exec("drop trigger judgements_not_changed; update judgements set ranks = '[3,2,1]'");
    raw.exec(
      `drop trigger completions_not_changed; update completions set content = '"Sorcery."' where content = '"Magic."'`,
    );
    raw.close();
    const { ok, problems } = await store.verify();
    expect(ok).toBe(false);
    expect(problems).toEqual([expect.stringMatching(/^completion .* was altered/), `judgement ${id}: was altered`]);
  });
});

describe('labellers', () => {
  it('are known by kind and name; another profile needs another name', async () => {
    expect(await store.addLabeller({ kind: 'person', name: 'ann' })).toEqual(ann);
    expect((await store.addLabeller({ kind: 'ai', name: 'ann' })).id).not.toBe(ann.id);
    const error = await refusalOf(store.addLabeller({ kind: 'person', name: 'ann', profile: { team: 'b' } }));
    expect(error).toMatchObject({ code: 'CONFLICT', received: '{"team":"b"}' });
  });

  it('that withdraw submit no more, and are left out of new snapshots until they are back', async () => {
    for (const who of [ann, ben]) {
      await show(who);
      await store.submitJudgement({ task: task.id, labeller: who.id, ranks: [1, 2, 3] });
    }
    const before = await store.snapshot();
    await store.withdrawLabeller(ann.id, 'asked to be forgotten');
    await store.withdrawLabeller(ann.id, 'asked twice');
    expect((await store.labeller(ann.id)).withdrawn).toBe(true);
    const after = await store.snapshot();
    expect([before.judgements, after.judgements]).toEqual([2, 1]);
    expect((await store.snapshot({ includeWithdrawn: true })).id).toBe(before.id);
    const { labellers } = await store.lineage(before.id);
    expect(labellers.map(({ name, withdrawn }) => [name, withdrawn])).toEqual([
      ['ann', true],
      ['ben', false],
    ]);
    const other = await store.addTask({ prompt: 'Next?', completions: ['a', 'b'] });
    const late = { task: other.id, labeller: ann.id, ranks: [1, 2], displayedOrder: [0, 1] };
    expect(await refusalOf(store.submitJudgement(late))).toMatchObject({ code: 'CONFLICT' });
    await store.reinstateLabeller(ann.id, 'was a misunderstanding');
    expect((await store.snapshot()).id).toBe(before.id);
    await store.submitJudgement(late);
  });
});

describe('assignTask', () => {
  it('gives each task to as many labellers as it needs, and what was begun first', async () => {
    const second = await store.addTask({ prompt: 'Second', completions: ['a', 'b'] });
    const next = async (who: Labeller, overlap = 1) =>
      (await store.assignTask({ labeller: who.id, overlap }))?.task ?? null;
    expect(await next(ann)).toBe(task.id);
    expect(await next(ann)).toBe(task.id);
    expect(await next(ben)).toBe(second.id);
    await store.submitJudgement({ task: task.id, labeller: ann.id, ranks: [1, 2, 3] });
    await store.submitJudgement({ task: second.id, labeller: ben.id, kind: 'skip' });
    expect(await next(ben)).toBeNull();
    expect(await next(ben, 2)).toBe(task.id);
    expect(await next(ann)).toBe(second.id);
  });

  it('gives two who ask at once different tasks', async () => {
    const tasks = await store.addTasks(
      Array.from({ length: 9 }, (_, i) => ({ prompt: `p${i}`, completions: ['a', 'b'] })),
    );
    const people = await Promise.all(
      Array.from({ length: 12 }, (_, i) => store.addLabeller({ kind: 'person', name: `labeller ${i}` })),
    );
    await using other = await openStore(store.path);
    const given = await Promise.all(people.map(({ id }, i) => (i % 2 ? store : other).assignTask({ labeller: id })));
    const ids = given.flatMap((display) => (display === null ? [] : [display.task]));
    expect(ids.toSorted()).toEqual([task, ...tasks].map(({ id }) => id).sort());
  });

  it('takes a task back when the lease is over', async () => {
    await show(ann);
    expect(await store.assignTask({ labeller: ben.id })).toBeNull();
    expect((await store.assignTask({ labeller: ben.id, leaseSeconds: 0 }))?.task).toBe(task.id);
  });
});
