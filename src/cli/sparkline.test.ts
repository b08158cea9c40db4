import { describe, expect, it } from 'vitest';
import { sparkline } from './sparkline.ts';

describe('a sparkline', () => {
  it('reaches from the lowest to the highest value', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7])).toBe('▁▂▃▄▅▆▇█');
    expect(sparkline([-1, 1, -1])).toBe('▁█▁');
  });

  it('is in the middle where all values are equal, and empty without any', () => {
    expect(sparkline([3, 3])).toBe('▅▅');
    expect(sparkline([])).toBe('');
  });

  it('shows the latest values, and leaves out what is no number', () => {
    expect(sparkline([9, 0, 1], 2)).toBe('▁█');
    expect(sparkline([0, Number.NaN, 1, Number.POSITIVE_INFINITY])).toBe('▁█');
  });
});
