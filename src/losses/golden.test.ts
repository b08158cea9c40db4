/** TRL's own functions, over the same numbers: scripts/golden/losses.py. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import {
  DIRECT_METHODS,
  type DirectMethodName,
  type DirectOptions,
  gae,
  type KtoOptions,
  ktoBaseline,
  ktoLoss,
  momentsOf,
  ppoPolicyLoss,
  ppoValueLoss,
  tokenRewards,
  whiten,
} from './index.ts';
import { double } from './testing.ts';

type Row = number[];

interface Golden {
  direct: Record<'chosen' | 'rejected' | 'refChosen' | 'refRejected' | 'chosenLengths' | 'rejectedLengths', Row> & {
    cases: { method: DirectMethodName; options: DirectOptions; losses: Row; gradients: [Row, Row] }[];
  };
  kto: {
    ratios: Row;
    desirable: boolean[];
    mismatched: Row;
    options: KtoOptions;
    baseline: number;
    losses: Row;
    gradient: Row;
  };
  ppo: Record<
    | 'oldLogProbs'
    | 'logProbs'
    | 'refLogProbs'
    | 'oldValues'
    | 'values'
    | 'rewards'
    | 'advantages'
    | 'returns'
    | 'whitened'
    | 'policyGradient'
    | 'valueGradient'
    | 'lengths'
    | 'scores',
    Row
  > &
    Record<
      | 'klCoef'
      | 'gamma'
      | 'lam'
      | 'cliprange'
      | 'cliprangeValue'
      | 'policyLoss'
      | 'valueLoss'
      | 'policyClipFraction'
      | 'valueClipFraction',
      number
    >;
}

const golden = JSON.parse(
  readFileSync(new URL('../../tests/golden/data/losses.json', import.meta.url), 'utf8'),
) as Golden;

/** float64 on both sides; sums of squares of 30 lose a few digits more than the default allows. */
const CLOSE = { rtol: 1e-12, atol: 1e-12 };

describe("DPO's family equals TRL's, with gradients", () => {
  const { cases, ...inputs } = golden.direct;

  it('for every method that TRL has', () => {
    const missing = Object.keys(DIRECT_METHODS).filter((name) => !cases.some(({ method }) => method === name));
    expect(missing).toEqual(['rdpo']);
  });

  it.each(cases)('$method $options', ({ method, options, losses, gradients }) => {
    const [chosen, rejected] = [double(inputs.chosen).requiresGrad_(), double(inputs.rejected).requiresGrad_()]; // [P]
    const found = DIRECT_METHODS[method].loss(
      {
        chosen,
        rejected,
        refChosen: double(inputs.refChosen),
        refRejected: double(inputs.refRejected),
        chosenLengths: double(inputs.chosenLengths),
        rejectedLengths: double(inputs.rejectedLengths),
      },
      options,
    );
    expect(found.losses).toBeCloseToTensor(losses, CLOSE);
    for (const [i, gradient] of torch.grad(found.losses.sum(), [chosen, rejected]).entries()) {
      expect(gradient).toBeCloseToTensor(gradients[i]!, CLOSE);
    }
  });
});

it("KTO equals TRL's, with its baseline", () => {
  const { ratios, desirable, mismatched, options, baseline, losses, gradient } = golden.kto;
  const logRatios = double(ratios).requiresGrad_(); // [S]
  const z0 = ktoBaseline(double(mismatched));
  expect(z0).toBeCloseToTensor(baseline);
  const found = ktoLoss({ logRatios, desirable: torch.tensor(desirable), baseline: z0 }, options);
  expect(found.losses).toBeCloseToTensor(losses, CLOSE);
  expect(torch.grad(found.losses.sum(), [logRatios])[0]).toBeCloseToTensor(gradient, CLOSE);
});

describe("PPO on flat tokens equals TRL's lines over a padded batch", () => {
  const { ppo } = golden;
  const rewards = tokenRewards({ ...ppo, logProbs: ppo.oldLogProbs });
  const { advantages, returns } = gae(rewards, ppo.oldValues, ppo.lengths, ppo);
  const flat = (values: Float64Array): Tensor => torch.fromTypedArray(values, [values.length]); // [N]

  it('rewards, advantages and returns', () => {
    expect(flat(rewards)).toBeCloseToTensor(ppo.rewards, CLOSE);
    expect(flat(advantages)).toBeCloseToTensor(ppo.advantages, CLOSE);
    expect(flat(returns)).toBeCloseToTensor(ppo.returns, CLOSE);
  });

  it("whitened advantages, up to TRL's N - 1 in place of N", () => {
    const { count, mean, m2 } = momentsOf(advantages);
    const moments = { count, mean, m2: (m2 * count) / (count - 1) };
    // TRL computes N / (N - 1) in float32.
    expect(flat(whiten(advantages, { moments }))).toBeCloseToTensor(ppo.whitened, { rtol: 5e-8, atol: 5e-8 });
  });

  it('policy loss, gradient and clip fraction', () => {
    const logProbs = double(ppo.logProbs).requiresGrad_(); // [N]
    const found = ppoPolicyLoss({
      logProbs,
      oldLogProbs: double(ppo.oldLogProbs),
      advantages: double(ppo.whitened),
      cliprange: ppo.cliprange,
    });
    expect(found.losses.mean()).toBeCloseToTensor(ppo.policyLoss, CLOSE);
    expect(found.clipped.double().mean()).toBeCloseToTensor(ppo.policyClipFraction, CLOSE);
    expect(torch.grad(found.losses.mean(), [logProbs])[0]).toBeCloseToTensor(ppo.policyGradient, CLOSE);
  });

  it('value loss, gradient and clip fraction', () => {
    const values = double(ppo.values).requiresGrad_(); // [N]
    const { cliprangeValue } = ppo;
    const found = ppoValueLoss({ values, oldValues: double(ppo.oldValues), returns: flat(returns), cliprangeValue });
    expect(found.losses.mean()).toBeCloseToTensor(ppo.valueLoss, CLOSE);
    expect(found.clipped.double().mean()).toBeCloseToTensor(ppo.valueClipFraction, CLOSE);
    expect(torch.grad(found.losses.mean(), [values])[0]).toBeCloseToTensor(ppo.valueGradient, CLOSE);
  });
});
