import { describe, expect, it } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import { ppoPolicyLoss, ppoValueLoss, ptxLoss } from './index.ts';
import { double, drawn, expectConstants, expectTrueGradient } from './testing.ts';

describe('the clipped policy loss', () => {
  const at = (ratio: number[], advantages: number[], cliprange = {}) =>
    ppoPolicyLoss({
      logProbs: double(ratio).log(),
      oldLogProbs: double(ratio.map(() => 0)),
      advantages: double(advantages),
      ...cliprange,
    });

  it('(ρ, A) = (1.5, 1) gives -1.2, (.5, -1) gives .8', () => {
    const { losses, clipped } = at([1.5, 0.5], [1, -1]);
    expect(losses).toBeCloseToTensor([-1.2, 0.8]);
    expect(clipped.tolist()).toEqual([true, true]);
  });

  it('is not clipped where that would hide a loss', () => {
    const { losses, clipped } = at([1.5, 0.5], [-1, 1]);
    expect(losses).toBeCloseToTensor([1.5, -0.5]);
    expect(clipped.tolist()).toEqual([false, false]);
  });

  it('a clipped token teaches nothing', () => {
    const logProbs = double([1.5, 0.5, 1.1]).log().requiresGrad_(); // [N]
    const { losses } = ppoPolicyLoss({ logProbs, oldLogProbs: double([0, 0, 0]), advantages: double([1, -1, 1]) });
    expect(torch.grad(losses.sum(), [logProbs])[0]).toBeCloseToTensor([0, 0, -1.1]);
  });

  it('at the first step is the policy gradient: ratio 1, gradient -A', () => {
    const logProbs = drawn(1, [4]).requiresGrad_(); // [N]
    const advantages = drawn(2, [4]);
    const { losses, ratios, approxKl, clipped } = ppoPolicyLoss({ logProbs, oldLogProbs: logProbs, advantages });
    expect(ratios).toBeCloseToTensor([1, 1, 1, 1]);
    expect(approxKl).toBeCloseToTensor([0, 0, 0, 0]);
    expect(clipped.tolist()).toEqual([false, false, false, false]);
    expect(torch.grad(losses.sum(), [logProbs])[0]).toBeCloseToTensor(advantages.neg());
  });

  it('may clip higher than lower (DAPO)', () => {
    expect(at([1.5, 0.5], [1, -1], { cliprange: { low: 0.2, high: 0.28 } }).losses).toBeCloseToTensor([-1.28, 0.8]);
  });

  it('estimates the KL from the ratios: ρ - 1 - log ρ', () => {
    expect(at([1.5], [1]).approxKl).toBeCloseToTensor([0.5 - Math.log(1.5)]);
  });

  it('equals finite differences', () => {
    const [oldLogProbs, advantages] = [drawn(2, [6]), drawn(3, [6])];
    const weights = drawn(4, [6]);
    expectTrueGradient(
      (logProbs) => ppoPolicyLoss({ logProbs, oldLogProbs, advantages }).losses.mul(weights).sum(),
      [drawn(1, [6])],
    );
  });

  it('reads old log-probs and advantages as constants', () => {
    const logProbs = drawn(1, [4]).requiresGrad_(); // [N]
    expectConstants(
      (oldLogProbs, advantages) => ppoPolicyLoss({ logProbs, oldLogProbs, advantages }).losses,
      [drawn(2, [4]), drawn(3, [4])],
    );
  });

  it('has no graph in what is only logged', () => {
    const logProbs = drawn(1, [4]).requiresGrad_(); // [N]
    const found = ppoPolicyLoss({ logProbs, oldLogProbs: drawn(2, [4]), advantages: drawn(3, [4]) });
    const graphs = Object.entries(found).map(([name, x]: [string, Tensor]) => [name, x.requiresGrad]);
    expect(Object.fromEntries(graphs)).toEqual({ losses: true, ratios: false, clipped: false, approxKl: false });
  });

  it('refuses advantages of other tokens', () => {
    expect(() =>
      ppoPolicyLoss({ logProbs: double([0]), oldLogProbs: double([0]), advantages: double([0, 1]) }),
    ).toThrow(/advantages has the wrong shape/);
  });
});

describe('the clipped value loss', () => {
  const inputs = { values: double([1, 1, 0.1]), oldValues: double([0, 0, 0]), returns: double([2, -2, 1]) };

  it('is half of the larger of two squared errors', () => {
    // Clipped to .2: errors 1.8 against 1, 2.2 against 3, .9 against .9.
    const { losses, clipped, squaredErrors } = ppoValueLoss(inputs);
    expect(losses).toBeCloseToTensor([1.8 ** 2 / 2, 9 / 2, 0.81 / 2]);
    expect(clipped.tolist()).toEqual([true, false, false]);
    expect(squaredErrors).toBeCloseToTensor([1, 9, 0.81]);
  });

  it('without clipping is half of the squared error', () => {
    const { losses, clipped } = ppoValueLoss({ ...inputs, cliprangeValue: null });
    expect(losses).toBeCloseToTensor([0.5, 4.5, 0.405]);
    expect(clipped.tolist()).toEqual([false, false, false]);
  });

  it('an estimate that has moved far enough towards its return stops to learn', () => {
    const values = inputs.values.clone().requiresGrad_(); // [N]
    const { losses } = ppoValueLoss({ ...inputs, values });
    // At a tie of both branches PyTorch shares the gradient between them; here both have the same.
    expect(torch.grad(losses.sum(), [values])[0]).toBeCloseToTensor([0, 3, -0.9]);
  });

  it('equals finite differences', () => {
    const [oldValues, returns] = [drawn(2, [6]), drawn(3, [6])];
    expectTrueGradient((values) => ppoValueLoss({ values, oldValues, returns }).losses.sum(), [drawn(1, [6])]);
  });
});

it('the value loss reads old values and returns as constants', () => {
  const values = drawn(1, [4]).requiresGrad_(); // [N]
  expectConstants(
    (oldValues, returns) => ppoValueLoss({ values, oldValues, returns }).losses,
    [drawn(2, [4]), drawn(3, [4])],
  );
});

it('PPO-ptx is γ times the negative log-likelihood', () => {
  expect(ptxLoss(double([-1, -2]), 27.8)).toBeCloseToTensor([27.8, 55.6]);
});
