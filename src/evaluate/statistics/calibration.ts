/** Whether probabilities mean what they say. */
import { mean, needs, needsSameLength } from './estimate.ts';
import { normalQuantile } from './normal.ts';

export interface CalibrationBin {
  /** Confidences above `low` up to `high`. */
  readonly low: number;
  readonly high: number;
  readonly count: number;
  /** Mean confidence and share of correct ones in the bin; null where it is empty. */
  readonly confidence: number | null;
  readonly accuracy: number | null;
}

export interface Calibration {
  /** Expected calibration error: Σ count/n · |accuracy - confidence| (Guo et al., 1706.04599, eq. 3). */
  readonly ece: number;
  /** The largest gap of a bin that is not empty. */
  readonly maximum: number;
  /** Mean squared difference between confidence and outcome. */
  readonly brier: number;
  readonly bins: readonly CalibrationBin[];
}

/**
 * @param confidences from 0 to 1; for a reward model σ(|r_a - r_b|), which is never below 0.5.
 * @param correct whether each was right.
 * @param bins equally wide. Default 10. The error of a perfectly calibrated model is not 0 but of order √(bins / n).
 */
export function calibration(confidences: readonly number[], correct: readonly boolean[], bins = 10): Calibration {
  needsSameLength(confidences, correct, 'calibration');
  needs(confidences.length, 1, 'calibration');
  const n = confidences.length;
  const members = Array.from({ length: bins }, () => [] as number[]);
  for (const [i, confidence] of confidences.entries()) {
    members[Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1))]!.push(i);
  }
  const found = members.map((indices, bin): CalibrationBin => {
    const empty = indices.length === 0;
    return {
      low: bin / bins,
      high: (bin + 1) / bins,
      count: indices.length,
      confidence: empty ? null : mean(indices.map((i) => confidences[i]!)),
      accuracy: empty ? null : mean(indices.map((i) => Number(correct[i]))),
    };
  });
  const gaps = found.map(({ confidence, accuracy }) => (confidence === null ? 0 : Math.abs(accuracy! - confidence)));
  return {
    ece: gaps.reduce((sum, gap, bin) => sum + (gap * found[bin]!.count) / n, 0),
    maximum: Math.max(...gaps),
    brier: mean(confidences.map((confidence, i) => (confidence - Number(correct[i])) ** 2)),
    bins: found,
  };
}

/**
 * The accuracy that even the true reward reaches on pairs labelled by Bradley-Terry, rewards being N(0, sd²): E σ(|D|), D ~ N(0, 2 sd²).
 * A reward model's accuracy should be read beside it, or beside how often labellers agree; 0.7252 at sd 1.
 */
export function bradleyTerryCeiling(sd: number): number {
  const points = 20_000;
  let total = 0;
  for (let i = 0; i < points; i++) {
    // The middles of equally likely slices of |D|: right to 1e-8.
    const gap = Math.SQRT2 * sd * normalQuantile(0.5 + (i + 0.5) / (2 * points));
    total += 1 / (1 + Math.exp(-gap));
  }
  return total / points;
}
