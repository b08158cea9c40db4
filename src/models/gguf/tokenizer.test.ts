/** `tokenizer.json` into GGUF's metadata. */

import { describe, expect, it } from 'vitest';
import type { GgufMetadata } from './metadata.ts';
import { ggufTokenizerMetadata } from './tokenizer.ts';

const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, use_regex: true };

const gpt2 = {
  added_tokens: [
    { id: 5, content: '<|end|>', special: true },
    { id: 6, content: '<tool>', special: false },
  ],
  pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, BYTE_LEVEL] },
  model: { type: 'BPE', vocab: { a: 0, b: 1, Ġ: 2, ab: 3, Ġab: 4 }, merges: ['a b', ['Ġ', 'ab']] },
};

const llama = {
  added_tokens: [
    { id: 0, content: '<unk>', special: true },
    { id: 1, content: '<s>', special: true },
    { id: 2, content: '</s>', special: true },
  ],
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'Prepend', prepend: '▁' },
      { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    ],
  },
  post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>' } }, { Sequence: { id: 'A' } }] },
  model: {
    type: 'BPE',
    unk_token: '<unk>',
    byte_fallback: true,
    vocab: { '<unk>': 0, '<s>': 1, '</s>': 2, '<0x0A>': 3, '▁a': 4, '▁ab': 5, '▁': 6, a: 7, b: 8 },
    merges: ['▁ a', '▁a b'],
  },
};

const values = (metadata: GgufMetadata) =>
  Object.fromEntries(
    Array.from(metadata, ([key, { value }]) => [
      key.replace('tokenizer.', ''),
      typeof value === 'object' ? [...(value as Iterable<unknown>)] : value,
    ]),
  );

describe('a byte-level tokenizer', () => {
  it('becomes "gpt2"', () => {
    const tokenizerConfig = { eos_token: { content: '<|end|>' }, chat_template: '{{ messages }}' };
    expect(
      values(ggufTokenizerMetadata(gpt2, { config: { vocab_size: 8, pad_token_id: 5 }, tokenizerConfig })),
    ).toEqual({
      'ggml.model': 'gpt2',
      'ggml.pre': 'smollm',
      'ggml.tokens': ['a', 'b', 'Ġ', 'ab', 'Ġab', '<|end|>', '<tool>', '[PAD7]'],
      'ggml.token_type': [1, 1, 1, 1, 1, 3, 4, 5],
      'ggml.merges': ['a b', 'Ġ ab'],
      'ggml.eos_token_id': 5,
      'ggml.padding_token_id': 5,
      'ggml.add_bos_token': false,
      'ggml.add_eos_token': false,
      chat_template: '{{ messages }}',
    });
  });

  it.each<[string, object, object]>([
    ['gpt-2', BYTE_LEVEL, {}],
    ['smollm', gpt2.pre_tokenizer, {}],
    [
      'llama-bpe',
      { type: 'Sequence', pretokenizers: [split(LLAMA3), { ...BYTE_LEVEL, use_regex: false }] },
      { ignore_merges: true },
    ],
    ['dbrx', { type: 'Sequence', pretokenizers: [split(LLAMA3), { ...BYTE_LEVEL, use_regex: false }] }, {}],
    [
      'qwen2',
      { type: 'Sequence', pretokenizers: [split(LLAMA3.replace('{1,3}', '')), { ...BYTE_LEVEL, use_regex: false }] },
      {},
    ],
  ])('is recognised as %s', (name, pre_tokenizer, model) => {
    const metadata = ggufTokenizerMetadata({ ...gpt2, pre_tokenizer, model: { ...gpt2.model, ...model } });
    expect(metadata.get('tokenizer.ggml.pre')?.value).toBe(name);
  });

  it('of unknown rules needs a name', () => {
    const odd = { ...gpt2, pre_tokenizer: { type: 'Sequence', pretokenizers: [split('\\w+'), BYTE_LEVEL] } };
    expect(() => ggufTokenizerMetadata(odd)).toThrow(
      /rules of GPT-2, SmolLM, Llama 3 or Qwen 2.*Pass llama\.cpp's name for it as `pre`/s,
    );
    expect(ggufTokenizerMetadata(odd, { pre: 'tekken' }).get('tokenizer.ggml.pre')?.value).toBe('tekken');
  });

  it('keeps several templates', () => {
    const tokenizerConfig = {
      chat_template: [
        { name: 'default', template: 'a' },
        { name: 'tool-use', template: 'b' },
      ],
    };
    expect(values(ggufTokenizerMetadata(gpt2, { tokenizerConfig }))).toMatchObject({
      chat_template: 'a',
      'chat_template.tool_use': 'b',
      chat_templates: ['tool_use'],
    });
    expect(values(ggufTokenizerMetadata(gpt2, { tokenizerConfig, chatTemplate: 'c' }))).toMatchObject({
      chat_template: 'c',
    });
  });
});

describe("SentencePiece's tokenizer", () => {
  it('becomes "llama", with scores in the order of the merges', () => {
    const tokenizerConfig = { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' };
    expect(values(ggufTokenizerMetadata(llama, { tokenizerConfig }))).toEqual({
      'ggml.model': 'llama',
      'ggml.pre': 'default',
      'ggml.tokens': ['<unk>', '<s>', '</s>', '<0x0A>', '▁a', '▁ab', '▁', 'a', 'b'],
      'ggml.scores': [0, 0, 0, 0, -0, -1, -2, -3, -4],
      'ggml.token_type': [2, 3, 3, 6, 1, 1, 1, 1, 1],
      'ggml.bos_token_id': 1,
      'ggml.eos_token_id': 2,
      'ggml.unknown_token_id': 0,
      'ggml.add_bos_token': true,
      'ggml.add_eos_token': false,
      'ggml.add_space_prefix': true,
    });
  });

  it('says so when no space is put before the text', () => {
    const bare = { ...llama, normalizer: null, pre_tokenizer: { type: 'Metaspace', prepend_scheme: 'never' } };
    expect(values(ggufTokenizerMetadata(bare))).toMatchObject({
      'ggml.model': 'llama',
      'ggml.add_space_prefix': false,
    });
  });
});

describe('a tokenizer of another kind', () => {
  it.each<[string, object, RegExp]>([
    ['unigram', { model: { type: 'Unigram', vocab: [] } }, /model\.type.*"Unigram"/s],
    ['nothing', {}, /model\.type/],
    ['no vocabulary', { model: { type: 'BPE', merges: [] } }, /model\.vocab/],
    [
      'an id that is none',
      { model: { type: 'BPE', vocab: { a: -1 }, merges: [] } },
      /whole numbers as ids.*-1 for "a"/s,
    ],
    ['merges of three', { ...gpt2, model: { ...gpt2.model, merges: ['a b c'] } }, /pairs of tokens.*a b c/s],
  ])('%s is refused', (_, json, message) => {
    expect(() => ggufTokenizerMetadata(json)).toThrow(message);
  });

  it('with more tokens than the embedding has rows is refused', () => {
    expect(() => ggufTokenizerMetadata(gpt2, { config: { vocab_size: 6 } })).toThrow(/vocab_size, 6.*id 6/s);
  });
});

function split(Regex: string): object {
  return { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false };
}
