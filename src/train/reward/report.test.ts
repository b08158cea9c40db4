import { describe, expect, test } from 'vitest';
import { comparisonOfPair, comparisonOfRanks, comparisonOfTie } from '../../losses/index.ts';
import { type ReportInput, reportReward, wilson } from './report.ts';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** A report over pairs: [score of the preferred one, score of the other], of lengths 1 and 1 where nothing else is said. */
function reportPairs(scores: readonly [number, number][], more: Partial<ReportInput> = {}) {
  return reportReward({
    comparisons: scores.map(() => comparisonOfPair()),
    scores,
    lengths: scores.map(() => [1, 1]),
    ...more,
  });
}

describe('the interval', () => {
  test('60 of 100 lie between .50200 and .69060', () => {
    const { value, low, high } = wilson(60, 100);
    expect(value).toBe(0.6);
    expect(low).toBeCloseTo(0.502, 5);
    expect(high).toBeCloseTo(0.6906, 5);
  });

  test('stays inside 0 to 1, and says nothing of nothing', () => {
    expect(wilson(0, 5).low).toBe(0);
    expect(wilson(5, 5).high).toBe(1);
    expect(wilson(0, 0)).toMatchObject({ low: 0, high: 1, n: 0 });
  });
});

describe('accuracy', () => {
  test('counts pairs whose preferred completion scores higher; equal scores are half right', () => {
    const report = reportPairs([[2, 1], [0, 3], [5, 1], [1, 1]]); // biome-ignore format: pairs
    expect(report.accuracy).toMatchObject({ value: 2.5 / 4, n: 4 });
    expect(report.margin).toBe((1 - 3 + 4 + 0) / 4);
    expect(report.agreement).toBeNull();
  });

  test('gives each prompt the same weight, and leaves ties and unranked completions out', () => {
    const report = reportReward({
      comparisons: [comparisonOfRanks([1, 2, 3, null]), comparisonOfPair(), comparisonOfTie(), comparisonOfRanks([1, 1])],
      scores: [[3, 1, 2, 9], [0, 1], [4, 0], [1, 2]],
      lengths: [[1, 1, 1, 1], [1, 1], [1, 1], [1, 1]],
      agreement: 0.8,
    }); // biome-ignore format: rows
    expect(report).toMatchObject({ prompts: 2, pairs: 4, agreement: 0.8 });
    expect(report.accuracy.value).toBeCloseTo((2 / 3 + 0) / 2, 12);
  });

  test('of a soft label below one half is that of the other completion; of one half nothing', () => {
    const report = reportReward({
      comparisons: [comparisonOfPair({ label: 0.2 }), comparisonOfPair({ label: 0.5 })],
      scores: [[0, 1], [5, 0]],
      lengths: [[1, 1], [1, 1]],
    }); // biome-ignore format: rows
    expect(report).toMatchObject({ prompts: 1, pairs: 1, margin: 1 });
    expect(report.accuracy.value).toBe(1);
  });
});

describe('calibration', () => {
  test('is perfect where a confidence of 2/3 is right two times in three', () => {
    const gap = Math.log(2);
    const report = reportPairs([
      [gap, 0],
      [gap, 0],
      [0, gap],
    ]);
    expect(report.ece).toBeCloseTo(0, 12);
    expect(report.calibration.filter(({ pairs }) => pairs > 0)).toEqual([
      { low: 0.65, high: 0.7, pairs: 3, confidence: expect.closeTo(2 / 3, 12), accuracy: expect.closeTo(2 / 3, 12) },
    ]);
  });

  test('is off by the confidence that nothing justifies', () => {
    const sure = 4;
    const report = reportPairs([[sure, 0], [0, sure]]); // biome-ignore format: pairs
    expect(report.ece).toBeCloseTo(sigmoid(sure) - 0.5, 12);
    expect(report.calibration).toHaveLength(10);
  });

  test('a soft label is right with its probability', () => {
    const label = sigmoid(1);
    const report = reportPairs([[1, 0]], { comparisons: [comparisonOfPair({ label })] });
    expect(report.ece).toBeCloseTo(0, 12);
  });
});

describe('length', () => {
  test('slope and correlation are those within prompts', () => {
    // Within each prompt 10 tokens gain 2 points; between the prompts it is the other way round.
    const report = reportPairs([[7, 5], [2, 0]], { lengths: [[20, 10], [50, 40]] }); // biome-ignore format: pairs
    expect(report.length.slope).toBeCloseTo(20, 12);
    expect(report.length.correlation).toBeCloseTo(1, 12);
  });

  test('how often the longer one wins, with the model and with people', () => {
    const report = reportPairs([[2, 1], [0, 3], [5, 1], [1, 0]], {
      lengths: [[9, 3], [9, 3], [3, 9], [4, 4]],
    }); // biome-ignore format: pairs
    // Of the three pairs of unequal length the longer one scores higher in the first, and is preferred in the first two.
    expect(report.length.longerScoresHigher).toBeCloseTo(1 / 3, 12);
    expect(report.length.longerPreferred).toBeCloseTo(2 / 3, 12);
  });

  test('equal lengths have no slope', () => {
    expect(reportPairs([[2, 1]]).length).toMatchObject({ slope: 0, correlation: 0 });
  });
});

test('scores: mean and standard deviation over all completions', () => {
  expect(reportPairs([[3, 1], [3, 1]]).scores).toEqual({ mean: 2, sd: 1 }); // biome-ignore format: pairs
});
