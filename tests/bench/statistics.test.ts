import { describe, expect, it } from 'vitest';
import { median, ratio, shareOfLimit, significant, spread } from '../../bench/statistics.ts';

describe('median', () => {
  it.each([
    [[3], 3],
    [[5, 1, 3], 3],
    [[10, 9, 2, 1], 5.5],
    // One slow round does not move it.
    [[1, 1, 1, 1, 1000], 1],
  ])('of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  it('leaves its argument as it is, and refuses nothing at all', () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
    expect(() => median([])).toThrow(/nothing/);
  });
});

describe('ratio', () => {
  it('is above 1 where ours is better, whichever way the metric points', () => {
    expect(ratio(2, 3, 'lower')).toBe(1.5);
    expect(ratio(3, 2, 'higher')).toBe(1.5);
    expect(ratio(4, 2, 'lower')).toBe(0.5);
    expect(ratio(2, 4, 'higher')).toBe(0.5);
  });
});

describe('shareOfLimit', () => {
  it('is what part of the best possible was reached, at most 1', () => {
    expect(shareOfLimit(1.25, 1, 'lower')).toBe(0.8);
    expect(shareOfLimit(80, 100, 'higher')).toBe(0.8);
    expect(shareOfLimit(0.99, 1, 'lower')).toBe(1);
    expect(shareOfLimit(101, 100, 'higher')).toBe(1);
  });
});

describe('spread and significant', () => {
  it('relate the range to the median, and drop the noise', () => {
    expect(spread([9, 10, 12])).toBeCloseTo(0.3);
    expect([significant(0.123456), significant(98765.4), significant(2)]).toEqual([0.1235, 98770, 2]);
  });
});
