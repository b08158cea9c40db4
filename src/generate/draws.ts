/**
 * Random numbers that depend on nothing but where they are used: a hash of seed, completion and token.
 *
 * A generator with a state would give other numbers when other requests draw from it in between.
 */

/** Uniform in [0, 1), with 53 bits: a function of (seed, completion, token) alone. */
export function draw(seed: number, completion: number, token: number): number {
  let [a, b] = [0x9e3779b9, 0x85ebca6b];
  for (const word of [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, completion >>> 0, token >>> 0]) {
    a = mix(a ^ word);
    b = mix((b + a + Math.imul(word, 0xc2b2ae35)) >>> 0);
  }
  a = mix(a + b);
  b = mix(b ^ a);
  return ((a >>> 5) * 2 ** 26 + (b >>> 6)) / 2 ** 53;
}

/** MurmurHash3's finaliser: every bit of the result depends on every bit of the word. */
function mix(word: number): number {
  let x = word >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
