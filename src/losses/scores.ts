/** What happens to a reward model's scores before a policy is trained on them. */
import { NudgeError } from '../errors.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import { momentsOf, type Numbers } from './advantages.ts';

// ---- normalisation ----

/** score → (score - shift) / scale. Bradley-Terry fixes differences only: a model's zero, and against β its scale, are arbitrary. */
export interface ScoreNormalisation {
  readonly shift: number;
  readonly scale: number;
}

/**
 * So that the scores of reference completions have mean 0 (Ziegler et al., 1909.08593) and, with `scale`, standard deviation 1.
 *
 * @param options.scale changes what β means. Default false.
 */
export function scoreNormalisation(referenceScores: Numbers, options: { scale?: boolean } = {}): ScoreNormalisation {
  const { count, mean, m2 } = momentsOf(referenceScores);
  const scale = options.scale === true ? Math.sqrt(m2 / count) : 1;
  if (count > 0 && scale > 0 && Number.isFinite(scale) && Number.isFinite(mean)) return { shift: mean, scale };
  throw new NudgeError('BAD_ARGUMENT', 'These scores cannot be normalised.', {
    path: 'scoreNormalisation',
    expected: 'finite scores of reference completions, not all equal where the scale is wanted',
    received: `${count} scores, mean ${mean}, standard deviation ${Math.sqrt(m2 / count)}`,
  });
}

export function normaliseScores(scores: Numbers, { shift, scale }: ScoreNormalisation): Float64Array {
  return Float64Array.from(scores, (score) => (score - shift) / scale);
}

// ---- completions without an end ----

/** What to do with a completion that was cut off at the limit: give it a fixed score (2403.17031), or take something off its own. */
export type MissingEosRule =
  | { readonly kind: 'replace'; readonly score: number }
  | { readonly kind: 'subtract'; readonly penalty: number };

/** @param finished whether each completion ended by itself. Scores [S] -> [S]. */
export function scoresWithMissingEos(
  scores: Numbers,
  finished: readonly boolean[],
  rule: MissingEosRule,
): Float64Array {
  if (scores.length !== finished.length) {
    throw new NudgeError('SHAPE_MISMATCH', 'Each completion has one score, and either ended or did not.', {
      path: 'scoresWithMissingEos',
      expected: `${scores.length} booleans`,
      received: String(finished.length),
    });
  }
  return Float64Array.from(scores, (score, s) => {
    if (finished[s]) return score;
    return rule.kind === 'replace' ? rule.score : score - rule.penalty;
  });
}

// ---- ensembles (Coste et al., 2310.02743) ----

/** Scores of M models [M, S] -> [S]. Models that disagree are a sign that a completion is unlike what they were trained on. */
export type Ensemble = (scores: Tensor, options?: EnsembleOptions) => Tensor;

export interface EnsembleOptions {
  /** λ of `meanMinusVariance` and `meanMinusSd`: how much disagreement costs. Default 1. */
  lambda?: number;
}

const dispersion = (scores: Tensor): Tensor => scores.sub(scores.mean(0)).square().mean(0); // [S]

export const ENSEMBLES = {
  /** The plain mean: less noise, but as exploitable where all err alike. */
  mean: (scores) => scores.mean(0), // [S]
  /** Worst case: no completion is better than its severest judge says. */
  min: (scores) => scores.amin(0), // [S]
  /** The middle one; of the two middle ones of an even number the lower, as in PyTorch. */
  median: (scores) => scores.median(0)[0], // [S]
  /** Uncertainty-weighted: mean - λ variance (of the M models: divided by M). */
  meanMinusVariance: (scores, { lambda = 1 } = {}) =>
    torch.scope(() => scores.mean(0).sub(dispersion(scores).mul(lambda))), // [S]
  meanMinusSd: (scores, { lambda = 1 } = {}) =>
    torch.scope(() => scores.mean(0).sub(dispersion(scores).sqrt().mul(lambda))), // [S]
} as const satisfies Record<string, Ensemble>;

export type EnsembleName = keyof typeof ENSEMBLES;
