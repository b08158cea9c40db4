/**
 * Losses on logits and on pairs, and the statistics of masked batches. scripts/golden/composites/losses.py is the same programme; keep the
 * two alike, line by line.
 */
import { type Tensor, torch } from '../../../src/tensor/index.ts';
import type { Inputs } from './inputs.ts';

export function crossEntropyWithIgnored({ logits, targets }: Inputs<'logits' | 'targets'>): Tensor {
  return torch.crossEntropyLoss(logits, targets, { ignoreIndex: -100 });
}

export function chunkedCrossEntropy({ hidden, head, targets }: Inputs<'hidden' | 'head' | 'targets'>): Tensor {
  let total = torch.zeros([]);
  for (let start = 0; start < 6; start += 2) {
    const logits = torch.linear(hidden.narrow(0, start, 2), head);
    const chosen = logits.gather(-1, targets.narrow(0, start, 2).unsqueeze(-1)).squeeze(-1);
    total = total.add(logits.logsumexp([-1]).sub(chosen).sum());
  }
  return total.div(6);
}

export function logProbsOfTokens({ logits, tokens }: Inputs<'logits' | 'tokens'>): Tensor {
  const shifted = logits.narrow(1, 0, 3).logSoftmax(-1);
  return shifted.gather(-1, tokens.narrow(1, 1, 3).unsqueeze(-1)).squeeze(-1);
}

export function klK1({ logProbs, reference }: Inputs<'logProbs' | 'reference'>): Tensor {
  return logProbs.sub(reference);
}

export function klK2({ logProbs, reference }: Inputs<'logProbs' | 'reference'>): Tensor {
  return reference.sub(logProbs).pow(2).mul(0.5);
}

export function klK3({ logProbs, reference }: Inputs<'logProbs' | 'reference'>): Tensor {
  const logRatio = reference.sub(logProbs);
  return logRatio.expm1().sub(logRatio);
}

export function exactKl({ logits, reference }: Inputs<'logits' | 'reference'>): Tensor {
  const [logProbs, logReference] = [logits.logSoftmax(-1), reference.logSoftmax(-1)];
  return logProbs.exp().mul(logProbs.sub(logReference)).sum([-1]);
}

export function entropy({ logits }: Inputs<'logits'>): Tensor {
  const probs = logits.softmax(-1);
  return logits.logsumexp([-1]).sub(probs.mul(logits).sum([-1]));
}

export function bradleyTerry({ chosen, rejected, margin }: Inputs<'chosen' | 'rejected' | 'margin'>): Tensor {
  const centring = chosen.add(rejected).pow(2).mean().mul(0.01);
  return torch.logSigmoid(chosen.sub(rejected).sub(margin)).mean().neg().add(centring);
}

export function plackettLuce({ scores }: Inputs<'scores'>): Tensor {
  // best first: each place is a choice among those not yet placed
  const remaining = scores.flip([-1]).logcumsumexp(-1).flip([-1]);
  return remaining.sub(scores).sum([-1]);
}

export function directPreference(
  inputs: Inputs<'chosen' | 'rejected' | 'referenceChosen' | 'referenceRejected'>,
): [Tensor, Tensor] {
  const { chosen, rejected, referenceChosen, referenceRejected } = inputs;
  const logits = chosen.sub(referenceChosen).sub(rejected.sub(referenceRejected)).mul(0.1);
  const smoothed = torch.logSigmoid(logits).mul(0.9).add(torch.logSigmoid(logits.neg()).mul(0.1)).neg();
  return [smoothed.mean(), logits.detach()];
}

export function oddsRatio({ chosen, rejected }: Inputs<'chosen' | 'rejected'>): Tensor {
  const odds = chosen.sub(rejected).sub(chosen.exp().neg().log1p().sub(rejected.exp().neg().log1p()));
  return torch.logSigmoid(odds).mul(-0.1).sub(chosen).mean();
}

export function kahnemanTversky(inputs: Inputs<'logRatios' | 'desirable' | 'mismatched'>): Tensor {
  const { logRatios, desirable, mismatched } = inputs;
  const point = mismatched.mean().clamp({ min: 0 }).detach();
  const gain = torch.sigmoid(logRatios.sub(point).mul(0.5));
  const loss = torch.sigmoid(torch.sub(point, logRatios).mul(0.5));
  return torch.where(desirable, gain, loss).neg().add(1).mean();
}

export function maskedMean({ values, mask }: Inputs<'values' | 'mask'>): [Tensor, Tensor] {
  const weights = mask.to(values.dtype);
  const perSequence = values
    .mul(weights)
    .sum([1])
    .div(weights.sum([1]).clamp({ min: 1 }));
  return [perSequence, values.mul(weights).sum().div(weights.sum())];
}

export function maskedWhitening({ values, mask }: Inputs<'values' | 'mask'>): Tensor {
  const kept = values.maskedSelect(mask);
  const centred = values.sub(kept.mean()).div(kept.std({ correction: 1 }).add(1e-8));
  return torch.where(mask, centred, 0);
}

export function topPProbabilities({ logits }: Inputs<'logits'>): Tensor {
  const [ordered, order] = logits.softmax(-1).sort({ descending: true });
  const beyond = ordered.cumsum(-1).sub(ordered).gt(0.8);
  const kept = ordered.maskedFill(beyond, 0);
  return torch.zerosLike(logits).scatter(-1, order, kept.div(kept.sum([-1], { keepdim: true })));
}

export function topKLogProbabilities({ x }: Inputs<'x'>): [Tensor, Tensor] {
  const [best, where] = x.topk(3);
  const masked = torch.fullLike(x, Number.NEGATIVE_INFINITY).scatter(-1, where, best);
  return [masked.softmax(-1), best.logSoftmax(-1)];
}
