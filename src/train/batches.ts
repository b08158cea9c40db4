/**
 * Which rows make up which step. The order of an epoch is a permutation drawn from (seed, epoch), so the rows of a step follow
 * from its number alone: a resumed run needs no more than that.
 */
import { NudgeError } from '../errors.ts';
import { permutation } from './random.ts';

export interface BatchesOptions {
  /** Tokens of each row; of a row with several sequences, of all of them. */
  lengths: readonly number[];
  seed: number;
  /** Rows in a batch. Give this or `tokens`. */
  rows?: number;
  /** Tokens in a batch at most; a longer row is a batch of its own. */
  tokens?: number;
  /** A new order each epoch. Default true; false keeps the order of the rows. */
  shuffle?: boolean;
  /**
   * Puts rows of similar length into the same batch: the rows of 50 batches at a time are sorted, and the order of the batches
   * is drawn. Saves nothing without padding, but evens out memory from step to step. Default false: batches stay random samples.
   */
  groupByLength?: boolean;
  /** Leaves out a last batch that is not full. Default false. */
  dropLast?: boolean;
}

/** The rows of one step. */
export interface StepBatch {
  readonly epoch: number;
  /** Its place in the epoch. */
  readonly index: number;
  readonly rows: readonly number[];
}

const WINDOW = 50;

export class Batches {
  readonly #options: BatchesOptions;
  readonly #counts = new Map<number, number>();
  #plan: { epoch: number; batches: readonly (readonly number[])[] } | null = null;

  constructor(options: BatchesOptions) {
    const { lengths, rows, tokens, dropLast = false } = options;
    const size = rows ?? tokens;
    if ((rows === undefined) === (tokens === undefined) || !Number.isSafeInteger(size) || size! < 1) {
      throw new NudgeError('BAD_ARGUMENT', 'A batch has a size.', {
        path: 'Batches',
        expected: 'a positive whole number of either rows or tokens',
        received: `rows ${rows}, tokens ${tokens}`,
      });
    }
    if (lengths.length === 0 || (dropLast && rows !== undefined && lengths.length < rows)) {
      throw new NudgeError('BAD_ARGUMENT', 'There is not a single batch.', {
        path: 'Batches',
        expected: dropLast ? `at least ${rows ?? 1} rows` : 'at least one row',
        received: String(lengths.length),
      });
    }
    this.#options = options;
  }

  /** Batches in an epoch; by tokens, epochs may differ. */
  count(epoch: number): number {
    let count = this.#counts.get(epoch);
    if (count === undefined) {
      count = this.#planOf(epoch).length;
      this.#counts.set(epoch, count);
    }
    return count;
  }

  /** Steps of so many epochs; part of an epoch is rounded up to whole steps. */
  steps(epochs: number): number {
    const whole = Math.floor(epochs);
    let steps = 0;
    for (let epoch = 0; epoch < whole; epoch++) steps += this.count(epoch);
    return epochs === whole ? steps : steps + Math.ceil((epochs - whole) * this.count(whole) - 1e-9);
  }

  /** The rows of a step, counted from 0 over all epochs. */
  at(step: number): StepBatch {
    let epoch = 0;
    let index = step;
    // The plans of earlier epochs are counted once and forgotten.
    while (index >= this.count(epoch)) index -= this.count(epoch++);
    return { epoch, index, rows: this.#planOf(epoch)[index]! };
  }

  #planOf(epoch: number): readonly (readonly number[])[] {
    if (this.#plan?.epoch !== epoch) this.#plan = { epoch, batches: plan(this.#options, epoch) };
    return this.#plan.batches;
  }
}

function plan(options: BatchesOptions, epoch: number): number[][] {
  const { lengths, seed, shuffle = true, groupByLength = false, dropLast = false } = options;
  const order = shuffle ? permutation(lengths.length, seed, 'order', epoch) : lengths.map((_, i) => i);
  const cut = (rows: readonly number[]): number[][] => cutInto(rows, options);
  if (!groupByLength) return withoutRest(cut(order), options, dropLast);
  const batches = windows(order, options).flatMap((window) => cut(window.toSorted((a, b) => byLength(lengths, a, b))));
  const full = withoutRest(batches, options, dropLast);
  return shuffle ? permutation(full.length, seed, 'batches', epoch).map((i) => full[i]!) : full;
}

function cutInto(order: readonly number[], { lengths, rows, tokens }: BatchesOptions): number[][] {
  if (tokens !== undefined) return packTokens(order, lengths, tokens);
  return Array.from({ length: Math.ceil(order.length / rows!) }, (_, i) => order.slice(i * rows!, (i + 1) * rows!));
}

function windows(order: readonly number[], { lengths, rows, tokens }: BatchesOptions): (readonly number[])[] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const perBatch = rows ?? Math.max(1, Math.floor((tokens! * lengths.length) / Math.max(1, total)));
  const size = perBatch * WINDOW;
  return Array.from({ length: Math.ceil(order.length / size) }, (_, i) => order.slice(i * size, (i + 1) * size));
}

const withoutRest = (batches: number[][], { rows }: BatchesOptions, dropLast: boolean): number[][] =>
  dropLast && rows !== undefined ? batches.filter((batch) => batch.length === rows) : batches;

/** Longest first: what does not fit into memory shows at once. */
const byLength = (lengths: readonly number[], a: number, b: number): number => lengths[b]! - lengths[a]! || a - b;

/** Rows in their order, neighbours together while they have at most so many tokens; a longer row by itself. */
export function packTokens(order: readonly number[], lengths: readonly number[], tokens: number): number[][] {
  const batches: number[][] = [];
  let left = 0;
  for (const row of order) {
    const length = lengths[row]!;
    if (batches.length === 0 || length > left) {
      batches.push([]);
      left = tokens;
    }
    batches.at(-1)!.push(row);
    left -= length;
  }
  return batches;
}

/**
 * Splits a batch into parts that are computed one after the other, each of at most so many tokens (a longer row by itself),
 * longest rows first. Rows of a length stand together, which `PackedAttention` computes together.
 */
export function microBatches(
  rows: readonly number[],
  lengths: readonly number[],
  tokens: number,
): (readonly number[])[] {
  return packTokens(
    rows.toSorted((a, b) => byLength(lengths, a, b)),
    lengths,
    tokens,
  );
}
