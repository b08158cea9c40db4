/** Bradley-Terry strengths of several models from comparisons between any two of them (1952). */
import { NudgeError } from '../../errors.ts';
import { type BootstrapOptions, bootstrap } from './bootstrap.ts';
import { type Estimate, mean, needs } from './estimate.ts';
import { logisticRegression } from './logistic.ts';

/** 1: `first` won, 0: `second`, 0.5: a tie. */
export interface Match {
  readonly first: string;
  readonly second: string;
  readonly outcome: number;
}

export interface Strength {
  readonly name: string;
  /** Log-odds against an average opponent of the field; strengths add up to 0. 400 / ln 10 = 173.7 Elo each. */
  readonly strength: Estimate;
}

/**
 * The strengths that make the outcomes likeliest, the strongest first, with intervals over matches.
 *
 * @param options.ridge draws strengths together a little, so that a model that won every match is not infinitely strong. Default 0.01.
 */
export function bradleyTerryStrengths(
  matches: readonly Match[],
  options: BootstrapOptions & { ridge?: number } = {},
): Strength[] {
  needs(matches.length, 1, 'bradleyTerryStrengths');
  const { ridge = 0.01, resamples = 500, ...rest } = options;
  if (!(ridge > 0)) {
    throw new NudgeError('BAD_ARGUMENT', 'Only differences of strengths are known: their level needs a penalty.', {
      path: 'bradleyTerryStrengths, ridge',
      expected: 'a number above 0; 1e-6 changes nothing that can be seen',
      received: String(ridge),
    });
  }
  const names = [...new Set(matches.flatMap(({ first, second }) => [first, second]))].sort();
  const place = new Map(names.map((name, i) => [name, i]));
  const rows = matches.map(({ first, second }) => {
    const row = new Array<number>(names.length).fill(0);
    row[place.get(first)!]! += 1;
    row[place.get(second)!]! -= 1;
    return row;
  });
  const outcomes = matches.map(({ outcome }) => outcome);
  // The same matches for all models in a resample: as many fits as resamples.
  const fits = new Map<string, readonly number[]>();
  const fitOf = (sample: Int32Array): readonly number[] => {
    const key = sample.join();
    const known = fits.get(key);
    if (known !== undefined) return known;
    const weights = new Float64Array(matches.length);
    for (const i of sample) weights[i]! += 1;
    const { coefficients } = logisticRegression(rows, outcomes, { ridge, weights });
    // Zero by the penalty already; this takes what rounding has left.
    const level = mean(coefficients);
    const strengths = coefficients.map((coefficient) => coefficient - level);
    fits.set(key, strengths);
    return strengths;
  };
  return names
    .map((name, i) => ({
      name,
      strength: bootstrap(matches.length, (sample) => fitOf(sample)[i]!, { ...rest, resamples }),
    }))
    .sort((a, b) => b.strength.value - a.strength.value);
}
