import { describe, expect, it, vi } from 'vitest';
import type { Content } from '../data/index.ts';
import { type ComparedPrompt, ComparisonReport, compareAnswers, type Judge } from './index.ts';

/** A judge that finds a longer answer better, by characters. */
const byLength: Judge = async (_prompt, answers) => answers.map((answer) => (answer as string).length);
/** A judge that counts how often an answer says "good". */
const byGood: Judge = async (_prompt, answers) => answers.map((answer) => (answer as string).split('good').length - 1);

/** A prompt of its own for each pair of answers. */
const item = (policy: string, reference: string, kl?: number): ComparedPrompt => ({
  prompt: `How was it, ${policy}, ${reference}?`,
  policy: { completion: policy, tokens: policy.split(' ').length, ...(kl === undefined ? {} : { kl }) },
  reference: { completion: reference, tokens: reference.split(' ').length },
});

const PROMPTS = [
  item('good', 'it was bad', 1),
  item('it was good good', 'good', 3),
  item('fine', 'fine', 0),
  item('bad', 'it was good', 2),
];
const FAST = { resamples: 200 };

describe('a comparison', () => {
  it('counts wins, ties and losses by each judge', async () => {
    const { judges } = await compareAnswers(PROMPTS, { gold: byGood, length: byLength }, FAST);
    expect(judges.gold).toMatchObject({ wins: 2, ties: 1, losses: 1, winRate: { value: 0.625, n: 4 } });
    expect(judges.length).toMatchObject({ wins: 1, ties: 1, losses: 2, winRate: { value: 0.375 } });
  });

  it('gives mean scores, and their difference prompt by prompt', async () => {
    const { judges } = await compareAnswers(PROMPTS, { gold: byGood }, FAST);
    expect(judges.gold!.scores).toMatchObject({
      policy: { value: 0.75 },
      reference: { value: 0.5 },
      difference: { value: 0.25, n: 4 },
    });
  });

  it('is plain JSON that its schema accepts', async () => {
    const report = await compareAnswers(PROMPTS, { gold: byGood, length: byLength }, FAST);
    const read = JSON.parse(JSON.stringify(report));
    expect(read).toEqual(report);
    expect(ComparisonReport.parse(read)).toEqual(report);
    expect(() => ComparisonReport.parse({ ...read, extra: 1 })).toThrow(/extra/);
  });

  it('is plain JSON also where little is known: one prompt, empty answers', async () => {
    const report = await compareAnswers([item('', '')], { gold: byGood }, FAST);
    expect(ComparisonReport.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
    expect(report.judges.gold!.lengthTau).toBeNull();
    expect(report.diversity.policy.selfBleu).toBeNull();
  });

  it('reports the KL a sequence, its root and a token', async () => {
    const { kl } = await compareAnswers(PROMPTS, {}, FAST);
    expect(kl).toMatchObject({ perSequence: { value: 1.5 }, root: Math.sqrt(1.5), perToken: 6 / 7 });
  });

  it('knows no KL where none is given, and refuses one for some answers only', async () => {
    expect((await compareAnswers([item('a', 'b')], {}, FAST)).kl).toBeNull();
    await expect(compareAnswers([item('a', 'b'), item('a', 'b', 1)], {}, FAST)).rejects.toThrow(
      /for some answers only/,
    );
  });

  it('reports lengths, diversity and how many answers ended by themselves', async () => {
    const ended = PROMPTS.map((prompt, i) => ({
      ...prompt,
      policy: { ...prompt.policy, finished: i > 0 },
      reference: { ...prompt.reference, finished: true },
    }));
    const report = await compareAnswers(ended, {}, FAST);
    expect(report.lengths.policy).toMatchObject({ mean: 7 / 4, max: 4, n: 4 });
    expect(report.lengths.difference.value).toBeCloseTo(7 / 4 - 8 / 4, 12);
    expect(report.finished).toMatchObject({ policy: { value: 0.75 }, reference: { value: 1 } });
    expect(report.diversity.policy.distinct1).toBeCloseTo(5 / 7, 12);
    expect((await compareAnswers(PROMPTS, {}, FAST)).finished).toBeNull();
  });

  it('says how far judges agree with each other, and with length', async () => {
    const { judges, judgePairs } = await compareAnswers(PROMPTS, { gold: byGood, length: byLength }, FAST);
    // Win, win, tie, loss against loss, win, tie, loss: 3 of 4 alike.
    expect(judgePairs).toEqual([
      { first: 'gold', second: 'length', same: expect.objectContaining({ value: 0.75 }), kappa: expect.any(Number) },
    ]);
    expect(judges.length!.lengthTau).toBeGreaterThan(0.9);
  });

  it('has a row a prompt, in their order, with every score', async () => {
    const { rows } = await compareAnswers([{ ...PROMPTS[1]!, id: 'mine' }, PROMPTS[0]!], { gold: byGood }, FAST);
    expect(rows.map(({ id }) => id)).toEqual(['mine', '1']);
    expect(rows[0]).toEqual({
      id: 'mine',
      prompt: 'How was it, it was good good, good?',
      policy: { completion: 'it was good good', tokens: 4, kl: 3 },
      reference: { completion: 'good', tokens: 1 },
      judges: { gold: { policy: 2, reference: 1, outcome: 1 } },
    });
  });

  it('knows that several answers to one prompt are not as many prompts', async () => {
    const pairs = Array.from({ length: 40 }, (_, i) => item(i % 2 ? 'good' : 'bad', i % 2 ? 'bad' : 'good'));
    const ask = (of: (i: number) => string) =>
      compareAnswers(
        pairs.map((pair, i) => ({ ...pair, prompt: of(i) })),
        { gold: byGood },
        FAST,
      );
    const [apart, together] = [await ask((i) => `prompt ${i}`), await ask((i) => `prompt ${i % 4}`)];
    expect([apart.differentPrompts, together.differentPrompts, together.prompts]).toEqual([40, 4, 40]);
    // i % 4 decides the outcome: four prompts, two won with all answers, two lost.
    const width = ({ low, high }: { low: number; high: number }): number => high - low;
    expect(width(together.judges.gold!.winRate)).toBeGreaterThan(2 * width(apart.judges.gold!.winRate));
    expect(width(together.judges.gold!.bootstrap)).toBeGreaterThan(2 * width(apart.judges.gold!.bootstrap));
  });

  it('is the same for the same seed', async () => {
    const again = () => compareAnswers(PROMPTS, { gold: byGood }, { ...FAST, seed: 5 });
    expect(await again()).toEqual(await again());
  });
});

describe('judges', () => {
  it('that prefer the first place find ties in both orders, and are shown to', async () => {
    const first: Judge = async () => [1, 0];
    const { judges } = await compareAnswers(
      PROMPTS,
      { fooled: first, asked: { judge: first, bothOrders: true } },
      FAST,
    );
    expect(judges.fooled).toMatchObject({ wins: 4, orderConsistency: null });
    expect(judges.asked).toMatchObject({ ties: 4, winRate: { value: 0.5 }, orderConsistency: { value: 0 } });
    expect(judges.asked!.scores.policy.value).toBe(0.5);
  });

  it('that are consistent win in both orders', async () => {
    const { judges } = await compareAnswers(PROMPTS, { gold: { judge: byGood, bothOrders: true } }, FAST);
    expect(judges.gold).toMatchObject({ wins: 2, ties: 1, losses: 1, orderConsistency: { value: 1 } });
    expect(judges.gold!.scores.policy.value).toBe(0.75);
  });

  it('may leave small differences undecided', async () => {
    const { judges } = await compareAnswers(PROMPTS, { gold: { judge: byGood, tieMargin: 1 } }, FAST);
    expect(judges.gold).toMatchObject({ ties: 4 });
  });

  it('take messages as they are', async () => {
    const messages: Content = [{ role: 'user', content: 'How was it?' }];
    const judge = vi.fn<Judge>(async (_prompt, answers) => answers.map((answer) => (answer as unknown[]).length));
    const answer: Content = [{ role: 'assistant', content: 'Good, good.' }];
    const report = await compareAnswers(
      [{ prompt: messages, policy: { completion: answer, tokens: 3 }, reference: { completion: answer, tokens: 3 } }],
      { judge },
      FAST,
    );
    expect(judge).toHaveBeenCalledExactlyOnceWith(messages, [answer, answer]);
    expect(report.diversity.policy.distinct1).toBe(3 / 4);
    expect(ComparisonReport.parse(report)).toEqual(report);
  });

  it.each<[string, Judge]>([
    ['one score', async () => [1]],
    ['no number', async () => [1, Number.NaN]],
  ])('that give %s are named', async (_, judge) => {
    await expect(compareAnswers(PROMPTS, { odd: judge }, FAST)).rejects.toThrow(/judges\.odd/);
  });

  it('are asked about several prompts at a time where that is wanted, with rows in order all the same', async () => {
    let [running, most] = [0, 0];
    const slow: Judge = async (_prompt, answers) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 5 * (answers[0] as string).length));
      running--;
      return byLength('', answers);
    };
    const done: number[] = [];
    const { rows } = await compareAnswers(
      PROMPTS,
      { slow },
      { ...FAST, concurrency: 3 },
      { onProgress: (count) => done.push(count) },
    );
    expect(most).toBe(3);
    expect(rows.map(({ judges }) => judges.slow!.policy)).toEqual([4, 16, 4, 3]);
    expect(done).toEqual([1, 2, 3, 4]);
  });

  it('are not asked further once the caller has had enough', async () => {
    const controller = new AbortController();
    const judge = vi.fn<Judge>(async () => {
      controller.abort();
      return [1, 0];
    });
    await expect(compareAnswers(PROMPTS, { judge }, FAST, { signal: controller.signal })).rejects.toThrow(/aborted/);
    expect(judge).toHaveBeenCalledTimes(1);
  });
});

it('needs something to compare', async () => {
  await expect(compareAnswers([], { gold: byGood })).rejects.toThrow(/nothing to compare/);
});
