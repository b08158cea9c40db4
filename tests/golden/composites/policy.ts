/**
 * Policy gradients: advantages and the losses that use them. scripts/golden/composites/policy.py is the same programme; keep the two alike,
 * line by line.
 */
import { type Tensor, torch } from '../../../src/tensor/index.ts';
import type { Inputs } from './inputs.ts';

export function clippedPolicyLoss({
  logProbs,
  old,
  advantages,
}: Inputs<'logProbs' | 'old' | 'advantages'>): [Tensor, Tensor] {
  const ratio = logProbs.sub(old).exp();
  const clipped = ratio.clamp(0.8, 1.2);
  const loss = torch.max(advantages.neg().mul(ratio), advantages.neg().mul(clipped));
  return [loss.mean(), ratio.ne(clipped).to('float32').mean()];
}

export function clippedValueLoss({ values, old, returns }: Inputs<'values' | 'old' | 'returns'>): Tensor {
  const clipped = old.add(values.sub(old).clamp(-0.2, 0.2));
  return torch.maximum(values.sub(returns).square(), clipped.sub(returns).square()).mean().mul(0.5);
}

export function generalizedAdvantages({ rewards, values }: Inputs<'rewards' | 'values'>): [Tensor, Tensor] {
  const [reward, value] = [rewards.unbind(1), values.unbind(1)];
  let [advantage, following] = [torch.zeros([2]), torch.zeros([2])];
  const reversedAdvantages: Tensor[] = [];
  for (let t = 4; t >= 0; t--) {
    const delta = reward[t]!.add(following, { alpha: 0.99 }).sub(value[t]!);
    advantage = delta.add(advantage, { alpha: 0.99 * 0.95 });
    following = value[t]!;
    reversedAdvantages.push(advantage);
  }
  const advantages = torch.stack(reversedAdvantages, 1).flip([1]);
  return [advantages, advantages.add(values)];
}

export function discountedReturns({ rewards }: Inputs<'rewards'>): Tensor {
  const powers = torch.pow(0.9, torch.arange(6, { dtype: 'float32' }));
  return rewards.mul(powers).flip([1]).cumsum(1).flip([1]).div(powers);
}

export function groupRelativeLoss({ logProbs, rewards, mask }: Inputs<'logProbs' | 'rewards' | 'mask'>): Tensor {
  const advantages = rewards.sub(rewards.mean()).div(rewards.std({ correction: 1 }).add(1e-4));
  const perToken = logProbs.sub(logProbs.detach()).exp().mul(advantages.unsqueeze(1)).neg();
  const weights = mask.to('float32');
  return perToken
    .mul(weights)
    .sum([1])
    .div(weights.sum([1]).clamp({ min: 1 }))
    .mean();
}

export function leaveOneOut({ logProbs, rewards }: Inputs<'logProbs' | 'rewards'>): [Tensor, Tensor] {
  const baseline = rewards.sum().sub(rewards).div(3);
  const advantages = rewards.sub(baseline);
  return [advantages.mul(logProbs).mean().neg(), advantages];
}

export function regularisedBandit({ logits, reference, rewards }: Inputs<'logits' | 'reference' | 'rewards'>): Tensor {
  const logProbs = logits.logSoftmax(0);
  const kl = logProbs.exp().dot(logProbs.sub(reference.logSoftmax(0)));
  return logProbs.exp().dot(rewards).sub(kl, { alpha: 0.3 });
}
