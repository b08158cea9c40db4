/** The few numbers that a benchmark boils down to. */

import { InvariantError } from '../src/errors.ts';
import type { Direction } from './case.ts';

/** The middle value; the mean of the middle two where their number is even. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new InvariantError('the median of nothing was asked for');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle]!;
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2;
}

/** How far the values are apart: (maximum - minimum) / median. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/** How many times better `ours` is; above 1 means better, whichever way the metric points. */
export function ratio(ours: number, theirs: number, better: Direction): number {
  return better === 'lower' ? theirs / ours : ours / theirs;
}

/** Which share of the best possible was reached, 0 to 1. Noise can carry a measurement past its limit; that counts as 1. */
export function shareOfLimit(value: number, limit: number, better: Direction): number {
  return Math.min(1, ratio(value, limit, better));
}

/** Rounds to significant digits: what is behind them is noise. */
export function significant(value: number, digits = 4): number {
  return Number(value.toPrecision(digits));
}
