/**
 * What people said about the K answers to a prompt, in the form in which losses use it: pairs of answers, and ranks.
 *
 * Answers are numbered from 0 within their prompt. The scores of a batch are flat, [A]: the answers of one prompt after those of
 * the prompt before, in the order of the comparisons.
 */
import { NudgeError } from '../errors.ts';

/** Two answers of one prompt, and how the judgement between them came out. */
export interface Pair {
  readonly first: number;
  readonly second: number;
  /** How likely the first is the better one: 1 for a plain judgement, in between for a soft label. `second` wins with 1 - win - tie. */
  readonly win: number;
  /** How likely neither is better: 1 for a tie. */
  readonly tie: number;
  /** By how much the winner is better (strength of the judgement), in units of the score. */
  readonly margin: number;
}

/** All that is known about the answers to one prompt. */
export interface Comparison {
  /** K. */
  readonly count: number;
  /** A judgement each, K ranks: 1 is best; equal numbers are a tie; null was not ranked, and takes part in nothing. */
  readonly rankings: readonly (readonly (number | null)[])[];
  readonly pairs: readonly Pair[];
}

/** Every pair of ranked answers, the better one first. A pair of equal ranks is a tie. */
export function comparisonOfRanks(ranks: readonly (number | null)[]): Comparison {
  const wrong = ranks.find((rank) => rank !== null && !Number.isFinite(rank));
  if (wrong !== undefined) {
    throw new NudgeError('BAD_ARGUMENT', 'A rank is a number, or null.', {
      path: 'comparisonOfRanks',
      expected: 'numbers (1 is best, equal numbers are a tie) and nulls (not ranked)',
      received: `[${ranks.join(', ')}]`,
    });
  }
  const pairs: Pair[] = [];
  for (const [i, a] of ranks.entries()) {
    for (const [j, b] of ranks.entries()) {
      if (j <= i || a === null || b === null) continue;
      const [first, second] = a <= b ? [i, j] : [j, i];
      pairs.push({ first, second, win: a === b ? 0 : 1, tie: a === b ? 1 : 0, margin: 0 });
    }
  }
  return { count: ranks.length, rankings: [ranks], pairs };
}

export interface PairOptions {
  /** How likely the first answer (`chosen`) is the better one. Default 1. */
  label?: number;
  /** Default 0. */
  margin?: number;
}

/** A pair: answer 0 was chosen, answer 1 rejected. A soft label of exactly ½ ranks them as a tie. */
export function comparisonOfPair({ label = 1, margin = 0 }: PairOptions = {}): Comparison {
  if (!(label >= 0 && label <= 1) || !Number.isFinite(margin)) {
    throw new NudgeError('BAD_ARGUMENT', 'A pair cannot be judged like this.', {
      path: 'comparisonOfPair',
      expected: 'a label from 0 to 1 and a finite margin',
      received: `label ${label}, margin ${margin}`,
    });
  }
  const ranks = label === 0.5 ? [1, 1] : label > 0.5 ? [1, 2] : [2, 1];
  return { count: 2, rankings: [ranks], pairs: [{ first: 0, second: 1, win: label, tie: 0, margin }] };
}

/** Two answers between which nobody could choose. */
export function comparisonOfTie(): Comparison {
  return comparisonOfRanks([1, 1]);
}

/** What several people said about the same answers, as one: each answer is scored once, and their pairs are averaged. */
export function joinComparisons(comparisons: readonly Comparison[]): Comparison {
  const [{ count }] = comparisons as [Comparison];
  return {
    count,
    rankings: comparisons.flatMap(({ rankings }) => rankings),
    pairs: comparisons.flatMap(({ pairs }) => pairs),
  };
}

/** Where the answers of each prompt begin in the flat scores. @throws NudgeError `SHAPE_MISMATCH` where they are not A in all. */
export function answerStarts(comparisons: readonly Comparison[], shape: readonly number[], where: string): number[] {
  let total = 0;
  const starts = comparisons.map(({ count }) => {
    total += count;
    return total - count;
  });
  if (shape.length === 1 && shape[0] === total) return starts;
  throw new NudgeError('SHAPE_MISMATCH', 'The scores are not those of the compared answers.', {
    path: where,
    expected: `[${total}], the answers of ${comparisons.length} prompts one after the other`,
    received: `[${shape.join(', ')}]`,
    remedy: 'Score every answer of a prompt, also those that were not ranked, or leave them out of the comparison too.',
  });
}
