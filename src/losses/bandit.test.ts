/**
 * What the losses lead to where the answer is known exactly: expectations are enumerated, nothing is sampled.
 *
 * ref = (.4, .3, .2, .1), rewards 0 to 3, β = 1.
 */
import { describe, expect, it } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import {
  bradleyTerry,
  comparisonOfPair,
  dpo,
  drGrpoAdvantages,
  grpoAdvantages,
  grpoLoss,
  ipo,
  ppoPolicyLoss,
  reinforceLoss,
  rlooAdvantages,
} from './index.ts';
import { BANDIT, banditOptimum, banditState, double, gaussians, groupsOf, settle } from './testing.ts';

const ARMS = [0, 1, 2, 3];
const { ref, rewards, beta } = BANDIT;
const optimum = banditOptimum(BANDIT);
const at = (logProbs: Tensor, arms: readonly number[]): Tensor =>
  logProbs.indexSelect(0, torch.tensor(arms, { dtype: 'int64' })); // [arms.length]

function expectPolicy(found: readonly number[], expected: readonly number[], digits: number): void {
  for (const [arm, p] of expected.entries()) expect(found[arm]).toBeCloseTo(p, digits);
}

it('the optimum: π*, Z, E r, KL and J*', () => {
  expectPolicy(optimum.policy, [0.085073, 0.173439, 0.314304, 0.427184], 6);
  expect(optimum.normaliser).toBeCloseTo(4.701849, 6);
  expect(optimum.reward).toBeCloseTo(2.083599, 6);
  expect(optimum.kl).toBeCloseTo(0.535643, 6);
  expect(optimum.objective).toBeCloseTo(1.547956, 6);
  expect(optimum.objective).toBeCloseTo(beta * Math.log(optimum.normaliser), 12);
});

/** Losses [G k] of the tokens of G groups of k draws each: arms and their log-probs, [G k]. */
type GroupLoss = (
  arms: readonly number[],
  groups: readonly number[],
  picked: Tensor,
  policy: readonly number[],
) => Tensor;

/** The expected loss over all groups of k draws from the policy itself, and so its expected gradient. */
function expectedGroupLoss(logProbs: Tensor, k: number, lossOf: GroupLoss): Tensor {
  const policy = logProbs.detach().exp().tolist() as number[];
  const all = [...groupsOf(policy, k)];
  const arms = all.flatMap((group) => group.arms);
  const sizes = all.map(() => k);
  const losses = lossOf(arms, sizes, at(logProbs, arms), policy); // [G k]
  return losses.mul(double(all.flatMap(({ probability }) => Array<number>(k).fill(probability / k)))).sum();
}

/** The reward with the KL penalty inside, as RLOO and PPO have it. */
const penalised = (arm: number, policy: readonly number[]): number =>
  rewards[arm]! - beta * Math.log(policy[arm]! / ref[arm]!);

const rlooLoss: GroupLoss = (arms, groups, picked, policy) => {
  const advantages = rlooAdvantages(
    arms.map((arm) => penalised(arm, policy)),
    groups,
  );
  return reinforceLoss(picked, double([...advantages]));
};

describe('RLOO', () => {
  it.each([2, 3])('has the gradient (-.4, 0, .2, .2) at the reference, exactly, for k = %i', (k) => {
    const logits = double(ref).log().requiresGrad_(); // [4]
    const [slope] = torch.grad(expectedGroupLoss(logits.logSoftmax(-1), k, rlooLoss), [logits]);
    expect(slope.neg()).toBeCloseToTensor([-0.4, 0, 0.2, 0.2], { atol: 1e-12 });
  });

  it('settles at π*', () => {
    const found = settle(BANDIT, (logProbs) => expectedGroupLoss(logProbs, 2, rlooLoss), { steps: 250, rate: 1 });
    expectPolicy(found, optimum.policy, 9);
  });
});

