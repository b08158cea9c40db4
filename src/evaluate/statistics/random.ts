/** Random numbers that a seed decides: the same intervals on every machine. xoshiro128** (Blackman and Vigna, 2018). */

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

/** A function that gives numbers in [0, 1), 32 bits each. @param seed any number; its integer part counts, up to 2^53. */
export function uniform(seed: number): () => number {
  // splitmix32 over both halves of the seed fills the state; it never gives four zeros.
  let mixed = (Math.trunc(seed) >>> 0) ^ Math.imul(Math.trunc(seed / 2 ** 32), 0x9e3779b9);
  const next = (): number => {
    mixed = (mixed + 0x9e3779b9) | 0;
    let z = mixed;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let [a, b, c, d] = [next(), next(), next(), next()];
  return () => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11);
    return result / 2 ** 32;
  };
}
