/** How good a reward model is, on prompts that it never saw. */
import type { Comparison } from '../../losses/index.ts';
import { deviation, mean } from '../numbers.ts';

export interface Share {
  readonly value: number;
  /** 95 % by Wilson's score interval. */
  readonly low: number;
  readonly high: number;
  readonly n: number;
}

export interface CalibrationBin {
  /** Of the confidence σ(|gap|), from 0.5 to 1. */
  readonly low: number;
  readonly high: number;
  readonly pairs: number;
  /** Means over the bin's pairs; NaN where there is none. */
  readonly confidence: number;
  readonly accuracy: number;
}

export interface RewardReport {
  readonly prompts: number;
  /** Pairs of which one completion was preferred. */
  readonly pairs: number;
  /**
   * Share of pairs whose preferred completion has the higher score, each prompt counting once. The interval is over prompts: the
   * pairs of a prompt are not independent.
   */
  readonly accuracy: Share;
  /** How often labellers agree with each other: what no model can be expected to exceed. null where it is not known. */
  readonly agreement: number | null;
  /** Mean score of the preferred completion over that of the other. */
  readonly margin: number;
  /** Expected calibration error: how far confidence and accuracy are apart, mean over pairs. 0 is best. */
  readonly ece: number;
  readonly calibration: readonly CalibrationBin[];
  readonly length: {
    /** Score gained by 100 tokens more, among the completions of a prompt. */
    readonly slope: number;
    /** Correlation of score and length among the completions of a prompt. */
    readonly correlation: number;
    /** How often the longer completion of a pair has the higher score, and how often it is the preferred one. */
    readonly longerScoresHigher: number;
    readonly longerPreferred: number;
  };
  readonly scores: { readonly mean: number; readonly sd: number };
}

export interface ReportInput {
  /** The judgements of each prompt. */
  readonly comparisons: readonly Comparison[];
  /** The scores of each prompt's completions. */
  readonly scores: readonly (readonly number[])[];
  /** The lengths of each prompt's completions, in tokens. */
  readonly lengths: readonly (readonly number[])[];
  /** Share of pairs on which labellers agree with each other. */
  readonly agreement?: number | null;
}

/** A pair of which one completion was preferred. */
interface Decided {
  readonly prompt: number;
  /** Score of the preferred completion minus that of the other. */
  readonly gap: number;
  /** Length of the preferred completion minus that of the other. */
  readonly longer: number;
  /** How sure the label is, above 0.5. */
  readonly label: number;
}

const BINS = 10;

export function reportReward({ comparisons, scores, lengths, agreement = null }: ReportInput): RewardReport {
  const decided = comparisons.flatMap((comparison, p) => decidedPairs(comparison, p, scores[p]!, lengths[p]!));
  const shares = [...Map.groupBy(decided, ({ prompt }) => prompt).values()].map((pairs) => mean(pairs.map(isRight)));
  const all = scores.flat();
  return {
    prompts: shares.length,
    pairs: decided.length,
    accuracy: wilson(
      shares.reduce((sum, share) => sum + share, 0),
      shares.length,
    ),
    agreement,
    margin: mean(decided.map(({ gap }) => gap)),
    ...calibrate(decided),
    length: { ...regressOnLength(scores, lengths), ...preferLonger(decided) },
    scores: { mean: mean(all), sd: deviation(all) },
  };
}

/** Pairs that are ties, or whose soft label says nothing, decide nothing. */
function decidedPairs(
  { pairs }: Comparison,
  prompt: number,
  scores: readonly number[],
  lengths: readonly number[],
): Decided[] {
  return pairs.flatMap(({ first, second, win, tie }) => {
    const label = win + tie / 2;
    if (tie === 1 || label === 0.5) return [];
    const [better, worse] = label > 0.5 ? [first, second] : [second, first];
    return {
      prompt,
      gap: scores[better]! - scores[worse]!,
      longer: lengths[better]! - lengths[worse]!,
      label: Math.max(label, 1 - label),
    };
  });
}

const isRight = ({ gap }: Decided): number => (gap > 0 ? 1 : gap === 0 ? 0.5 : 0);

/** Wilson's score interval (1927) at 95 %. */
export function wilson(successes: number, n: number): Share {
  if (n === 0) return { value: Number.NaN, low: 0, high: 1, n };
  const z2 = 1.959963984540054 ** 2;
  const value = successes / n;
  const centre = (value + z2 / (2 * n)) / (1 + z2 / n);
  const half = Math.sqrt(z2 * ((value * (1 - value)) / n + z2 / (4 * n * n))) / (1 + z2 / n);
  return { value, low: Math.max(0, centre - half), high: Math.min(1, centre + half), n };
}

/** Bins of equal width over the confidence; a soft label counts as right with its probability. */
function calibrate(decided: readonly Decided[]): { ece: number; calibration: CalibrationBin[] } {
  const bins = Array.from({ length: BINS }, (): { confidence: number; right: number }[] => []);
  for (const pair of decided) {
    const confidence = 1 / (1 + Math.exp(-Math.abs(pair.gap)));
    const right = pair.gap > 0 ? pair.label : pair.gap < 0 ? 1 - pair.label : 0.5;
    bins[Math.min(BINS - 1, Math.floor((confidence - 0.5) * 2 * BINS))]!.push({ confidence, right });
  }
  const calibration = bins.map((pairs, i) => ({
    low: 0.5 + i / (2 * BINS),
    high: 0.5 + (i + 1) / (2 * BINS),
    pairs: pairs.length,
    confidence: mean(pairs.map(({ confidence }) => confidence)),
    accuracy: mean(pairs.map(({ right }) => right)),
  }));
  const apart = calibration.reduce(
    (sum, { pairs, confidence, accuracy }) => sum + (pairs === 0 ? 0 : pairs * Math.abs(confidence - accuracy)),
    0,
  );
  return { ece: decided.length === 0 ? Number.NaN : apart / decided.length, calibration };
}

/** Least squares among the completions of each prompt: what a prompt's scores have in common does not count. */
function regressOnLength(
  scores: readonly (readonly number[])[],
  lengths: readonly (readonly number[])[],
): { slope: number; correlation: number } {
  let [xx, xy, yy] = [0, 0, 0];
  for (const [p, own] of scores.entries()) {
    const [meanScore, meanLength] = [mean(own), mean(lengths[p]!)];
    for (const [i, score] of own.entries()) {
      const [x, y] = [lengths[p]![i]! - meanLength, score - meanScore];
      xx += x * x;
      xy += x * y;
      yy += y * y;
    }
  }
  return { slope: xx === 0 ? 0 : (100 * xy) / xx, correlation: xx === 0 || yy === 0 ? 0 : xy / Math.sqrt(xx * yy) };
}

function preferLonger(decided: readonly Decided[]): { longerScoresHigher: number; longerPreferred: number } {
  const unequal = decided.filter(({ longer }) => longer !== 0);
  return {
    longerScoresHigher: mean(unequal.map((pair) => (pair.longer > 0 ? isRight(pair) : 1 - isRight(pair)))),
    longerPreferred: mean(unequal.map(({ longer }) => (longer > 0 ? 1 : 0))),
  };
}