describe('PPO, unwhitened and with the exact value', () => {
  it('settles at π*: old policies, ratios and clipping included', () => {
    const logits = double(ref).log().requiresGrad_(); // [4]
    for (let batch = 0; batch < 200; batch++) {
      torch.scope(() => {
        const oldLogProbs = logits.logSoftmax(-1).detach(); // [4]
        const policy = oldLogProbs.exp().tolist() as number[];
        const value = ARMS.reduce((sum, arm) => sum + policy[arm]! * penalised(arm, policy), 0);
        const advantages = double(ARMS.map((arm) => penalised(arm, policy) - value)); // [4]
        for (let epoch = 0; epoch < 4; epoch++) {
          const { losses } = ppoPolicyLoss({ logProbs: logits.logSoftmax(-1), oldLogProbs, advantages });
          const [slope] = torch.grad(losses.mul(oldLogProbs.exp()).sum(), [logits]); // [4]
          torch.noGrad(() => logits.sub_(slope.mul(0.3)));
        }
      });
    }
    expectPolicy(torch.noGrad(() => logits.softmax(-1)).tolist() as number[], optimum.policy, 6);
  });
});

describe('GRPO, with k3 in the loss', () => {
  const groupLoss =
    (advantagesOf: (rewards: readonly number[], groups: readonly number[]) => Float64Array): GroupLoss =>
    (arms, groups, picked) => {
      const advantages = advantagesOf(
        arms.map((arm) => rewards[arm]!),
        groups,
      );
      return grpoLoss({
        logProbs: picked,
        oldLogProbs: picked.detach(),
        refLogProbs: at(double(ref).log(), arms),
        advantages: double([...advantages]),
        lengths: arms.map(() => 1),
        beta,
      }).losses;
    };

  it('and no division by the sd settles where (k - 1)/k π (r - E r) = β (π - ref), which is not π*', () => {
    const found = settle(BANDIT, (logProbs) => expectedGroupLoss(logProbs, 2, groupLoss(drGrpoAdvantages)), {
      steps: 400,
      rate: 1,
    });
    const mean = banditState(BANDIT, found).reward;
    for (const arm of ARMS) {
      expect(0.5 * found[arm]! * (rewards[arm]! - mean)).toBeCloseTo(beta * (found[arm]! - ref[arm]!), 9);
    }
    expect(banditState(BANDIT, found).objective).toBeLessThan(optimum.objective - 0.05);
  });

  it('and the sd settles where π_a Σ_b π_b sign(r_a - r_b) / √2 = β (π_a - ref_a) for k = 2: only ranks count', () => {
    const found = settle(
      BANDIT,
      (logProbs) =>
        expectedGroupLoss(
          logProbs,
          2,
          groupLoss((r, groups) => grpoAdvantages(r, groups, 0)),
        ),
      { steps: 400, rate: 1 },
    );
    for (const a of ARMS) {
      const wins = ARMS.reduce((sum, b) => sum + found[b]! * Math.sign(rewards[a]! - rewards[b]!), 0);
      expect((found[a]! * wins) / Math.SQRT2).toBeCloseTo(beta * (found[a]! - ref[a]!), 9);
    }
    expect(banditState(BANDIT, found).objective).toBeLessThan(optimum.objective - 0.05);
  });
});

