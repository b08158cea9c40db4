/** Shares, the bootstrap and calibration: fixtures, closed forms and what intervals promise. Values of other packages: golden.test.ts. */
import { describe, expect, it } from 'vitest';
import {
  accuracy,
  bootstrap,
  bootstrapMean,
  bradleyTerryCeiling,
  calibration,
  clustersOf,
  outcomeOf,
  pairedBootstrap,
  summary,
  wilson,
  winRate,
} from './index.ts';
import { uniform } from './random.ts';

describe('shares', () => {
  it('60 of 100: 0.50200 to 0.69060 (Wilson, 95 %)', () => {
    const { value, low, high } = wilson(60, 100);
    expect(value).toBe(0.6);
    expect(low).toBeCloseTo(0.502, 5);
    expect(high).toBeCloseTo(0.6906, 5);
  });

  it('has intervals inside 0 to 1 also where all or none succeed', () => {
    expect(wilson(0, 5).low).toBe(0);
    expect(wilson(5, 5).high).toBe(1);
    expect(wilson(5, 5).low).toBeGreaterThan(0.5);
  });

  it('counts a tie as half a win', () => {
    const rate = winRate([1, 1, 0.5, 0, 0.5]);
    expect(rate).toMatchObject({
      wins: 2,
      ties: 2,
      losses: 1,
      wilson: { value: 0.6, n: 5 },
      bootstrap: { value: 0.6 },
    });
  });

  it('of nothing but ties is 0.5, and the bootstrap knows that nothing varies', () => {
    const rate = winRate([0.5, 0.5, 0.5, 0.5]);
    expect([rate.bootstrap.low, rate.bootstrap.high]).toEqual([0.5, 0.5]);
    expect(rate.wilson.low).toBeLessThan(0.2);
  });

  it('decides by scores, with a margin for ties', () => {
    expect([outcomeOf(2, 1), outcomeOf(1, 2), outcomeOf(1, 1), outcomeOf(1.05, 1, 0.1)]).toEqual([1, 0, 0.5, 0.5]);
  });

  it('is accuracy for booleans', () => {
    expect(accuracy([true, true, false, true]).value).toBe(0.75);
  });

  it.each([
    () => wilson(3, 2),
    () => wilson(1, 0),
    () => wilson(1, 2, { confidence: 95 }),
    () => winRate([2]),
    () => winRate([]),
  ])('refuses what is no share: %s', (call) => {
    expect(call).toThrow(/expected:/);
  });
});

describe('the bootstrap', () => {
  it('gives the same interval for the same seed, another for another', () => {
    const values = [1, 5, 2, 8, 3];
    expect(bootstrapMean(values, { seed: 4 })).toEqual(bootstrapMean(values, { seed: 4 }));
    expect(bootstrapMean(values, { seed: 4 }).low).not.toBe(
      bootstrapMean(values, { seed: 2 ** 40 + 4, resamples: 999 }).low,
    );
  });

  it('holds the truth in about 95 of 100 cases: means of 50 coin throws', () => {
    const random = uniform(11);
    let held = 0;
    for (let trial = 0; trial < 400; trial++) {
      const throws = Array.from({ length: 50 }, () => Number(random() < 0.3));
      const { low, high } = bootstrapMean(throws, { seed: trial, resamples: 400 });
      if (low <= 0.3 && 0.3 <= high) held++;
    }
    // Percentile intervals of small samples hold a little less than they say; 400 trials scatter by 1.1 %.
    expect(held / 400).toBeGreaterThan(0.9);
    expect(held / 400).toBeLessThan(0.98);
  });

  it('of pairs is narrower than of two samples, since hard prompts are hard for both', () => {
    const random = uniform(5);
    const difficulty = Array.from({ length: 60 }, () => 10 * random());
    const a = difficulty.map((x) => x + random());
    const b = difficulty.map((x) => x + 0.5 + random());
    const paired = pairedBootstrap(a, b);
    const apart = bootstrapMean(a).high - bootstrapMean(a).low;
    expect(paired.high - paired.low).toBeLessThan(apart / 4);
    expect(paired.value).toBeLessThan(0);
    expect(paired.high).toBeLessThan(0);
  });

  it('takes any statistic, and leaves out resamples in which it is not defined', () => {
    const values = [1, 1, 1, 9];
    const ratio = (sample: Int32Array): number => {
      const drawn = Array.from(sample, (i) => values[i]!);
      const large = drawn.filter((x) => x > 5);
      return large.length === 0 ? Number.NaN : large.length / drawn.length;
    };
    const { value, low } = bootstrap(4, ratio);
    expect(value).toBe(0.25);
    expect(low).toBe(0.25);
  });

  it('refuses pairs that are none', () => {
    expect(() => pairedBootstrap([1, 2], [1])).toThrow(/2 and 1/);
  });
});

