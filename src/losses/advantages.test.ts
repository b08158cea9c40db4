/** Fixed numbers were computed independently from the papers' formulas, or by hand. */
import { describe, expect, it } from 'vitest';
import {
  drGrpoAdvantages,
  explainedVariance,
  gae,
  grpoAdvantages,
  informativeGroups,
  mergeMoments,
  momentsOf,
  overlongPenalties,
  reinforcePlusPlusAdvantages,
  reinforcePlusPlusBaselineAdvantages,
  returnsToGo,
  rlooAdvantages,
  tokenRewards,
  whiten,
} from './index.ts';

function expectClose(found: ArrayLike<number>, expected: readonly number[], digits = 12): void {
  expect(found.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, digits);
}

describe('rewards of tokens', () => {
  it('are the KL penalty, and the score on the last token of each completion', () => {
    const rewards = tokenRewards({
      scores: [10, 20],
      logProbs: [-1, -2, -3, -1, -1],
      refLogProbs: [-2, -2, -1, -1, -4],
      lengths: [3, 2],
      klCoef: 0.1,
    });
    expectClose(rewards, [-0.1, 0, 0.2 + 10, 0, -0.3 + 20]);
  });

  it('refuse scores that are not one a completion', () => {
    const inputs = { scores: [1], logProbs: [0, 0], refLogProbs: [0, 0], lengths: [1, 1], klCoef: 0 };
    expect(() => tokenRewards(inputs)).toThrow(/2 values/);
  });
});

describe('generalised advantage estimation', () => {
  it('R = (-.1, .2, 1), V = (.5, .6, .7), γ 1, λ .95: A = (.55575, .585, .3), returns A + V', () => {
    const { advantages, returns } = gae([-0.1, 0.2, 1], [0.5, 0.6, 0.7], [3]);
    expectClose(advantages, [0.55575, 0.585, 0.3]);
    expectClose(returns, [1.05575, 1.185, 1]);
  });

  it('keeps sequences apart, wherever they stand', () => {
    const { advantages } = gae([9, -0.1, 0.2, 1, 5], [1, 0.5, 0.6, 0.7, 2], [1, 3, 1]);
    expectClose(advantages, [8, 0.55575, 0.585, 0.3, 3]);
  });

  it('with λ = 1 is the return minus the value, whatever the discount', () => {
    const [rewards, values, lengths] = [
      [1, 2, 3, 4, 5],
      [0.1, -0.3, 2, 0.7, 1.1],
      [2, 3],
    ];
    const returns = returnsToGo(rewards, lengths, 0.9);
    expectClose(returns, [1 + 0.9 * 2, 2, 3 + 0.9 * 4 + 0.81 * 5, 4 + 0.9 * 5, 5]);
    const { advantages } = gae(rewards, values, lengths, { gamma: 0.9, lam: 1 });
    expectClose(
      advantages,
      values.map((value, t) => returns[t]! - value),
    );
  });

  it('with λ = 0 looks one step ahead', () => {
    expectClose(gae([1, 2], [5, 7], [2], { gamma: 0.5, lam: 0 }).advantages, [1 + 3.5 - 5, 2 - 7]);
  });

  it('takes float32 arrays and computes in float64', () => {
    const { advantages } = gae(Float32Array.of(-0.5, 1), Float32Array.of(0.25, 0.5), [2], { lam: 0.5 });
    expect(advantages).toEqual(Float64Array.of(-0.5 + 0.5 - 0.25 + 0.25, 0.5));
  });

  it('refuses values of other tokens', () => {
    expect(() => gae([1, 2], [1], [2])).toThrow(/gae, values/);
  });
});

