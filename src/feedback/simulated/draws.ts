/** Draws that only their name decides: the same labeller judges the same task the same way, in any order and any process. */
import { createHash } from 'node:crypto';

export interface Draws {
  /** Uniform in (0, 1), never 0 or 1. */
  uniform(): number;
  /** Standard normal (Box-Muller). */
  normal(): number;
  /** Standard Gumbel, mean 0.577: argmax over u + Gumbel chooses by softmax(u), and their order is Plackett-Luce's. */
  gumbel(): number;
  /** A whole number from 0 to n - 1. */
  below(n: number): number;
}

/** Counter mode over SHA-256, 53 bits a draw. */
export function drawsOf(...name: readonly (string | number)[]): Draws {
  const key = JSON.stringify(name);
  let block = Buffer.alloc(0);
  let count = 0;
  const uniform = (): number => {
    if (count % 4 === 0)
      block = createHash('sha256')
        .update(`${key} ${count / 4}`)
        .digest();
    const bits = block.readBigUInt64LE((count++ % 4) * 8) >> 11n;
    return (Number(bits) + 0.5) / 2 ** 53;
  };
  return {
    uniform,
    normal: () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
    gumbel: () => -Math.log(-Math.log(uniform())),
    below: (n) => Math.floor(uniform() * n),
  };
}
