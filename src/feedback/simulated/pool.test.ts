import { describe, expect, it } from 'vitest';
import { errorOf } from '../../../tests/support/errors.ts';
import { openStore, type PreferenceStore, type Task } from '../store/index.ts';
import { createPool, labelTasks, type PoolOptions } from './pool.ts';
import { poolReport } from './report.ts';
import { goldScore } from './rubric.ts';

const TOPICS = ['cook', 'guitar', 'exam', 'garden', 'run', 'paint', 'travel', 'sleep', 'chess', 'swim'];

/** Answers from good to bad, in another order in each task. */
const ANSWERS = [
  (topic: string) => `You will enjoy ${topic} more with every week. Start small, keep at it, and be proud of each win.`,
  (topic: string) => `To get better at ${topic}, do a little of it every day and write down what you did.`,
  (topic: string) =>
    `People often ask about ${topic} since they want to know more of it, and there is a lot that one could say`,
  (topic: string) => `${topic} is terrible and you will fail. Give up, it is a sad waste of your bad day.`,
];

async function tasksOf(store: PreferenceStore, count = 60): Promise<Task[]> {
  return await store.addTasks(
    Array.from({ length: count }, (_, i) => {
      const topic = TOPICS[i % TOPICS.length] as string;
      const answers = ANSWERS.map((_, k) => (ANSWERS[(k + i) % ANSWERS.length] as (topic: string) => string)(topic));
      return { prompt: `What do you say about ${topic}?`, completions: answers, key: String(i) };
    }),
  );
}

async function label(options: PoolOptions, judgementsPerTask: number, seed = 7) {
  await using store = await openStore(':memory:');
  const pool = createPool(options, seed);
  const judgements = await labelTasks(store, pool, await tasksOf(store), { judgementsPerTask });
  const { id } = await store.snapshot();
  return { judgements, report: poolReport(await store.judged(id), pool, await store.labellers()) };
}

describe('createPool', () => {
  it('gives the same labellers for the same options and seed, each with its own ways', () => {
    const pool = createPool({ labellers: 5 }, 3);
    expect(createPool({ labellers: 5 }, 3)).toEqual(pool);
    expect(new Set(pool.labellers.map(({ name }) => name)).size).toBe(5);
    expect(new Set(pool.labellers.map(({ profile }) => profile.noise)).size).toBe(5);
    const names = (options: PoolOptions, seed: number) => createPool(options, seed).labellers.map(({ name }) => name);
    expect(names({ labellers: 5 }, 4)).not.toEqual(names({ labellers: 5 }, 3));
    expect(names({ labellers: 5, noise: 0.5 }, 3)).not.toEqual(names({ labellers: 5 }, 3));
  });

  it('has 13 labellers with the encouraging rubric by default, and takes one of your own', () => {
    expect(createPool().labellers).toHaveLength(13);
    expect(createPool().rubric).toEqual(createPool({ rubric: {} }).rubric);
    const own = createPool({ rubric: { tone: 'neutral' }, labellers: 1, spread: 0 });
    expect(own.labellers[0]?.profile.rubric.tone).toBe('neutral');
  });

  it('refuses settings that do not fit', () => {
    const error = errorOf(() => createPool({ noise: 0, kindness: 1 } as PoolOptions));
    expect(error).toMatchObject({ code: 'BAD_ARGUMENT', path: 'pool' });
    expect(error.received).toMatch(/noise[\s\S]*kindness|kindness[\s\S]*noise/);
  });
});