describe('whitening', () => {
  it('gives mean 0 and variance 1', () => {
    const { mean, m2 } = momentsOf(whiten([1, 2, 3, 6]));
    expect(mean).toBeCloseTo(0, 12);
    expect(m2 / 4).toBeCloseTo(1, 7);
  });

  it('of rewards keeps their mean', () => {
    expect(momentsOf(whiten([1, 2, 3, 6], { shiftMean: false })).mean).toBeCloseTo(3, 12);
  });

  it('of equal values is zero, not NaN', () => {
    expectClose(whiten([2, 2, 2]), [0, 0, 0]);
  });

  it('over several ranks is whitening of all their values: moments merge', () => {
    const [a, b] = [
      [1, 5, 2],
      [7, 0.5],
    ];
    const moments = mergeMoments(momentsOf(a), momentsOf(b));
    expectClose([...whiten(a, { moments }), ...whiten(b, { moments })], [...whiten([...a, ...b])]);
    expect(mergeMoments(momentsOf([]), momentsOf(a))).toEqual(momentsOf(a));
  });
});

describe('advantages without a value model, rewards 1, 0, 0, 1', () => {
  const rewards = [1, 0, 0, 1];

  it('GRPO: ±.866, by the standard deviation of the sample', () => {
    expectClose(
      grpoAdvantages(rewards, [4], 0),
      [1, -1, -1, 1].map((sign) => sign * Math.sqrt(0.75)),
    );
    expectClose(grpoAdvantages(rewards, [4]), [0.866, -0.866, -0.866, 0.866], 3);
  });

  it('Dr. GRPO: ±.5', () => {
    expectClose(drGrpoAdvantages(rewards, [4]), [0.5, -0.5, -0.5, 0.5]);
  });

  it('RLOO: ±.667', () => {
    expectClose(
      rlooAdvantages(rewards, [4]),
      [1, -1, -1, 1].map((sign) => (sign * 2) / 3),
    );
  });

  it('each prompt is its own baseline', () => {
    expectClose(rlooAdvantages([...rewards, 5, 1], [4, 2]), [2 / 3, -2 / 3, -2 / 3, 2 / 3, 4, -4]);
    expectClose(drGrpoAdvantages([3, 1, 7, 7, 7], [2, 3]), [1, -1, 0, 0, 0]);
  });

  it('equal rewards teach nothing, without dividing by zero', () => {
    expectClose(grpoAdvantages([0.1, 0.1, 0.1], [3], 0), [0, 0, 0]);
    expect(informativeGroups([...rewards, 0.1, 0.1], [4, 2])).toEqual([true, false]);
  });

  it('one sample has nothing to be compared with', () => {
    expect(() => rlooAdvantages([1, 2], [1, 1])).toThrow(/at least two completions/);
    expect(() => grpoAdvantages([1, 2, 3], [2])).toThrow(/cannot be split/);
  });
});

describe('REINFORCE++', () => {
  it('whitens rewards to go over the batch', () => {
    const rewards = [-0.1, 1, 0.3, 0, -1];
    expectClose(reinforcePlusPlusAdvantages(rewards, [2, 3]), [...whiten([0.9, 1, -0.7, -1, -1])], 12);
  });

  it('with a baseline whitens what is left after the mean of the group', () => {
    expectClose(reinforcePlusPlusBaselineAdvantages([1, 0, 5, 3], [2, 2]), [...whiten([0.5, -0.5, 1, -1])]);
  });
});

it("DAPO's overlong penalty falls to -1 over the buffer", () => {
  expectClose(overlongPenalties([50, 80, 90, 100, 101], 100, 20), [0, 0, -0.5, -1, -1]);
});

it('explained variance: 1 for a perfect value model, 0 for one that knows the mean', () => {
  expect(explainedVariance([1, 2, 3], [1, 2, 3])).toBe(1);
  expect(explainedVariance([2, 2, 2], [1, 2, 3])).toBe(0);
  // Right up to a constant: the constant does not count.
  expect(explainedVariance([2, 3, 4], [1, 2, 3])).toBe(1);
  expect(explainedVariance([1, 2], [5, 5])).toBeNaN();
});
