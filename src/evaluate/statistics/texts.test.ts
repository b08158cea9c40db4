import { describe, expect, it } from 'vitest';
import { distinct, diversity, repetition, selfBleu, summary, words } from './index.ts';

describe('words', () => {
  it('are letters, numbers or single marks, in lower case', () => {
    expect(words("Don't stop: 3.5 ÉTÉ!")).toEqual(['don', "'", 't', 'stop', ':', '3', '.', '5', 'été', '!']);
  });

  it('are characters where a script has no spaces', () => {
    expect(words('日本語 ok')).toEqual(['日', '本', '語', 'ok']);
  });

  it('keep combining marks with their letter', () => {
    expect(words('e\u0301te')).toEqual(['e\u0301te']);
    expect(words('')).toEqual([]);
  });
});

describe('diversity', () => {
  it('distinct-n counts over all texts', () => {
    expect(distinct(['a b a', 'a c'], 1)).toBe(3 / 5);
    expect(distinct(['a b a', 'a b'], 2)).toBe(2 / 3);
    expect(distinct(['a'], 2)).toBeNaN();
  });

  it('repetition is 0 for a text that says everything once, and towards 1 in a loop', () => {
    expect(repetition('a b c d e')).toBe(0);
    expect(repetition('a b c a b c a b c')).toBeCloseTo(1 - 3 / 7, 12);
    expect(repetition('no no no no no no no no')).toBeCloseTo(1 - 1 / 6, 12);
    expect(repetition('too short')).toBe(0);
  });

  it('self-BLEU is 1 for equal texts and 0 for texts that share nothing', () => {
    expect(selfBleu(['a b c d e', 'a b c d e'])).toBe(1);
    expect(selfBleu(['a b c d', 'e f g h'])).toBe(0);
  });

  it('self-BLEU: precisions 4/5, 3/4, 2/3, 1/2 of two texts that differ in the last word', () => {
    const expected = ((4 / 5) * (3 / 4) * (2 / 3) * (1 / 2)) ** (1 / 4);
    expect(selfBleu(['a b c d e', 'a b c d f'])).toBeCloseTo(expected, 12);
  });

  it('says null where it cannot know', () => {
    expect(diversity(['one'])).toEqual({
      distinct1: 1,
      distinct2: null,
      distinct3: null,
      selfBleu: null,
      repetition: 0,
    });
    expect(() => diversity([])).toThrow(/too few/);
  });
});

it('a summary of lengths', () => {
  expect(summary([4, 1, 3, 2])).toEqual({
    n: 4,
    mean: 2.5,
    sd: expect.closeTo(Math.sqrt(5 / 3), 12),
    min: 1,
    median: 2.5,
    p95: expect.closeTo(3.85, 12),
    max: 4,
  });
  expect(summary([7]).sd).toBe(0);
});
