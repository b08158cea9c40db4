/** Shares: win rates and accuracies, with intervals. */
import { NudgeError } from '../../errors.ts';
import { type BootstrapOptions, bootstrapMean } from './bootstrap.ts';
import { type Clusters, type Estimate, type IntervalOptions, mean, needs } from './estimate.ts';
import { twoSided } from './normal.ts';

/**
 * A share with Wilson's score interval (1927), which stays inside 0 to 1 and holds its confidence also for few observations and
 * shares near the ends.
 *
 * @param successes of n; halves are welcome (ties).
 */
export function wilson(successes: number, n: number, { confidence = 0.95 }: IntervalOptions = {}): Estimate {
  needs(n, 1, 'wilson');
  if (!(successes >= 0 && successes <= n)) {
    throw new NudgeError('BAD_ARGUMENT', 'There cannot be so many successes.', {
      path: 'wilson',
      expected: `0 to ${n}`,
      received: String(successes),
    });
  }
  const z2 = twoSided(confidence) ** 2;
  const value = successes / n;
  const centre = (value + z2 / (2 * n)) / (1 + z2 / n);
  const half = Math.sqrt(z2 * ((value * (1 - value)) / n + z2 / (4 * n * n))) / (1 + z2 / n);
  // The exact ends, where rounding would say 1e-17.
  return { value, low: successes === 0 ? 0 : centre - half, high: successes === n ? 1 : centre + half, n };
}

/** A plain share of true values: accuracy of a reward model, of a judge. */
export function accuracy(correct: readonly boolean[], options: IntervalOptions = {}): Estimate {
  return wilsonOf(correct.map(Number), options);
}

/** Of the mean of values from 0 to 1; with clusters, for as many independent observations as they are worth. */
function wilsonOf(values: readonly number[], options: IntervalOptions): Estimate {
  const n = values.length;
  needs(n, 1, 'wilson');
  const share = mean(values);
  const worth = effectiveCount(values, share, options.clusters);
  return { ...wilson(share * worth, worth, options), value: share, n };
}

/** n over the design effect: the variance of the mean of clusters, as a multiple of that of independent observations (Kish, 1965). */
function effectiveCount(values: readonly number[], share: number, clusters: Clusters | undefined): number {
  const n = values.length;
  if (clusters === undefined || clusters.length === n) return n;
  // Where all are alike, or there is one cluster, the variance between clusters is not known: each counts once.
  if (share === 0 || share === 1 || clusters.length === 1) return clusters.length;
  const sums = clusters.map((members) => members.reduce((sum, i) => sum + values[i]! - share, 0));
  const squares = sums.reduce((total, sum) => total + sum * sum, 0);
  const variance = ((squares / n ** 2) * clusters.length) / (clusters.length - 1);
  const independent = (share * (1 - share)) / n;
  return Math.max(1, n / Math.max(1, variance / independent));
}

export interface WinRate {
  /** (wins + ties / 2) / n with Wilson's interval; too wide rather than too narrow where there are ties. */
  readonly wilson: Estimate;
  /** The same share with a bootstrap interval over prompts, which knows what ties are. */
  readonly bootstrap: Estimate;
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
}

/** @param outcomes one a comparison: 1 the first side won, 0.5 a tie, 0 it lost; a soft preference in between counts with its value. */
export function winRate(outcomes: readonly number[], options: BootstrapOptions = {}): WinRate {
  needs(outcomes.length, 1, 'winRate');
  const wrong = outcomes.find((outcome) => !(outcome >= 0 && outcome <= 1));
  if (wrong !== undefined) {
    throw new NudgeError('BAD_ARGUMENT', 'An outcome is 1 (won), 0.5 (tie), 0 (lost) or in between.', {
      path: 'winRate',
      expected: 'numbers from 0 to 1',
      received: String(wrong),
    });
  }
  return {
    wilson: wilsonOf(outcomes, options),
    bootstrap: bootstrapMean(outcomes, options),
    wins: outcomes.filter((outcome) => outcome > 0.5).length,
    ties: outcomes.filter((outcome) => outcome === 0.5).length,
    losses: outcomes.filter((outcome) => outcome < 0.5).length,
  };
}

/** Who won by two scores: 1, 0.5 or 0. @param margin differences up to this are ties; default 0. */
export function outcomeOf(score: number, other: number, margin = 0): number {
  if (Math.abs(score - other) <= margin) return 0.5;
  return score > other ? 1 : 0;
}
