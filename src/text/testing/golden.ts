/** The small tokenizers of tests/golden/data, to try things on. */

import { readFileSync } from 'node:fs';
import { Tokenizer, type TokenizerOptions } from '../tokenizer.ts';

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../tests/golden/data/${name}`, import.meta.url), 'utf8'));

export type GoldenName = 'gpt2' | 'llama3' | 'nfc' | 'added' | 'llama' | 'metaspace' | 'unigram' | 'chatml';

/** @param files more files beside tokenizer.json, as objects or text */
export function goldenTokenizer(
  name: GoldenName,
  files: Record<string, unknown> = {},
  options: TokenizerOptions = {},
): Tokenizer {
  const json =
    name === 'chatml'
      ? read('text-chat.json').tokenizers.chatml['tokenizer.json']
      : read('text-tokenizers.json').find((entry: { name: string }) => entry.name === name).tokenizer;
  const more = Object.entries(files).map(
    ([file, value]) => [file, typeof value === 'string' ? value : JSON.stringify(value)] as const,
  );
  return Tokenizer.fromFiles(new Map([['tokenizer.json', JSON.stringify(json)], ...more]), name, options);
}
