import { describe, expect, it } from 'vitest';
import { editDistance, nearest } from './nearest.ts';

describe('the nearest name', () => {
  it.each([
    ['learningrate', 'learningRate'],
    ['klcoeff', 'klCoef'],
    ['lamb', 'lam'],
    ['sede', 'seed'],
    ['momentum', null],
    ['', null],
  ])('%s -> %s', (name, expected) => {
    expect(nearest(name, ['learningRate', 'klCoef', 'lam', 'seed', 'batchSize'])).toBe(expected);
  });

  it('counts insertions, deletions, replacements and swaps', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('seed', 'sede')).toBe(1);
    expect(editDistance('', 'abc')).toBe(3);
    expect(editDistance('same', 'same')).toBe(0);
  });
});
