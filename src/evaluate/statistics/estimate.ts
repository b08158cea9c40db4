/** A number with its uncertainty: what every figure of a report is. */
import { NudgeError } from '../../errors.ts';

export interface Estimate {
  readonly value: number;
  /** The interval at the confidence that was asked for, 95 % unless said otherwise. */
  readonly low: number;
  readonly high: number;
  /** How many observations it rests on. */
  readonly n: number;
}

export interface IntervalOptions {
  /** Share of such intervals that hold the truth. Default 0.95. */
  confidence?: number;
  /**
   * Which observations belong together, as lists of indices that cover each once: several answers to one prompt are alike, and count
   * for less than as many answers to different prompts. Default: each stands for itself.
   */
  clusters?: Clusters;
}

export type Clusters = readonly (readonly number[])[];

/** Observations with the same key belong together. */
export function clustersOf(keys: readonly string[]): Clusters {
  const found = new Map<string, number[]>();
  for (const [i, key] of keys.entries()) found.set(key, [...(found.get(key) ?? []), i]);
  return [...found.values()];
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** Standard deviation of the sample (N - 1); 0 for one value. */
export function standardDeviation(values: ArrayLike<number>): number {
  const centre = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - centre) ** 2;
  return Math.sqrt(squares / Math.max(1, values.length - 1));
}

/** The q-quantile of sorted values, linear between neighbours (numpy's default, type 7). */
export function quantileOfSorted(sorted: ArrayLike<number>, q: number): number {
  const place = q * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return below + (above - below) * (place - Math.floor(place));
}

/** @throws NudgeError `BAD_ARGUMENT` where there is nothing to compute from. */
export function needs(count: number, least: number, path: string): void {
  if (count >= least) return;
  throw new NudgeError('BAD_ARGUMENT', 'There are too few observations for this statistic.', {
    path,
    expected: `at least ${least}`,
    received: String(count),
  });
}

export function needsSameLength(a: ArrayLike<unknown>, b: ArrayLike<unknown>, path: string): void {
  if (a.length === b.length) return;
  throw new NudgeError('BAD_ARGUMENT', 'The two sides of a comparison differ in number.', {
    path,
    expected: 'one value of each for every observation',
    received: `${a.length} and ${b.length}`,
  });
}
