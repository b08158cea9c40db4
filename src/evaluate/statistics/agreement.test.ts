/** Published examples and closed forms. Values of other packages: golden.test.ts. */
import { describe, expect, it } from 'vitest';
import { cohenKappa, fleissKappa, kendallTauB, krippendorffAlpha, krippendorffAlphaInterval } from './index.ts';

describe('agreement', () => {
  // Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): 12 units, four observers.
  const observers = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, null, null, null],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, null, 3],
    [null, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, null],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, null],
  ];
  const units = observers[0]!.map((_, unit) => observers.map((values) => values[unit]!));

  it.each([
    ['nominal', 0.743],
    ['ordinal', 0.815],
    ['interval', 0.849],
  ] as const)("Krippendorff's own example, %s: %f", (level, alpha) => {
    expect(krippendorffAlpha(units, level)).toBeCloseTo(alpha, 3);
  });

  it('alpha has an interval around it', () => {
    const { value, low, high, n } = krippendorffAlphaInterval(units, 'ordinal', { resamples: 500 });
    expect(value).toBeCloseTo(0.815, 3);
    expect(low).toBeLessThan(0.7);
    expect(high).toBeGreaterThan(0.9);
    // The twelfth unit has a single value.
    expect(n).toBe(11);
  });

  it('alpha is 1 for agreement, negative for its opposite, undefined where nothing could disagree', () => {
    expect(
      krippendorffAlpha([
        [1, 1],
        [2, 2],
      ]),
    ).toBe(1);
    expect(
      krippendorffAlpha([
        [1, 2],
        [2, 1],
      ]),
    ).toBeLessThan(0);
    expect(
      krippendorffAlpha([
        [1, 1],
        [1, 1],
      ]),
    ).toBeNaN();
    expect(() => krippendorffAlpha([[1, null]])).toThrow(/two values/);
  });

  it("Fleiss' own kind of table: ten units, fourteen labels each, kappa 0.210", () => {
    const counts = [
      [0, 0, 0, 0, 14],
      [0, 2, 6, 4, 2],
      [0, 0, 3, 5, 6],
      [0, 3, 9, 2, 0],
      [2, 2, 8, 1, 1],
      [7, 7, 0, 0, 0],
      [3, 2, 6, 3, 0],
      [2, 5, 3, 2, 2],
      [6, 5, 2, 1, 0],
      [0, 2, 2, 3, 7],
    ];
    const ratings = counts.map((row) => row.flatMap((count, value) => Array<number>(count).fill(value)));
    expect(fleissKappa(ratings)).toBeCloseTo(0.21, 3);
    expect(() => fleissKappa([[1, 2], [1]])).toThrow(/Krippendorff's alpha/);
  });

  it('Cohen, 20 + 15 agreements of 50: kappa 0.4', () => {
    const [yes, no] = [1, 0];
    const a = [...Array(20).fill(yes), ...Array(5).fill(yes), ...Array(10).fill(no), ...Array(15).fill(no)];
    const b = [...Array(20).fill(yes), ...Array(5).fill(no), ...Array(10).fill(yes), ...Array(15).fill(no)];
    expect(cohenKappa(a, b)).toBeCloseTo(0.4, 12);
  });

  it("Kendall's tau-b, with ties on one side: 4 of 6 pairs agree, one is tied", () => {
    expect(kendallTauB([1, 2, 3, 4], [1, 2, 3, 4])).toBe(1);
    expect(kendallTauB([1, 2, 3, 4], [4, 3, 2, 1])).toBe(-1);
    // Pairs: 12 tied in b; 13, 14, 23, 24 agree; 34 disagrees: (4 - 1) / √(6 · 5).
    expect(kendallTauB([1, 2, 3, 4], [1, 1, 3, 2])).toBeCloseTo(3 / Math.sqrt(30), 12);
    expect(kendallTauB([1, 2], [5, 5])).toBeNaN();
  });
});
