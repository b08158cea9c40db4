/**
 * PPO's losses over completion tokens (Schulman et al., 1707.06347; Ziegler et al., 1909.08593; Huang et al., 2403.17031).
 *
 * All inputs are [N]: completion tokens only, without padding. All results are unreduced: the trainer divides the sum by the number
 * of tokens of the whole batch.
 */
import { type Tensor, torch } from '../tensor/index.ts';

/** How far a ratio may leave 1: the same both ways, or lower and upper (DAPO: 0.2 and 0.28). */
export type ClipRange = number | { readonly low: number; readonly high: number };

export interface PolicyLossInputs {
  /** log π of the tokens, with a graph; [N]. */
  readonly logProbs: Tensor;
  /** log π of the tokens when they were sampled, [N]. */
  readonly oldLogProbs: Tensor;
  /** [N], whitened or not. */
  readonly advantages: Tensor;
  /** Default 0.2. */
  readonly cliprange?: ClipRange;
}

export interface PolicyLoss {
  /** max(-A ρ, -A clip(ρ, 1 - ε, 1 + ε)), [N], with a graph. */
  readonly losses: Tensor;
  /** ρ = π / π_old, [N], without a graph. At the first step of a batch 1 everywhere. */
  readonly ratios: Tensor;
  /** Where the clipped branch was the larger, so that the token teaches nothing: [N] bool. */
  readonly clipped: Tensor;
  /** (ρ - 1) - log ρ, an estimate of KL(π_old || π): [N], without a graph. */
  readonly approxKl: Tensor;
}

/** The clipped surrogate (1707.06347, eq. 7), as a loss to be made small. */
export function ppoPolicyLoss({ logProbs, oldLogProbs, advantages, cliprange = 0.2 }: PolicyLossInputs): PolicyLoss {
  const shape = [logProbs.size(0)];
  oldLogProbs.expectShape(shape, 'oldLogProbs');
  advantages.expectShape(shape, 'advantages');
  const { low, high } = typeof cliprange === 'number' ? { low: cliprange, high: cliprange } : cliprange;
  return torch.scope(() => {
    const logRatios = logProbs.sub(oldLogProbs.detach()); // [N]
    const ratios = logRatios.exp(); // [N]
    const against = advantages.detach().neg(); // [N]
    const free = against.mul(ratios); // [N]
    const bounded = against.mul(ratios.clamp(1 - low, 1 + high)); // [N]
    return {
      losses: torch.maximum(free, bounded), // [N]
      ratios: ratios.detach(), // [N]
      clipped: bounded.detach().gt(free.detach()), // [N] bool
      approxKl: logRatios.detach().expm1().sub(logRatios.detach()), // [N]
    };
  });
}

export interface ValueLossInputs {
  /** The value model's estimates, with a graph; [N]. */
  readonly values: Tensor;
  /** Its estimates when the tokens were sampled, [N]. */
  readonly oldValues: Tensor;
  /** Advantages + oldValues, [N]. */
  readonly returns: Tensor;
  /** How far an estimate may move from the old one before it stops to gain. Default 0.2; null: no clipping. */
  readonly cliprangeValue?: number | null;
}

export interface ValueLoss {
  /** ½ max((V - R)², (clip(V, V_old ± ε) - R)²), [N], with a graph. */
  readonly losses: Tensor;
  /** Where the clipped branch was the larger: [N] bool. */
  readonly clipped: Tensor;
  /** (V - R)², [N], without a graph: what the loss is without clipping and ½. */
  readonly squaredErrors: Tensor;
}

export function ppoValueLoss({ values, oldValues, returns, cliprangeValue = 0.2 }: ValueLossInputs): ValueLoss {
  const shape = [values.size(0)];
  oldValues.expectShape(shape, 'oldValues');
  returns.expectShape(shape, 'returns');
  return torch.scope(() => {
    const targets = returns.detach(); // [N]
    const free = values.sub(targets).square(); // [N]
    const squaredErrors = free.detach(); // [N]
    if (cliprangeValue === null) {
      return { losses: free.div(2), clipped: torch.zerosLike(squaredErrors, { dtype: 'bool' }), squaredErrors }; // [N]
    }
    const old = oldValues.detach(); // [N]
    const near = values.clamp(old.sub(cliprangeValue), old.add(cliprangeValue)); // [N]
    const bounded = near.sub(targets).square(); // [N]
    const losses = torch.maximum(free, bounded).div(2); // [N]
    return { losses, clipped: bounded.detach().gt(squaredErrors), squaredErrors }; // [N]
  });
}

/**
 * PPO-ptx: the language-model loss on pretraining text that keeps the policy from forgetting (InstructGPT, 2203.02155, eq. 2):
 * -γ log π of each text token, [N] -> [N]. γ weighs it against the policy's loss; InstructGPT: 27.8 with its batch sizes.
 */
export function ptxLoss(logProbs: Tensor, gammaPtx: number): Tensor {
  return logProbs.mul(-gammaPtx); // [N]
}
