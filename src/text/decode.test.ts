import { describe, expect, test } from 'vitest';
import { goldenTokenizer } from './testing/golden.ts';

const texts = ['Hello, wörld!', '漢字 🙂👩‍👩‍👧‍👧 ½', '  leading and trailing  ', 'a\ufeffb\0c', ''];

/** The same numbers on every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe.each(['gpt2', 'llama3', 'llama', 'metaspace', 'unigram'] as const)('decoding with %s', (name) => {
  const tokenizer = goldenTokenizer(name);

  test('a stream says what the whole decode says, and never half a character', () => {
    const next = random(7);
    const sequences = [
      ...texts.map((text) => tokenizer.encode(text)),
      ...Array.from({ length: 300 }, () => Array.from({ length: 12 }, () => Math.floor(next() * tokenizer.vocabSize))),
    ];
    for (const ids of sequences) {
      for (const options of [{}, { skipSpecialTokens: true }, { continuing: true }]) {
        const stream = tokenizer.decodeStream(options);
        const parts = ids.map((id) => stream.push(id));
        expect(parts.every((part) => part.isWellFormed())).toBe(true);
        expect(parts.join('') + stream.end()).toBe(tokenizer.decode(ids, options));
      }
    }
  });

  test('what is well-formed comes back in parts that have no U+FFFD', () => {
    // Metaspace puts no space before a text that begins with one, and takes one off again; unigram normalizes.
    const kept = texts.filter((text) => name !== 'unigram' && !(name === 'metaspace' && text.startsWith(' ')));
    for (const text of kept) {
      const stream = tokenizer.decodeStream();
      const parts = tokenizer.encode(text, { addSpecialTokens: false }).map((id) => stream.push(id));
      expect(parts.join('') + stream.end()).toBe(text);
    }
  });

  test('ids that no token has say nothing', () => {
    expect(tokenizer.decode([tokenizer.vocabSize + 5])).toBe('');
  });
});

test('bytes that are no UTF-8 become U+FFFD', () => {
  const tokenizer = goldenTokenizer('llama');
  const byte = (value: string) => tokenizer.tokenToId(`<0x${value}>`)!;
  expect(tokenizer.decode([byte('E6'), byte('BC')])).toBe('\ufffd');
  expect(tokenizer.decode([byte('E6'), byte('BC'), byte('A2'), byte('FF')])).toBe('漢\ufffd');
});
