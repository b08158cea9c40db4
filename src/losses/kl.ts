/**
 * How far the policy is from the reference: estimators from samples, and controllers of the penalty's coefficient.
 *
 * With u = log ref - log π at a token that π sampled (Schulman, "Approximating KL divergence", 2020). Which one to use depends on
 * where it stands. In the *reward*, k1 is unbiased. In the *loss*, differentiated through log π: k1 has gradient zero in
 * expectation, k2 has the gradient of KL(π || ref), and k3 has π - ref, the gradient of the forward KL (GRPO uses it).
 */
import { NudgeError } from '../errors.ts';
import type { Tensor } from '../tensor/index.ts';

/** logProbs, refLogProbs [N] -> [N], nats. */
export type KlEstimator = (logProbs: Tensor, refLogProbs: Tensor) => Tensor;

/** k1 = -u. Unbiased, of either sign. */
export const k1: KlEstimator = (logProbs, refLogProbs) => logProbs.sub(refLogProbs); // [N]

/** k2 = u² / 2. Biased where the two are far apart, never negative. */
export const k2: KlEstimator = (logProbs, refLogProbs) => refLogProbs.sub(logProbs).square().div(2); // [N]

/** k3 = e^u - 1 - u. Unbiased as a value, never negative; heavy tails where ref is much larger than π. */
export const k3: KlEstimator = (logProbs, refLogProbs) => {
  const u = refLogProbs.sub(logProbs); // [N]
  return u.expm1().sub(u); // [N]
};

export type KlEstimatorName = 'k1' | 'k2' | 'k3';

export const KL_ESTIMATORS: Readonly<Record<KlEstimatorName, KlEstimator>> = { k1, k2, k3 };

/** What a checkpoint keeps of a controller. */
export interface KlControllerState {
  readonly coef: number;
}

export interface KlController {
  /** β: the penalty on a nat of KL. */
  readonly coef: number;
  /** @param kl the mean over `episodes` sequences of the KL *summed* over a sequence, in nats. */
  update(kl: number, episodes: number): void;
  state(): KlControllerState;
  restore(state: KlControllerState): void;
}

/** The same coefficient for ever. */
export class FixedKlController implements KlController {
  #coef: number;

  constructor(coef: number) {
    this.#coef = positive(coef, 'klCoef', true);
  }

  get coef(): number {
    return this.#coef;
  }

  update(_kl: number, _episodes: number): void {}

  state(): KlControllerState {
    return { coef: this.#coef };
  }

  restore({ coef }: KlControllerState): void {
    this.#coef = positive(coef, 'klCoef', true);
  }
}

export interface AdaptiveKlOptions {
  /** The coefficient at the start. Ziegler: 0.15; N+: 0.05. */
  coef: number;
  /** KL a sequence to hold, in nats. Default 6. */
  target?: number;
  /** Episodes over which the coefficient changes by a factor of e^0.2 at most. Default 10,000. */
  horizon?: number;
}

/** Proportional control in log space: e = clip(KL / target - 1, ±0.2), β ← β (1 + e n / horizon) (Ziegler et al., 1909.08593). */
export class AdaptiveKlController implements KlController {
  readonly target: number;
  readonly horizon: number;
  #coef: number;

  constructor(options: AdaptiveKlOptions) {
    this.#coef = positive(options.coef, 'klCoef');
    this.target = positive(options.target ?? 6, 'klTarget');
    this.horizon = positive(options.horizon ?? 10_000, 'klHorizon');
  }

  get coef(): number {
    return this.#coef;
  }

  update(kl: number, episodes: number): void {
    const error = Math.max(-0.2, Math.min(0.2, kl / this.target - 1));
    this.#coef *= 1 + (error * episodes) / this.horizon;
  }

  state(): KlControllerState {
    return { coef: this.#coef };
  }

  restore({ coef }: KlControllerState): void {
    this.#coef = positive(coef, 'klCoef');
  }
}

function positive(value: number, path: string, orZero = false): number {
  if (Number.isFinite(value) && (value > 0 || (orZero && value === 0))) return value;
  throw new NudgeError('BAD_ARGUMENT', 'A KL controller cannot work with this number.', {
    path,
    expected: orZero ? 'a number, 0 or more' : 'a number above 0',
    received: String(value),
  });
}
