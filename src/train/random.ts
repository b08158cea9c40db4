/**
 * Randomness without state. Every draw of a training run comes from (seed, what it is for, epoch or step), never from how far a
 * global generator has got: so a resumed run needs no generator's state, and adding a draw in one place changes none elsewhere.
 */
import { createHash } from 'node:crypto';
import { NudgeError } from '../errors.ts';
import { type Device, Generator } from '../tensor/index.ts';

/** A seed for one purpose: a whole number from 0 to 2^53 - 1, unrelated for different labels (SHA-256). */
export function deriveSeed(seed: number, ...labels: readonly (string | number)[]): number {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new NudgeError('BAD_ARGUMENT', 'A seed is a whole number from 0 to 2^53 - 1.', {
      path: 'seed',
      received: String(seed),
    });
  }
  // As JSON, so that ('a', 'bc') and ('ab', 'c') differ, and 1 and '1' too.
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, ...labels]))
    .digest();
  return Number(digest.readBigUInt64LE(0) >> 11n);
}

/** A generator of libtorch's for one purpose. */
export function generatorFor(device: Device, seed: number, ...labels: readonly (string | number)[]): Generator {
  return new Generator({ seed: deriveSeed(seed, ...labels), device });
}

/** Draws in JavaScript: sfc32 (Doty-Humphrey's small fast counting generator), its state filled from the seed by SHA-256. */
export class Draws {
  readonly #state = new Uint32Array(4);

  constructor(seed: number, ...labels: readonly (string | number)[]) {
    const digest = createHash('sha256')
      .update(JSON.stringify(['draws', deriveSeed(seed, ...labels)]))
      .digest();
    for (let i = 0; i < 4; i++) this.#state[i] = digest.readUInt32LE(4 * i);
    for (let i = 0; i < 12; i++) this.#next();
  }

  #next(): number {
    const s = this.#state;
    const [a, b, c, d] = [s[0]!, s[1]!, s[2]!, s[3]!];
    const sum = (a + b + d) >>> 0;
    s[3] = d + 1;
    s[0] = b ^ (b >>> 9);
    s[1] = c + (c << 3);
    s[2] = ((c << 21) | (c >>> 11)) + sum;
    return sum;
  }

  /** From [0, 1), with 53 random bits. */
  uniform(): number {
    return ((this.#next() >>> 5) * 2 ** 26 + (this.#next() >>> 6)) / 2 ** 53;
  }

  /** A whole number from 0 to `limit - 1`. */
  below(limit: number): number {
    return Math.floor(this.uniform() * limit);
  }
}

/** The numbers 0 to `count - 1` in a random order (Fisher and Yates), the same for the same seed and labels. */
export function permutation(count: number, seed: number, ...labels: readonly (string | number)[]): number[] {
  const draws = new Draws(seed, ...labels);
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = draws.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