describe('DPO on all pairs of ref x ref', () => {
  const pairs = ARMS.flatMap((a) => ARMS.filter((b) => b !== a).map((b) => ({ a, b, weight: ref[a]! * ref[b]! })));

  /** Each ordered pair as `chosen` and `rejected`, weighted by how often it is sampled and labelled so. */
  const lossOver = (logProbs: Tensor, method: typeof dpo, labelOf: (a: number, b: number) => number, beta: number) => {
    const refLogProbs = double(ref).log(); // [4]
    const [chosen, rejected] = [pairs.map(({ a }) => a), pairs.map(({ b }) => b)];
    const lengths = double(pairs.map(() => 1));
    const { losses } = method(
      {
        chosen: at(logProbs, chosen),
        rejected: at(logProbs, rejected),
        refChosen: at(refLogProbs, chosen),
        refRejected: at(refLogProbs, rejected),
        chosenLengths: lengths,
        rejectedLengths: lengths,
      },
      { beta },
    );
    return losses.mul(double(pairs.map(({ a, b, weight }) => weight * labelOf(a, b)))).sum();
  };
  const bradleyTerryLabel = (a: number, b: number): number => 1 / (1 + Math.exp(rewards[b]! - rewards[a]!));
  const sureLabel = (a: number, b: number): number => Number(rewards[a]! > rewards[b]!);

  it('recovers π* from Bradley-Terry labels, in the population limit', () => {
    const found = settle(BANDIT, (logProbs) => lossOver(logProbs, dpo, bradleyTerryLabel, beta), {
      steps: 1500,
      rate: 10,
    });
    expectPolicy(found, optimum.policy, 6);
  });

  it('collapses to one arm under sure labels, while IPO stays where it should', () => {
    const collapsed = settle(BANDIT, (logProbs) => lossOver(logProbs, dpo, sureLabel, beta), {
      steps: 600,
      rate: 50,
    });
    expect(collapsed[3]).toBeGreaterThan(0.97);
    const held = settle(BANDIT, (logProbs) => lossOver(logProbs, ipo, sureLabel, beta), { steps: 1500, rate: 1 });
    expect(held[3]).toBeLessThan(0.5);
    // IPO's optimum for sure labels is ref e^{p/β} / Z, where p is how often an arm beats a draw from ref, ties as half.
    const beats = (a: number): number => ARMS.reduce((sum, b) => sum + ref[b]! * (a === b ? 0.5 : sureLabel(a, b)), 0);
    const tilted = banditOptimum({ ref, rewards: ARMS.map(beats), beta });
    expectPolicy(held, tilted.policy, 6);
  });
});

describe('a linear reward model learns from Bradley-Terry labels', () => {
  const [d, length] = [32, 2];

  /** cos(w, ŵ) after fitting N pairs whose features are standard normal. */
  function cosine(N: number, seed: number): number {
    return torch.scope(() => {
      const direction = gaussians(seed, [d]); // [d]
      const w = direction.div(direction.norm()).mul(length); // [d]
      const [first, second] = [gaussians(seed + 1, [N, d]), gaussians(seed + 2, [N, d])]; // [N, d]
      const features = first.sub(second); // [N, d]
      const draws = torch.rand([N], { generator: new torch.Generator({ seed: seed + 3 }), dtype: 'float64' }); // [N]
      const won = draws.lt(features.matmul(w).sigmoid()).tolist() as boolean[];
      const comparisons = won.map((label) => comparisonOfPair({ label: Number(label) }));
      const estimate = torch.zeros([d], { dtype: 'float64' }).requiresGrad_(); // [d]
      for (let step = 0; step < 60; step++) {
        torch.scope(() => {
          const gaps = features.matmul(estimate); // [N]
          const scores = torch.stack([gaps, torch.zerosLike(gaps)], -1).reshape([-1]); // [2 N]
          const [slope] = torch.grad(bradleyTerry(scores, comparisons).losses.mean(), [estimate]); // [d]
          torch.noGrad(() => estimate.sub_(slope.mul(4)));
        });
      }
      return torch.cosineSimilarity(estimate.detach(), w, 0).item();
    });
  }
  // Means and standard deviations over 40 fits by scipy's L-BFGS: .934 +- .018, .983 +- .005, .995 +- .0015.
  it.each([
    [300, [10, 20], 0.934, 0.03],
    [1000, [10, 20], 0.983, 0.01],
    [3000, [10], 0.995, 0.005],
  ] as const)('%i pairs, seeds %j: cosine with the truth %f within %f', (N, seeds, expected, tolerance) => {
    const found = seeds.reduce((sum, seed) => sum + cosine(N, seed) / seeds.length, 0);
    expect(Math.abs(found - expected)).toBeLessThan(tolerance);
  });
});
