import { describe, expect, it } from 'vitest';
import '../../tests/support/allClose.ts';
import { expandSegments, segmentMeans, segmentStarts, segmentSums } from './index.ts';
import { double, drawn, expectTrueGradient } from './testing.ts';

describe('sequences of flat tokens', () => {
  const values = double([1, 2, 3, 4, 5, 6]);
  const lengths = [2, 1, 3];

  it('are summed, averaged and spread each for itself', () => {
    expect(segmentSums(values, lengths)).toBeCloseToTensor([3, 3, 15]);
    expect(segmentMeans(values, lengths)).toBeCloseToTensor([1.5, 3, 5]);
    expect(expandSegments(double([7, 8, 9]), lengths)).toBeCloseToTensor([7, 7, 8, 9, 9, 9]);
    expect(segmentStarts(lengths)).toEqual([0, 2, 3]);
  });

  it('let gradients through', () => {
    const weights = double([1, -2, 3]);
    expectTrueGradient((x) => segmentSums(x, lengths).square().mul(weights).sum(), [drawn(1, [6])]);
    expectTrueGradient((x) => segmentMeans(x, lengths).square().mul(weights).sum(), [drawn(1, [6])]);
    expectTrueGradient((x) => expandSegments(x, lengths).square().mul(values).sum(), [drawn(1, [3])]);
  });

  it.each([[[2, 1]], [[2, 0, 4]], [[-1, 7]], [[2.5, 3.5]]])('refuse lengths %j', (wrong) => {
    expect(() => segmentSums(values, wrong)).toThrow(/do not fit the tokens/);
  });
});