describe('labelTasks', () => {
  it('writes through the door of the store: labellers, displays and judgements, once', async () => {
    await using store = await openStore(':memory:');
    const tasks = await tasksOf(store, 20);
    const pool = createPool({ labellers: 4 }, 7);
    const progress: number[] = [];
    const options = {
      judgementsPerTask: 3,
      guidelineVersion: 'v1',
      onProgress: (now: { tasks: number }) => progress.push(now.tasks),
    };
    const first = await labelTasks(store, pool, tasks, options);
    expect(first).toHaveLength(60);
    expect(progress).toEqual([20]);
    for (const { displayedOrder, guidelineVersion } of first) {
      expect(displayedOrder?.toSorted()).toEqual([0, 1, 2, 3]);
      expect(guidelineVersion).toBe('v1');
    }
    for (const { id } of tasks)
      expect(new Set(first.filter(({ task }) => task === id).map((j) => j.labeller)).size).toBe(3);
    expect(await labelTasks(store, pool, tasks, options)).toEqual(first);
    expect(await store.summary()).toMatchObject({ rankings: 60, labellers: 4 });
    const stored = await store.labellers();
    expect(stored.map(({ kind }) => kind)).toEqual(Array(4).fill('simulated'));
    expect(stored.map(({ profile }) => profile)).toEqual(pool.labellers.map(({ profile }) => profile));
  });

  it('says the same about a task, whatever else is judged', async () => {
    const said = async (count: number) => {
      await using store = await openStore(':memory:');
      const judgements = await labelTasks(store, createPool({}, 7), await tasksOf(store, count));
      return judgements.slice(0, 10).map(({ task, labeller, ranks }) => ({ task, labeller, ranks }));
    };
    expect(await said(10)).toEqual(await said(30));
  });

  it('stops between batches when it is aborted', async () => {
    await using store = await openStore(':memory:');
    const tasks = await tasksOf(store, 5);
    await expect(labelTasks(store, createPool(), tasks, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    expect(await store.summary()).toMatchObject({ rankings: 0 });
  });
});

describe('poolReport', () => {
  const NONE = {
    spread: 0,
    positionBias: 0,
    lengthBias: 0,
    tieThreshold: 0,
    flipChance: 0,
    partialChance: 0,
    noneGoodBelow: 0,
  };

  it('says 1 for labellers without noise: they are the gold judge', async () => {
    const { report, judgements } = await label({ ...NONE, noise: 1e-4, labellers: 3 }, 2);
    expect(report).toMatchObject({ judgements: 120, pairs: 720, accuracy: 1, agreement: 1, ties: 0, noneGood: 0 });
    expect(report.ceiling).toBeCloseTo(1, 6);
    expect(report.agreementPairs).toBe(360);
    expect(Object.values(report.accuracyByLabeller)).toEqual([1, 1, 1]);
    expect(judgements.every(({ strength }) => strength === 4)).toBe(true);
  });

  it('says a half for labellers who guess', async () => {
    const { report } = await label({ ...NONE, noise: 100, labellers: 3 }, 3);
    // 1,080 pairs, of which those of a ranking go together: about 540 are free.
    expect(Math.abs((report.accuracy as number) - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / 540));
    expect(Math.abs((report.firstWins as number) - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / 540));
    expect(report.ceiling).toBeLessThan(0.52);
  });

  it.each([0, 1])(
    'predicts what the gold judge reaches where all share its taste (ties below %f)',
    async (tieThreshold) => {
      const { report } = await label({ ...NONE, noise: 0.3, labellers: 3, tieThreshold }, 3);
      expect(report.ceiling).toBeGreaterThan(0.6);
      expect(report.ceiling).toBeLessThan(0.95);
      expect(Math.abs((report.accuracy as number) - (report.ceiling as number))).toBeLessThan(4 * Math.sqrt(0.2 / 540));
      expect(report.agreement).toBeLessThan(report.accuracy as number);
    },
  );

  it('shows biases', async () => {
    const { report } = await label({ ...NONE, noise: 0.3, positionBias: 3, lengthBias: 0 }, 3);
    expect(report.firstWins).toBeGreaterThan(0.6);
    const longerWins = async (lengthBias: number) =>
      (await label({ ...NONE, noise: 0.3, lengthBias }, 3)).report.longerWins as number;
    expect(await longerWins(10)).toBeGreaterThan((await longerWins(0)) + 0.15);
  });
});

describe('the default pool', () => {
  it('agrees with itself about as people do, and more with the gold judge', async () => {
    const { report } = await label({}, 4);
    expect(report.accuracy).toBeGreaterThan(0.7);
    expect(report.accuracy).toBeGreaterThan(report.agreement as number);
    expect(report.ties).toBeGreaterThan(0.02);
    expect(report.ties).toBeLessThan(0.25);
  });

  it('judges answers of which the gold judge thinks differently', () => {
    const [warm, plain, cut, hostile] = ANSWERS.map((answer) =>
      goldScore('What do you say about chess?', answer('chess')),
    );
    expect(Math.min(warm as number, plain as number)).toBeGreaterThan(Math.max(cut as number, hostile as number) + 0.2);
  });
});
