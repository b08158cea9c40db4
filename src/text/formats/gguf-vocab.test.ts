/** llama.cpp's own tokenizer cases: every text of every `.inp` becomes the ids of its `.out`. */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readVocabularyFile } from '../testing/gguf.ts';
import { hasSharedData, sharedData, skipReason } from '../testing/shared.ts';
import { tokenizerFromGguf } from './gguf.ts';

const folder = `${sharedData}/fixtures/gguf_vocab`;
const kinds = hasSharedData
  ? readdirSync(folder).flatMap((name) => /^ggml-vocab-(.+)\.gguf\.inp$/.exec(name)?.[1] ?? [])
  : [];

describe.skipIf(!hasSharedData)(`the vocabularies of llama.cpp (skipped when ${skipReason})`, () => {
  for (const kind of kinds.filter((name) => !name.startsWith('bert'))) {
    const path = `${folder}/ggml-vocab-${kind}.gguf`;
    test(kind, () => {
      const tokenizer = tokenizerFromGguf(readVocabularyFile(path), path);
      const texts = readFileSync(`${path}.inp`, 'utf8').split('\n__ggml_vocab_test__\n').slice(0, -1);
      const expected = readFileSync(`${path}.out`, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => line.trim());
      const options = { addSpecialTokens: false, parseSpecialTokens: false };
      const actual = texts.map((text) => tokenizer.encode(text, options).join(' '));
      expect(actual).toEqual(expected);
      expect(actual).toHaveLength(46);
      for (const text of texts) {
        expect(tokenizer.encodeWithOffsets(text, options).ids, 'with offsets').toEqual(tokenizer.encode(text, options));
        expect(tokenizer.decode(tokenizer.encode(text, options))).toBe(text);
      }
    });
  }

  test('an encoder such as BERT is refused by name', () => {
    const metadata = { 'tokenizer.ggml.model': 'bert' };
    expect(() => tokenizerFromGguf(metadata, 'bert.gguf')).toThrow(/gpt2 \(byte-level BPE\) or llama[\s\S]*"bert"/);
  });
});
