import { describe, expect, it } from 'vitest';
import { bestOfN, bestOfNKl, normalQuantile } from './index.ts';
import { uniform } from './random.ts';

describe('best of n', () => {
  // Gold scores in the order of the proxy's.
  const [proxy, gold] = [
    [1, 2, 3, 4],
    [0.1, 0.4, 0.3, 0.9],
  ];

  it('.1, .4, .3, .9: n = 2 gives .616667, n = 3 gives .75', () => {
    expect(bestOfN(proxy, gold, 2)).toBeCloseTo(0.616667, 6);
    expect(bestOfN(proxy, gold, 3)).toBeCloseTo(0.75, 12);
    expect(bestOfN(proxy, gold, 1)).toBeCloseTo(0.425, 12);
    expect(bestOfN(proxy, gold, 4)).toBe(0.9);
  });

  it('equals the mean over all choices, in any order and with ties', () => {
    const random = uniform(4);
    const n = 3;
    const scores = Array.from({ length: 7 }, () => Math.floor(4 * random()));
    const golds = scores.map(() => random());
    let [total, choices] = [0, 0];
    for (let mask = 0; mask < 2 ** 7; mask++) {
      const chosen = scores.flatMap((_, i) => (mask & (1 << i) ? [i] : []));
      if (chosen.length !== n) continue;
      const top = Math.max(...chosen.map((i) => scores[i]!));
      const best = chosen.filter((i) => scores[i] === top);
      total += best.reduce((sum, i) => sum + golds[i]!, 0) / best.length;
      choices++;
    }
    expect(choices).toBe(35);
    // Tied samples share their place in the limit of a random order, which is what a draw among the best gives on average.
    expect(bestOfN(scores, golds, n)).toBeCloseTo(total / choices, 12);
  });

  it('over-optimises: proxy p ~ N(0, 1), gold p - .2 (p² - 1) at n = 4, 16, 64', () => {
    const N = 20_000;
    const proxies = Array.from({ length: N }, (_, i) => normalQuantile((i + 0.5) / N));
    const golds = proxies.map((p) => p - 0.2 * (p * p - 1));
    expect(bestOfN(proxies, golds, 4)).toBeCloseTo(0.9191, 3);
    expect(bestOfN(proxies, golds, 16)).toBeCloseTo(1.2832, 3);
    expect(bestOfN(proxies, golds, 64)).toBeCloseTo(1.4044, 3);
  });

  it('costs log n - (n - 1)/n nats', () => {
    expect(bestOfNKl(1)).toBe(0);
    expect(bestOfNKl(4)).toBeCloseTo(Math.log(4) - 0.75, 12);
  });

  it('refuses more than there are', () => {
    expect(() => bestOfN(proxy, gold, 5)).toThrow(/at least n samples/);
  });
});