describe('observations that belong together', () => {
  const random = uniform(8);
  /** 40 prompts with 8 answers each, all of one prompt with the same outcome: worth 40 observations, not 320. */
  const prompts = Array.from({ length: 40 }, () => Number(random() < 0.6));
  const outcomes = prompts.flatMap((outcome) => Array<number>(8).fill(outcome));
  const clusters = clustersOf(outcomes.map((_, i) => String(Math.floor(i / 8))));

  it('give the interval of as many independent ones as they are worth', () => {
    const apart = winRate(outcomes);
    const together = winRate(outcomes, { clusters });
    const single = winRate(prompts);
    expect(together.wilson.value).toBe(apart.wilson.value);
    expect(together.wilson.n).toBe(320);
    for (const kind of ['wilson', 'bootstrap'] as const) {
      const width = ({ low, high }: { low: number; high: number }): number => high - low;
      expect(width(together[kind]) / width(single[kind])).toBeGreaterThan(0.95);
      expect(width(together[kind]) / width(single[kind])).toBeLessThan(1.05);
      expect(width(apart[kind])).toBeLessThan(width(single[kind]) / 2);
    }
  });

  it('all of a cluster alike are worth one less than there are clusters, since the spread is not known', () => {
    const { low, high } = winRate(outcomes, { clusters }).wilson;
    const share = outcomes.reduce((sum, x) => sum + x, 0) / 320;
    expect(low).toBeCloseTo(wilson(39 * share, 39).low, 12);
    expect(high).toBeCloseTo(wilson(39 * share, 39).high, 12);
  });

  it('change nothing where they are not alike', () => {
    const mixed = outcomes.map(() => Number(random() < 0.6));
    const [apart, together] = [winRate(mixed).wilson, winRate(mixed, { clusters }).wilson];
    expect((together.high - together.low) / (apart.high - apart.low)).toBeLessThan(1.3);
    expect((together.high - together.low) / (apart.high - apart.low)).toBeGreaterThanOrEqual(1);
  });

  it('count once where all outcomes are alike', () => {
    const { wilson: found } = winRate([1, 1, 1, 1], {
      clusters: [
        [0, 1],
        [2, 3],
      ],
    });
    expect(found.low).toBe(wilson(2, 2).low);
  });
});

describe('uniform numbers', () => {
  it('have the moments of a uniform distribution', () => {
    const random = uniform(1);
    const values = Array.from({ length: 20_000 }, random);
    const { mean, sd, min, max } = summary(values);
    // Standard errors: 0.002 and 0.0009.
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.01);
    expect(Math.abs(sd - Math.sqrt(1 / 12))).toBeLessThan(0.005);
    expect(min).toBeGreaterThanOrEqual(0);
    expect(max).toBeLessThan(1);
  });
});

describe('calibration', () => {
  it('is the mean gap of the bins, weighted by how many are in them', () => {
    // Two in (0.5, 0.6] with one right, two in (0.9, 1] both right.
    const found = calibration([0.6, 0.55, 0.95, 1], [true, false, true, true]);
    expect(found.ece).toBeCloseTo((2 * Math.abs(0.5 - 0.575) + 2 * Math.abs(1 - 0.975)) / 4, 12);
    expect(found.maximum).toBeCloseTo(0.075, 12);
    expect(found.brier).toBeCloseTo((0.16 + 0.3025 + 0.0025) / 4, 12);
    expect(found.bins[5]).toEqual({
      low: 0.5,
      high: 0.6,
      count: 2,
      confidence: expect.closeTo(0.575, 12),
      accuracy: 0.5,
    });
    expect(found.bins[0]).toEqual({ low: 0, high: 0.1, count: 0, confidence: null, accuracy: null });
  });

  it('is small for a judge that is right as often as it says', () => {
    const random = uniform(2);
    const confidences = Array.from({ length: 5000 }, () => 0.5 + random() / 2);
    const correct = confidences.map((p) => random() < p);
    expect(calibration(confidences, correct).ece).toBeLessThan(0.03);
    expect(
      calibration(
        confidences.map(() => 0.99),
        correct,
      ).ece,
    ).toBeGreaterThan(0.2);
  });
});

it('the ceiling of accuracy under Bradley-Terry labels: .7252 for rewards of sd 1, ½ without differences', () => {
  expect(bradleyTerryCeiling(1)).toBeCloseTo(0.7252, 4);
  expect(bradleyTerryCeiling(0)).toBe(0.5);
  expect(bradleyTerryCeiling(100)).toBeGreaterThan(0.99);
});
