/** Rows that a tiny model can learn in seconds. */

const WORDS = ['fox', 'dog', 'cat', 'sun', 'red', 'big', 'tree', 'house', 'run', 'play', 'day', 'girl'];

/** Each word is answered by the next one of a fixed order. */
export function mapping(): { prompt: string; completion: string }[] {
  return WORDS.map((word, i) => ({ prompt: `the ${word}`, completion: ` ${WORDS[(i + 5) % WORDS.length]}` }));
}
