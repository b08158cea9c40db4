import { describe, expect, it } from 'vitest';
import type { Features } from './features.ts';
import { judge, type Profile, ProfileSchema, type Seen, utilities } from './labeller.ts';
import { RUBRICS } from './rubric.ts';

const WHOLE: Features = {
  sentiment: 1,
  concise: 1,
  complete: 1,
  relevant: 1,
  original: 1,
  unrepetitive: 1,
  plain: 1,
  fluent: 1,
};

/** A labeller without mistakes but for the noise: one logit for 0.1 of score. */
const CALM = ProfileSchema.parse({
  rubric: RUBRICS.encouraging,
  noise: 0.1,
  positionBias: 0,
  lengthBias: 0,
  tieThreshold: 0,
  flipChance: 0,
  partialChance: 0,
  noneGoodBelow: 0,
  seed: 1,
});

/** An answer of this score: sentiment weighs 0.45, the other goals 0.55. */
const scoring = (score: number, words = 20): Seen => ({
  features: { ...WHOLE, sentiment: (score - 0.55) / 0.45 },
  words,
});

const TASKS = 4000;

/** How often something holds, over tasks. */
function share(
  profile: Partial<Profile>,
  answers: Seen[],
  order: number[],
  holds: (ranks: (number | null)[]) => boolean,
) {
  let count = 0;
  for (let i = 0; i < TASKS; i++) {
    if (holds(judge({ ...CALM, ...profile }, 'ann', `task ${i}`, answers, order).ranks)) count++;
  }
  return count / TASKS;
}

/** Four standard errors of a share of TASKS. */
const tolerance = (p: number) => 4 * Math.sqrt((p * (1 - p)) / TASKS);
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const firstWins = (ranks: (number | null)[]) => (ranks[0] as number) < (ranks[1] as number);

describe('a simulated labeller', () => {
  it.each([0, 0.05, 0.1, 0.2])('prefers by Bradley-Terry: a lead of %f in score is that over 0.1 in logits', (lead) => {
    const expected = sigmoid(lead / 0.1);
    const found = share({}, [scoring(0.7 + lead), scoring(0.7)], [0, 1], firstWins);
    expect(Math.abs(found - expected)).toBeLessThan(tolerance(expected));
  });

  it('ranks by Plackett-Luce: the whole order 1, 2, 3 of logits 2, 1, 0 comes in exp(-0.7209 x 3) of tasks', () => {
    // The negative log-likelihood per position of the same scores is in docs of the losses: 0.407606 + 0.313262.
    const expected = Math.exp(-0.720868);
    const answers = [scoring(0.8), scoring(0.7), scoring(0.6)];
    const found = share({}, answers, [0, 1, 2], (ranks) => ranks.join() === '1,2,3');
    expect(Math.abs(found - expected)).toBeLessThan(tolerance(expected));
  });

  it('favours the first shown by its position bias, wherever that stands in the task', () => {
    const equal = [scoring(0.7), scoring(0.7)];
    const expected = sigmoid(0.5);
    const first = share({ positionBias: 0.5 }, equal, [0, 1], firstWins);
    const second = share({ positionBias: 0.5 }, equal, [1, 0], firstWins);
    expect(Math.abs(first - expected)).toBeLessThan(tolerance(expected));
    expect(Math.abs(second - (1 - expected))).toBeLessThan(tolerance(expected));
  });

  it('favours longer answers by its length bias, per doubling', () => {
    const answers = [scoring(0.7, 63), scoring(0.7, 15)];
    expect(utilities({ ...CALM, lengthBias: 0.3 }, answers, [0, 1]).reduce((a, b) => a - b)).toBeCloseTo(0.6, 10);
  });

  it('swaps two answers as often as it flips', () => {
    const found = share({ flipChance: 0.25 }, [scoring(1), scoring(-1)], [0, 1], firstWins);
    expect(Math.abs(found - 0.75)).toBeLessThan(tolerance(0.75));
  });

  it('ties what is less than the threshold apart', () => {
    // The difference of two equal utilities is logistic: P(|d| < t) = tanh(t / 2).
    const expected = Math.tanh(0.2);
    const tied = share({ tieThreshold: 0.4 }, [scoring(0.7), scoring(0.7)], [0, 1], ([a, b]) => a === b);
    expect(Math.abs(tied - expected)).toBeLessThan(tolerance(expected));
  });

  it('ranks only the best few as often as it should, and always two levels at least', () => {
    const answers = [scoring(0.9), scoring(0.7), scoring(0.5), scoring(0.3)];
    const order = [0, 1, 2, 3];
    const partial = share({ partialChance: 0.3 }, answers, order, (ranks) => ranks.includes(null));
    expect(Math.abs(partial - 0.3)).toBeLessThan(tolerance(0.3));
    const enough = share({ partialChance: 1 }, answers, order, (ranks) => ranks.includes(1) && ranks.includes(2));
    expect(enough).toBe(1);
  });

  it('says that none is good where the best seems bad', () => {
    const none = (score: number) =>
      judge({ ...CALM, noise: 0.001, noneGoodBelow: 0.3 }, 'ann', 'task', [scoring(score), scoring(0)], [0, 1])
        .noneGood;
    expect([none(0.2), none(0.4)]).toEqual([true, false]);
  });

  it('says how clear it is', () => {
    const strength = (lead: number) =>
      judge({ ...CALM, noise: 0.001 }, 'ann', 'task', [scoring(0.5 + lead), scoring(0.5)], [0, 1]).strength;
    expect(strength(0.3)).toBe(4);
    const flat = judge({ ...CALM, tieThreshold: 10 }, 'ann', 'task', [scoring(0.5), scoring(0.5)], [0, 1]);
    expect(flat).toMatchObject({ ranks: [1, 1], strength: null });
  });

  it('is decided by seed, name and task alone', () => {
    const answers = [scoring(0.7), scoring(0.7), scoring(0.7)];
    const verdicts = (seed: number, name: string) =>
      Array.from({ length: 20 }, (_, i) => judge({ ...CALM, seed }, name, `t${i}`, answers, [0, 1, 2]).ranks.join());
    expect(verdicts(1, 'ann')).toEqual(verdicts(1, 'ann'));
    expect(verdicts(1, 'ann')).not.toEqual(verdicts(2, 'ann'));
    expect(verdicts(1, 'ann')).not.toEqual(verdicts(1, 'ben'));
  });
});
