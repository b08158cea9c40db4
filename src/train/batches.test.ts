import { describe, expect, test } from 'vitest';
import { Batches, microBatches } from './batches.ts';
import { Draws } from './random.ts';

const draws = new Draws(1, 'lengths');
const lengths = Array.from({ length: 103 }, () => 1 + draws.below(60));
const all = Array.from({ length: 103 }, (_, i) => i);
const epochOf = (batches: Batches, epoch: number) => {
  const before = batches.steps(epoch);
  return Array.from({ length: batches.count(epoch) }, (_, i) => batches.at(before + i));
};
const rowsOf = (steps: readonly { rows: readonly number[] }[]) => steps.flatMap(({ rows }) => rows);
const tokensOf = (rows: readonly number[]) => rows.reduce((sum, row) => sum + lengths[row]!, 0);

describe.each([
  ['by rows', { rows: 8 }],
  ['by rows of similar length', { rows: 8, groupByLength: true }],
  ['by tokens', { tokens: 100 }],
  ['by tokens of similar length', { tokens: 100, groupByLength: true }],
])('batches %s', (_name, size) => {
  test('take every row once an epoch, each epoch in another order', () => {
    const batches = new Batches({ lengths, seed: 3, ...size });
    const [first, second] = [epochOf(batches, 0), epochOf(batches, 1)];
    expect(rowsOf(first).toSorted((a, b) => a - b)).toEqual(all);
    expect(rowsOf(second).toSorted((a, b) => a - b)).toEqual(all);
    expect(rowsOf(first)).not.toEqual(rowsOf(second));
    expect(second.map(({ epoch, index }) => [epoch, index])).toEqual(second.map((_, i) => [1, i]));
  });

  test("follow from the step's number: whoever begins at step 20 gets what others get there", () => {
    const steps = new Batches({ lengths, seed: 3, ...size });
    for (let step = 0; step < 20; step++) steps.at(step);
    expect(new Batches({ lengths, seed: 3, ...size }).at(20)).toEqual(steps.at(20));
    expect(new Batches({ lengths, seed: 4, ...size }).at(20)).not.toEqual(steps.at(20));
  });
});

test('by tokens no batch has more, except of a single longer row', () => {
  for (const { rows } of epochOf(new Batches({ lengths, seed: 3, tokens: 50 }), 0)) {
    expect(rows.length === 1 || tokensOf(rows) <= 50).toBe(true);
  }
});

test('similar lengths in a batch', () => {
  const spread = (options: { groupByLength: boolean }) => {
    const steps = epochOf(new Batches({ lengths, seed: 3, rows: 8, ...options }), 0);
    const ranges = steps.map(({ rows }) => {
      const own = rows.map((row) => lengths[row]!);
      return Math.max(...own) - Math.min(...own);
    });
    return ranges.reduce((sum, range) => sum + range, 0) / ranges.length;
  };
  expect(spread({ groupByLength: true })).toBeLessThan(spread({ groupByLength: false }) / 4);
});

test('steps of epochs, and of parts of one', () => {
  const batches = new Batches({ lengths, seed: 3, rows: 10 });
  expect(batches.steps(1)).toBe(11);
  expect(batches.steps(3)).toBe(33);
  expect(batches.steps(0.5)).toBe(6);
  expect(batches.at(10).rows).toHaveLength(3);
  const full = new Batches({ lengths, seed: 3, rows: 10, dropLast: true });
  expect(full.steps(2)).toBe(20);
  expect(epochOf(full, 0).every(({ rows }) => rows.length === 10)).toBe(true);
});

test('without shuffling the rows keep their order', () => {
  const batches = new Batches({ lengths, seed: 3, rows: 10, shuffle: false });
  expect(rowsOf(epochOf(batches, 1))).toEqual(all);
});

test('micro-batches: all rows of a batch, longest first, in parts that fit', () => {
  expect(microBatches([4, 0, 2, 1, 3], [5, 90, 20, 20, 30], 50)).toEqual([[1], [4, 2], [3, 0]]);
});

test('sizes and rows that make no batch are refused', () => {
  expect(() => new Batches({ lengths, seed: 0 })).toThrow('A batch has a size');
  expect(() => new Batches({ lengths, seed: 0, rows: 2, tokens: 3 })).toThrow('A batch has a size');
  expect(() => new Batches({ lengths: [], seed: 0, rows: 2 })).toThrow('not a single batch');
  expect(() => new Batches({ lengths: [1], seed: 0, rows: 2, dropLast: true })).toThrow('at least 2 rows');
});
