import { describe, expect, test } from 'vitest';
import { torch } from '../tensor/index.ts';
import { Draws, deriveSeed, generatorFor, permutation } from './random.ts';

describe('deriveSeed', () => {
  test('is a whole number of 53 bits that every label changes', () => {
    const seeds = [
      deriveSeed(0),
      deriveSeed(1),
      deriveSeed(0, 'order'),
      deriveSeed(0, 'order', 0),
      deriveSeed(0, 'order', 1),
      deriveSeed(0, 'order', '1'),
      deriveSeed(0, 'a', 'bc'),
      deriveSeed(0, 'ab', 'c'),
    ];
    expect(new Set(seeds).size).toBe(seeds.length);
    for (const seed of seeds) expect(Number.isSafeInteger(seed) && seed >= 0).toBe(true);
  });

  test('is the same in every version: a saved run goes on with the draws that it began with', () => {
    // The first 53 bits, little-endian, of sha256('[7,"order",2]').
    expect(deriveSeed(7, 'order', 2)).toBe(8_179_929_070_393_249);
  });

  test('refuses what is no seed', () => {
    expect(() => deriveSeed(-1)).toThrow('whole number');
    expect(() => deriveSeed(0.5)).toThrow('whole number');
  });
});

test('draws are uniform, and below() reaches every number equally often', () => {
  const draws = new Draws(3, 'test');
  const counts = new Array<number>(7).fill(0);
  let sum = 0;
  for (let i = 0; i < 70_000; i++) {
    counts[draws.below(7)]!++;
    sum += draws.uniform();
  }
  // Five standard deviations: sqrt(70,000 * 1/7 * 6/7) = 93, and 1 / sqrt(12 * 70,000) = 0.0011.
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(465);
  expect(Math.abs(sum / 70_000 - 0.5)).toBeLessThan(0.0055);
});

test('a permutation has every number once, in an order that follows from seed and labels alone', () => {
  const order = permutation(1000, 5, 'order', 0);
  expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  expect(permutation(1000, 5, 'order', 0)).toEqual(order);
  expect(permutation(1000, 5, 'order', 1)).not.toEqual(order);
  expect(permutation(0, 5)).toEqual([]);
  // Every order of three equally often.
  const counts = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const key = permutation(3, i).join();
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  expect(counts.size).toBe(6);
  // Five standard deviations: sqrt(6,000 * 1/6 * 5/6) = 29.
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(145);
});

test("a generator for a purpose gives libtorch's draws again", () => {
  const draw = () => torch.rand([3], { generator: generatorFor('cpu', 1, 'dropout', 4) }).tolist();
  expect(draw()).toEqual(draw());
});
