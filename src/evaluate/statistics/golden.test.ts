/** The same numbers through scipy, statsmodels, krippendorff, scikit-learn and NLTK: scripts/golden/statistics_values.py. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  bootstrapMean,
  cohenKappa,
  fleissKappa,
  kendallTauB,
  krippendorffAlpha,
  logisticRegression,
  type MeasurementLevel,
  normalQuantile,
  selfBleu,
  summary,
  wilson,
} from './index.ts';

interface Golden {
  normalQuantiles: [number, number][];
  wilson: { k: number; n: number; confidence: number; interval: [number, number] }[];
  kendall: { a: number[]; b: number[]; tau: number }[];
  krippendorff: { ratings: (number | null)[][]; level: MeasurementLevel; alpha: number }[];
  kappa: {
    a: number[];
    b: number[];
    cohen: Record<'none' | 'linear' | 'quadratic', number>;
    ratings: number[][];
    fleiss: number;
  };
  logistic: { rows: number[][]; outcomes: number[]; weights: number[]; plain: number[]; weighted: number[] };
  bleu: { texts: string[]; selfBleu: number };
  bootstrap: { values: number[]; interval: [number, number] };
  summary: { values: number[]; mean: number; sd: number; median: number; p95: number };
}

const golden = JSON.parse(
  readFileSync(new URL('../../../tests/golden/data/statistics.json', import.meta.url), 'utf8'),
) as Golden;

it.each(golden.normalQuantiles)('the normal quantile of %f (scipy)', (p, quantile) => {
  expect(Math.abs(normalQuantile(p) - quantile)).toBeLessThanOrEqual(1e-14 * Math.max(1, Math.abs(quantile)));
});

it.each(golden.wilson)('Wilson: $k of $n at $confidence (statsmodels)', ({ k, n, confidence, interval }) => {
  const { low, high } = wilson(k, n, { confidence });
  expect(low).toBeCloseTo(interval[0], 12);
  expect(high).toBeCloseTo(interval[1], 12);
});

it.each(golden.kendall)("Kendall's tau-b of $a.length values (scipy)", ({ a, b, tau }) => {
  expect(kendallTauB(a, b)).toBeCloseTo(tau, 12);
});

it.each(golden.krippendorff)("Krippendorff's alpha, $level, $ratings.length units (krippendorff)", (table) => {
  expect(krippendorffAlpha(table.ratings, table.level)).toBeCloseTo(table.alpha, 12);
});

describe('kappa', () => {
  const { a, b, cohen, ratings, fleiss } = golden.kappa;
  it.each(['none', 'linear', 'quadratic'] as const)('Cohen, weights %s (scikit-learn)', (weights) => {
    expect(cohenKappa(a, b, weights)).toBeCloseTo(cohen[weights], 12);
  });
  it('Fleiss (statsmodels)', () => {
    expect(fleissKappa(ratings)).toBeCloseTo(fleiss, 12);
  });
});

describe('logistic regression with soft outcomes (statsmodels)', () => {
  const { rows, outcomes, weights, plain, weighted } = golden.logistic;
  it('unweighted', () => {
    const { coefficients } = logisticRegression(rows, outcomes);
    for (const [i, expected] of plain.entries()) expect(coefficients[i]).toBeCloseTo(expected, 12);
  });
  it('weighted', () => {
    const { coefficients } = logisticRegression(rows, outcomes, { weights });
    for (const [i, expected] of weighted.entries()) expect(coefficients[i]).toBeCloseTo(expected, 12);
  });
});

it('self-BLEU (NLTK, smoothing method 1)', () => {
  expect(selfBleu(golden.bleu.texts)).toBeCloseTo(golden.bleu.selfBleu, 12);
});

it('the percentile bootstrap of a skewed mean (scipy, 200,000 resamples)', () => {
  const { values, interval } = golden.bootstrap;
  const { low, high } = bootstrapMean(values, { resamples: 50_000, seed: 3 });
  const width = interval[1] - interval[0];
  // The ends of 50,000 resamples scatter by about 0.5 % of the width.
  expect(Math.abs(low - interval[0])).toBeLessThan(0.02 * width);
  expect(Math.abs(high - interval[1])).toBeLessThan(0.02 * width);
});

it('mean, standard deviation, median and 95th percentile (numpy)', () => {
  const { values, ...expected } = golden.summary;
  const found = summary(values);
  for (const name of ['mean', 'sd', 'median', 'p95'] as const) expect(found[name]).toBeCloseTo(expected[name], 12);
});
