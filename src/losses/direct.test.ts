/** h_w = 1, h_l = -.5, β = .1, |y_w| = 10, |y_l| = 8; the numbers were computed independently from the papers' formulas. */
import { describe, expect, it } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import {
  DIRECT_METHODS,
  type DirectMethodName,
  type DirectOptions,
  type DirectPairs,
  dpo,
  ipo,
  ktoBaseline,
  ktoLoss,
} from './index.ts';
import { double, drawn, expectConstants, expectTrueGradient } from './testing.ts';

/** Log-probs of -12 and -10 under the reference, and the fixture's h above them. */
const fixture: DirectPairs = {
  chosen: double([-11]),
  rejected: double([-10.5]),
  refChosen: double([-12]),
  refRejected: double([-10]),
  chosenLengths: double([10]),
  rejectedLengths: double([8]),
};
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const names = Object.keys(DIRECT_METHODS) as DirectMethodName[];
const lossOf = (name: DirectMethodName, options: DirectOptions = {}, pairs = fixture): number =>
  DIRECT_METHODS[name].loss(pairs, options).losses.item();

describe('each method has the value of its formula', () => {
  it.each<[DirectMethodName, DirectOptions, number, number]>([
    ['dpo', {}, 0.620957, 6],
    ['cdpo', { labelSmoothing: 0.1 }, 0.635957, 6],
    ['robustDpo', { labelSmoothing: 0.1 }, 0.602207, 6],
    ['ipo', {}, 12.25, 12],
    ['hinge', {}, 0.85, 12],
    ['sppo', {}, 36.25, 12],
    ['discopop', {}, 0.849338, 6],
    ['lengthNormalisedDpo', {}, 0.685055, 6],
    ['ipoMean', {}, (0.1 + 0.0625 - 5) ** 2, 12],
    ['nca', {}, -Math.log(sigmoid(0.1)) - Math.log(sigmoid(-0.1)) / 2 - Math.log(sigmoid(0.05)) / 2, 12],
    ['bco', { bcoDelta: 0.3 }, -Math.log(sigmoid(0.1 - 0.3)) - Math.log(sigmoid(0.05 + 0.3)), 12],
    ['apoZero', {}, 1 - sigmoid(0.1) + sigmoid(-0.05), 12],
    ['apoDown', {}, sigmoid(0.1) + 1 - sigmoid(0.15), 12],
    ['rdpo', { lengthAlpha: 0.02 }, -Math.log(sigmoid(0.15 + 0.02 * 2)), 12],
    [
      'exo',
      { labelSmoothing: 0.1 },
      sigmoid(0.15) * Math.log(sigmoid(0.15) / 0.9) + sigmoid(-0.15) * Math.log(sigmoid(-0.15) / 0.1),
      12,
    ],
  ])('%s %j: %f', (name, options, value, digits) => {
    expect(lossOf(name, options)).toBeCloseTo(value, digits);
  });

  /** Sums that give the wanted means a token, without a reference. */
  const withMeans = (chosen: number, rejected: number): DirectPairs => ({
    chosen: double([chosen * 10]),
    rejected: double([rejected * 8]),
    chosenLengths: double([10]),
    rejectedLengths: double([8]),
  });

  it('SimPO, mean log-probs -1.2 and -1.25, β 2.5, γ 1.375: 1.501929', () => {
    expect(lossOf('simpo', {}, withMeans(-1.2, -1.25))).toBeCloseTo(1.501929, 6);
  });

  it('ORPO, λ .1, the same: 1.265837', () => {
    expect(lossOf('orpo', {}, withMeans(-1.2, -1.25))).toBeCloseTo(1.265837, 6);
  });

  it('CPO, sums -12 and -10: .798139 without the likelihood, which α adds', () => {
    const pairs = withMeans(-1.2, -1.25);
    expect(lossOf('cpo', { cpoAlpha: 0 }, pairs)).toBeCloseTo(0.798139, 6);
    expect(lossOf('cpo', { cpoAlpha: 0.5 }, pairs)).toBeCloseTo(0.798139 + 0.5 * 1.2, 6);
  });
});

describe('every method', () => {
  const pairsOf = (chosen: Tensor, rejected: Tensor): DirectPairs => ({
    chosen,
    rejected,
    refChosen: drawn(3, [4]).sub(4),
    refRejected: drawn(4, [4]).sub(4),
    chosenLengths: double([3, 4, 1, 9]),
    rejectedLengths: double([2, 6, 1, 5]),
  });

  it.each(names)('%s: the gradient equals finite differences', (name) => {
    const weights = double([1, -2, 3, 0.5]);
    expectTrueGradient(
      (chosen, rejected) =>
        DIRECT_METHODS[name]
          .loss(pairsOf(chosen.sub(4), rejected.sub(4)))
          .losses.mul(weights)
          .sum(),
      [drawn(1, [4]), drawn(2, [4])],
    );
  });

  it.each(names)('%s: gives the rewards that the policy stands for, without a graph', (name) => {
    const chosen = fixture.chosen.clone().requiresGrad_();
    const { losses, chosenRewards, rejectedRewards } = DIRECT_METHODS[name].loss({ ...fixture, chosen });
    expect([losses, chosenRewards, rejectedRewards].map(({ requiresGrad }) => requiresGrad)).toEqual([
      true,
      false,
      false,
    ]);
    if (DIRECT_METHODS[name].reference) expect(chosenRewards.item()).toBeGreaterThan(rejectedRewards.item());
  });

  it.each(names.filter((name) => DIRECT_METHODS[name].reference))('%s: reads the reference as a constant', (name) => {
    const chosen = fixture.chosen.clone().requiresGrad_();
    expectConstants(
      (refChosen, refRejected) => DIRECT_METHODS[name].loss({ ...fixture, chosen, refChosen, refRejected }).losses,
      [fixture.refChosen!, fixture.refRejected!],
    );
  });

  it.each(names.filter((name) => DIRECT_METHODS[name].reference))('%s: says that it needs a reference', (name) => {
    const { refChosen: _, refRejected: __, ...alone } = fixture;
    expect(() => DIRECT_METHODS[name].loss(alone)).toThrow(/a method without a reference: simpo, orpo or cpo/);
  });

  it.each(names.filter((name) => !DIRECT_METHODS[name].reference))('%s: does not look at a reference', (name) => {
    const { refChosen: _, refRejected: __, ...alone } = fixture;
    expect(lossOf(name, {}, alone)).toBe(lossOf(name));
  });

  it.each(names)('%s: refuses pairs of different number', (name) => {
    expect(() => DIRECT_METHODS[name].loss({ ...fixture, rejected: double([-1, -2]) })).toThrow(
      /rejected has the wrong/,
    );
  });
});

