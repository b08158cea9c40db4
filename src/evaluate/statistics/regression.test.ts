import { describe, expect, it } from 'vitest';
import {
  bradleyTerryStrengths,
  lengthControlledWinRate,
  logisticRegression,
  normalQuantile,
  summary,
  winRate,
} from './index.ts';
import { uniform } from './random.ts';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

describe('logistic regression', () => {
  it('of a constant is the log-odds', () => {
    expect(logisticRegression([[1], [1], [1], [1]], [1, 1, 1, 0]).coefficients[0]).toBeCloseTo(Math.log(3), 12);
  });

  it('stays finite under a penalty where outcomes can be told apart', () => {
    const { coefficients } = logisticRegression([[1], [2], [-1]], [1, 1, 0], { ridge: 0.1 });
    // At the optimum the penalty balances the likelihood: λ c = Σ x (y - p).
    const c = coefficients[0]!;
    const pull = 1 - sigmoid(c) + 2 * (1 - sigmoid(2 * c)) + sigmoid(-c);
    expect(0.1 * c).toBeCloseTo(pull, 10);
  });

  it('says when features leave the solution open', () => {
    expect(() =>
      logisticRegression(
        [
          [1, 1],
          [1, 1],
        ],
        [1, 0],
      ),
    ).toThrow(/no single solution/);
  });
});

describe('the length-controlled win rate', () => {
  /** A judge that looks at length alone, over answers of which the policy's are longer. */
  const random = uniform(9);
  const lengthDifferences = Array.from({ length: 600 }, () => 60 + 100 * normalQuantile(random() * 0.9998 + 1e-4));

  it('takes the advantage of long answers away', () => {
    const outcomes = lengthDifferences.map((difference) => Number(random() < sigmoid(2 * Math.tanh(difference / 100))));
    const raw = winRate(outcomes).wilson;
    const { winRate: controlled, phi } = lengthControlledWinRate({ outcomes, lengthDifferences }, { resamples: 100 });
    expect(raw.low).toBeGreaterThan(0.54);
    expect(controlled.low).toBeLessThan(0.5);
    expect(controlled.high).toBeGreaterThan(0.5);
    expect(Math.abs(controlled.value - 0.5)).toBeLessThan(0.06);
    expect(phi).toBeGreaterThan(1);
  });

  it('leaves a win that length does not explain', () => {
    const outcomes = lengthDifferences.map(() => Number(random() < 0.7));
    const { winRate: controlled, phi } = lengthControlledWinRate({ outcomes, lengthDifferences }, { resamples: 100 });
    expect(controlled.low).toBeGreaterThan(0.6);
    expect(Math.abs(phi)).toBeLessThan(0.5);
  });

  it('recovers all three coefficients of the model that it fits', () => {
    const difficulties = lengthDifferences.map(() => 2 * random() - 1);
    const { sd } = summary(lengthDifferences);
    // Outcomes as soft as their probabilities: nothing is left to chance.
    const outcomes = lengthDifferences.map((difference, i) =>
      sigmoid(0.4 + 0.9 * Math.tanh(difference / sd) - 0.7 * difficulties[i]!),
    );
    const found = lengthControlledWinRate(
      { outcomes, lengthDifferences, difficulties },
      { resamples: 20, ridge: 1e-9 },
    );
    expect(found.theta).toBeCloseTo(0.4, 8);
    expect(found.phi).toBeCloseTo(0.9, 8);
    expect(found.psi).toBeCloseTo(-0.7, 8);
    const expected = difficulties.reduce((sum, x) => sum + sigmoid(0.4 - 0.7 * x), 0) / difficulties.length;
    expect(found.winRate.value).toBeCloseTo(expected, 8);
  });

  it('is the plain win rate where all lengths are equal', () => {
    const { winRate: controlled, phi } = lengthControlledWinRate(
      { outcomes: [1, 1, 1, 0], lengthDifferences: [5, 5, 5, 5] },
      { ridge: 1e-9, resamples: 50 },
    );
    expect(controlled.value).toBeCloseTo(0.75, 8);
    expect(phi).toBe(0);
  });

  it('is finite where the policy always wins', () => {
    const { winRate: controlled } = lengthControlledWinRate(
      { outcomes: [1, 1, 1, 1, 1], lengthDifferences: [1, -2, 3, 0, 1] },
      { resamples: 50 },
    );
    expect(controlled.value).toBeGreaterThan(0.9);
    expect(controlled.high).toBeLessThanOrEqual(1);
  });
});

describe('strengths of several models', () => {
  it('of two are the log-odds of their matches', () => {
    const matches = [1, 1, 1, 0].map((outcome) => ({ first: 'a', second: 'b', outcome }));
    const [a, b] = bradleyTerryStrengths(matches, { ridge: 1e-9, resamples: 50 });
    expect(a!.name).toBe('a');
    expect(a!.strength.value - b!.strength.value).toBeCloseTo(Math.log(3), 6);
    expect(a!.strength.value + b!.strength.value).toBeCloseTo(0, 9);
  });

  it('place models that never met by those that both met', () => {
    const play = (first: string, second: string, wins: number): { first: string; second: string; outcome: number }[] =>
      Array.from({ length: 10 }, (_, i) => ({ first, second, outcome: Number(i < wins) }));
    const found = bradleyTerryStrengths([...play('a', 'b', 8), ...play('b', 'c', 8)], { ridge: 1e-9, resamples: 50 });
    expect(found.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(found[0]!.strength.value - found[2]!.strength.value).toBeCloseTo(2 * Math.log(4), 6);
    expect(found[0]!.strength.low).toBeLessThan(found[0]!.strength.value);
  });

  it('of an undefeated model are finite', () => {
    const matches = Array.from({ length: 5 }, () => ({ first: 'a', second: 'b', outcome: 1 }));
    const [best] = bradleyTerryStrengths(matches, { resamples: 20 });
    expect(best!.strength.value).toBeLessThan(10);
  });
});
