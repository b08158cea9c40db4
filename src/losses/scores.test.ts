import { describe, expect, it } from 'vitest';
import '../../tests/support/allClose.ts';
import { ENSEMBLES, type EnsembleName, normaliseScores, scoreNormalisation, scoresWithMissingEos } from './index.ts';
import { double } from './testing.ts';

describe('normalisation', () => {
  it('shifts reference completions to mean 0, and leaves differences as they are', () => {
    const normalisation = scoreNormalisation([1, 2, 6]);
    expect(normalisation).toEqual({ shift: 3, scale: 1 });
    expect([...normaliseScores([1, 2, 6, 10], normalisation)]).toEqual([-2, -1, 3, 7]);
  });

  it('scales them to standard deviation 1 where that is wanted', () => {
    const scaled = normaliseScores([1, 3, 5, 7], scoreNormalisation([1, 3, 5, 7], { scale: true }));
    expect(scaled.reduce((sum, x) => sum + x * x, 0) / 4).toBeCloseTo(1, 12);
  });

  it('refuses scores without a mean or without a scale', () => {
    expect(() => scoreNormalisation([])).toThrow(/cannot be normalised/);
    expect(() => scoreNormalisation([2, 2], { scale: true })).toThrow(/not all equal/);
    expect(() => scoreNormalisation([1, Number.NaN])).toThrow(/finite/);
  });
});

describe('completions that were cut off', () => {
  const [scores, finished] = [
    [2, 3],
    [true, false],
  ];

  it('get a fixed score, or lose some of their own', () => {
    expect([...scoresWithMissingEos(scores, finished, { kind: 'replace', score: -1 })]).toEqual([2, -1]);
    expect([...scoresWithMissingEos(scores, finished, { kind: 'subtract', penalty: 0.5 })]).toEqual([2, 2.5]);
  });

  it('must be told apart one by one', () => {
    expect(() => scoresWithMissingEos(scores, [true], { kind: 'subtract', penalty: 1 })).toThrow(/2 booleans/);
  });
});

it.each<[EnsembleName, number[]]>([
  ['mean', [2, 4]],
  ['min', [1, 4]],
  ['median', [2, 4]],
  ['meanMinusVariance', [2 - 2 / 3, 4]],
  ['meanMinusSd', [2 - Math.sqrt(2 / 3), 4]],
])('an ensemble of three by %s', (name, expected) => {
  const scores = double([1, 4, 3, 4, 2, 4]).reshape([3, 2]); // [M, S]
  expect(ENSEMBLES[name](scores)).toBeCloseToTensor(expected);
});

it('disagreement costs as much as λ says', () => {
  const scores = double([0, 2]).reshape([2, 1]); // [M, S]
  expect(ENSEMBLES.meanMinusVariance(scores, { lambda: 0.5 })).toBeCloseToTensor([0.5]);
  expect(ENSEMBLES.meanMinusSd(scores, { lambda: 3 })).toBeCloseToTensor([-2]);
});