describe('what methods promise', () => {
  const minimum = (name: DirectMethodName, options: DirectOptions): number => {
    const h = double([0]).requiresGrad_();
    for (let step = 0; step < 4000; step++) {
      torch.scope(() => {
        const pairs = {
          ...fixture,
          chosen: fixture.refChosen!.add(h.div(2)),
          rejected: fixture.refRejected!.sub(h.div(2)),
        };
        const [slope] = torch.grad(DIRECT_METHODS[name].loss(pairs, options).losses.sum(), [h]);
        torch.noGrad(() => h.sub_(slope.mul(20)));
      });
    }
    return h.item();
  };

  it('IPO stops at h_w - h_l = 1/(2β), even if the label is sure', () => {
    const gap = ipo({ ...fixture, chosen: double([-12 + 5]), rejected: double([-10]) }, { beta: 0.1 });
    expect(gap.losses.item()).toBe(0);
  });

  it('cDPO stops where σ(z) = 1 - ε', () => {
    expect(minimum('cdpo', { labelSmoothing: 0.2, beta: 0.5 })).toBeCloseTo(Math.log(0.8 / 0.2) / 0.5, 6);
  });

  it("robust DPO's mean over flipped labels is DPO's loss with true labels", () => {
    const swapped: DirectPairs = {
      ...fixture,
      chosen: fixture.rejected,
      rejected: fixture.chosen,
      refChosen: fixture.refRejected!,
      refRejected: fixture.refChosen!,
    };
    const epsilon = 0.3;
    const options = { labelSmoothing: epsilon };
    const mean = (1 - epsilon) * lossOf('robustDpo', options) + epsilon * lossOf('robustDpo', options, swapped);
    expect(mean).toBeCloseTo(lossOf('dpo'), 12);
  });

  it('stays finite and learns at log-ratios of thousands', () => {
    const chosen = double([-5000]).requiresGrad_();
    const { losses } = dpo({ ...fixture, chosen }, { beta: 1 });
    expect(losses.item()).toBeGreaterThan(4000);
    expect(torch.grad(losses.sum(), [chosen])[0]).toBeCloseToTensor([-1]);
  });

  it.each([
    ['dpo', { beta: 0 }],
    ['simpo', { beta: Number.NaN }],
    ['robustDpo', { labelSmoothing: 0.5 }],
    ['exo', { labelSmoothing: 0 }],
    ['discopop', { discopopTau: -1 }],
  ] as const)('%s refuses %j', (name, options) => {
    expect(() => lossOf(name, options)).toThrow(/cannot be computed with this number/);
  });
});

describe('KTO', () => {
  const logRatios = double([1, -0.5]);
  const desirable = torch.tensor([true, false]);

  it('h = 1 liked, h = -.5 not liked, z0 = .2: .480011 and .482507', () => {
    const { losses, rewards } = ktoLoss({ logRatios, desirable, baseline: 0.2 });
    const [liked, disliked] = losses.tolist() as number[];
    expect(liked).toBeCloseTo(0.480011, 6);
    expect(disliked).toBeCloseTo(0.482507, 6);
    expect(rewards).toBeCloseToTensor([0.1, -0.05]);
  });

  it('weighs the two kinds', () => {
    const plain = ktoLoss({ logRatios, desirable, baseline: 0 }).losses;
    const weighed = ktoLoss({ logRatios, desirable, baseline: 0 }, { desirableWeight: 2, undesirableWeight: 3 }).losses;
    expect(weighed).toBeCloseToTensor(plain.mul(double([2, 3])));
  });

  it('takes its baseline from mismatched pairs: their mean, never below 0, without a gradient', () => {
    const mismatched = double([1, 3]).requiresGrad_();
    const baseline = ktoBaseline(mismatched);
    expect(baseline.item()).toBe(2);
    expect(baseline.requiresGrad).toBe(false);
    expect(ktoBaseline(double([-1, 0.5])).item()).toBe(0);
    const learning = logRatios.clone().requiresGrad_();
    expectConstants((z0) => ktoLoss({ logRatios: learning, desirable, baseline: z0 }).losses, [double(0.2)]);
  });

  it('equals finite differences', () => {
    expectTrueGradient(
      (h) =>
        ktoLoss({ logRatios: h, desirable, baseline: double(0.2) }, { beta: 0.7 })
          .losses.mul(double([1, 2]))
          .sum(),
      [drawn(1, [2])],
    );
  });
});
