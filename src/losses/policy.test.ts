import { describe, expect, it } from 'vitest';
import { torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import {
  grpoLoss,
  gspoLoss,
  k3,
  ppoPolicyLoss,
  reinforceLoss,
  rlooAdvantages,
  sequenceSum,
  TOKEN_WEIGHTINGS,
} from './index.ts';
import { double, drawn, expectConstants, expectTrueGradient } from './testing.ts';

describe('token weights of lengths 1 and 3, in a batch of 4 sequences, 10 tokens, at most 5 a sequence', () => {
  const batch = { sequences: 4, tokens: 10, maxLength: 5 };
  it.each([
    ['sequenceSum', [1 / 4, 1 / 4, 1 / 4, 1 / 4]],
    ['sequenceMean', [1 / 4, 1 / 12, 1 / 12, 1 / 12]],
    ['tokenMean', [1 / 10, 1 / 10, 1 / 10, 1 / 10]],
    ['constantLength', [1 / 20, 1 / 20, 1 / 20, 1 / 20]],
  ] as const)('%s', (name, expected) => {
    expect([...TOKEN_WEIGHTINGS[name]([1, 3], batch)]).toEqual(expected);
  });
});

describe('GRPO', () => {
  const lengths = [2, 3];
  const [logProbs, oldLogProbs, refLogProbs] = [drawn(1, [5]), drawn(2, [5]), drawn(3, [5])];
  const advantages = double([0.7, -1.2]);

  it("is PPO's loss with the sequence's advantage at each token, plus β k3", () => {
    const found = grpoLoss({ logProbs, oldLogProbs, refLogProbs, advantages, lengths, beta: 0.04 });
    const policy = ppoPolicyLoss({ logProbs, oldLogProbs, advantages: double([0.7, 0.7, -1.2, -1.2, -1.2]) });
    const kl = k3(logProbs, refLogProbs);
    expect(found.losses).toBeCloseToTensor(policy.losses.add(kl.mul(0.04)));
    expect(found.kl!).toBeCloseToTensor(kl);
    expect(found.ratios).toBeCloseToTensor(policy.ratios);
  });

  it('needs no reference without β, and only reports the KL at β 0', () => {
    const without = grpoLoss({ logProbs, oldLogProbs, advantages, lengths });
    const reported = grpoLoss({ logProbs, oldLogProbs, refLogProbs, advantages, lengths });
    expect(without.kl).toBeNull();
    expect(reported.losses).toBeCloseToTensor(without.losses);
    expect(reported.kl!).toBeCloseToTensor(k3(logProbs, refLogProbs));
  });

  it('reads everything but the policy as constants', () => {
    const policy = logProbs.clone().requiresGrad_(); // [N]
    expectConstants(
      (oldLogProbs, refLogProbs, advantages) =>
        grpoLoss({ logProbs: policy, oldLogProbs, refLogProbs, advantages, lengths, beta: 0.3 }).losses,
      [oldLogProbs, refLogProbs, advantages],
    );
  });

  it('equals finite differences', () => {
    expectTrueGradient(
      (x) => grpoLoss({ logProbs: x, oldLogProbs, refLogProbs, advantages, lengths, beta: 0.3 }).losses.sum(),
      [logProbs],
    );
  });
});

describe('GSPO', () => {
  const lengths = [2, 1];

  it('has one ratio a sequence, the geometric mean of the tokens', () => {
    const { ratios, losses, clipped } = gspoLoss({
      logProbs: double([4, 1, 0.9]).log(),
      oldLogProbs: double([0, 0, 0]),
      advantages: double([1, 1]),
      lengths,
    });
    expect(ratios).toBeCloseToTensor([2, 0.9]);
    expect(losses).toBeCloseToTensor([-(1 + 4e-4), -0.9]);
    expect(clipped.tolist()).toEqual([true, false]);
  });

  it('spreads its gradient evenly over the tokens of a sequence', () => {
    const logProbs = double([0, 0, 0]).requiresGrad_(); // [N]
    const { losses } = gspoLoss({ logProbs, oldLogProbs: logProbs, advantages: double([2, -3]), lengths });
    expect(torch.grad(losses.sum(), [logProbs])[0]).toBeCloseToTensor([-1, -1, 3]);
  });

  it('equals finite differences', () => {
    const inputs = { oldLogProbs: drawn(2, [3]), advantages: double([0.5, -1]), lengths, cliprange: 0.2 };
    expectTrueGradient((logProbs) => gspoLoss({ ...inputs, logProbs }).losses.sum(), [drawn(1, [3])]);
  });
});

describe('RLOO', () => {
  it("has REINFORCE's gradient: -A at each token, a sequence counting with its sum", () => {
    const lengths = [1, 2, 1, 1];
    const advantages = rlooAdvantages([1, 0, 0, 1], [4]); // [S]
    const perToken = double(lengths.flatMap((length, s) => Array<number>(length).fill(advantages[s]!))); // [N]
    const weights = torch.fromTypedArray(sequenceSum(lengths, { sequences: 4, tokens: 5, maxLength: 2 }), [5]); // [N]
    const logProbs = drawn(1, [5]).requiresGrad_(); // [N]
    const [gradient] = torch.grad(reinforceLoss(logProbs, perToken).mul(weights).sum(), [logProbs]);
    expect(gradient).toBeCloseToTensor([-1 / 6, 1 / 6, 1 / 6, 1 / 6, -1 / 6]);
  });
});
