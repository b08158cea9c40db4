import { describe, expect, test } from 'vitest';
import { spellBytes } from '../bytes.ts';
import { renderChat } from '../chat/render.ts';
import { tokenizerFiles } from '../save.ts';
import { Tokenizer } from '../tokenizer.ts';
import { tokenizerFromGguf } from './gguf.ts';
import { preTokenizerKinds } from './patterns.ts';

const bytes = Array.from({ length: 256 }, (_, byte) => spellBytes(Uint8Array.of(byte)));
const byteLevel = {
  'tokenizer.ggml.model': 'gpt2',
  'tokenizer.ggml.pre': 'qwen2',
  'tokenizer.ggml.tokens': [...bytes, 'he', 'Ġhe', '<|im_start|>', '<|im_end|>', '<tool>'],
  'tokenizer.ggml.token_type': Int32Array.from([...bytes.map(() => 1), 1, 1, 3, 3, 4]),
  'tokenizer.ggml.merges': ['h e', 'Ġ he'],
  'tokenizer.ggml.eos_token_id': 258,
  'tokenizer.ggml.bos_token_id': 258n,
  'tokenizer.chat_template': "{{ messages[0].content + '<|im_end|>' }}",
};

const pieces = [
  '<unk>',
  '<s>',
  '</s>',
  ...Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`),
];
const sentencePiece = {
  'tokenizer.ggml.model': 'llama',
  'tokenizer.ggml.tokens': [...pieces, '▁', '▁▁', '▁▁▁', 'a', 'aa', 'aaa', '▁a'],
  'tokenizer.ggml.scores': [...pieces.map(() => 0), -9, -1, -1, -9, -1, -1, -5],
  'tokenizer.ggml.token_type': [2, 3, 3, ...Array(256).fill(6), 1, 1, 1, 1, 1, 1, 1],
};

const tokensOf = (tokenizer: Tokenizer, text: string) => tokenizer.encode(text).map((id) => tokenizer.idToToken(id));

describe('byte-level BPE', () => {
  const tokenizer = tokenizerFromGguf(byteLevel, 'tiny.gguf');

  test('encodes, with special tokens and plain added ones', () => {
    expect(tokensOf(tokenizer, 'he he<tool>\n<|im_end|>')).toEqual(['he', 'Ġhe', '<tool>', 'Ċ', '<|im_end|>']);
    expect(tokenizer.encode('<|im_end|>', { parseSpecialTokens: false })).toHaveLength(10);
    expect(tokenizer.encode('<tool>', { parseSpecialTokens: false })).toHaveLength(1);
  });

  test('knows its chat template and every end of a turn', () => {
    expect(renderChat(tokenizer, [{ role: 'user', content: 'he' }]).ids).toEqual([256, 259]);
    expect([tokenizer.eosId, tokenizer.eosIds]).toEqual([258, [258, 259]]);
  });

  test('takes values that stand beside their type', () => {
    const typed = new Map(Object.entries(byteLevel).map(([key, value]) => [key, { type: 'any', value }]));
    expect(tokenizerFromGguf(typed, 'typed.gguf').files).toEqual(tokenizer.files);
  });

  test('puts a beginning before texts only where the file or the kind says so', () => {
    expect(tokenizer.frame.prefix).toEqual([]);
    expect(tokenizerFromGguf({ ...byteLevel, 'tokenizer.ggml.add_bos_token': true }, 'x').frame.prefix).toEqual([258]);
    expect(tokenizerFromGguf({ ...byteLevel, 'tokenizer.ggml.pre': 'llama-bpe' }, 'x').frame.prefix).toEqual([258]);
  });

  test('is the same once saved and read again', () => {
    const again = Tokenizer.fromFiles(tokenizerFiles(tokenizer), 'saved');
    for (const text of ['he he', ' he<tool><|im_end|>', '漢字 123', '']) {
      expect(again.encode(text)).toEqual(tokenizer.encode(text));
    }
    expect(again.special).toEqual(tokenizer.special);
    expect(again.chatTemplate?.text).toBe(tokenizer.chatTemplate?.text);
  });

  test('every kind of pre-tokenizer compiles and keeps all of a text', () => {
    const text = "I'm 12345 he's\tDÉJÀ vu, naïve!  漢字かな\r\n\n  x-y_z ½²٣ 🙂 …";
    for (const kind of preTokenizerKinds()) {
      const made = tokenizerFromGguf({ ...byteLevel, 'tokenizer.ggml.pre': kind }, kind);
      expect(made.decode(made.encode(text, { addSpecialTokens: false })), kind).toBe(text);
    }
  });
});

describe('SentencePiece', () => {
  const tokenizer = tokenizerFromGguf(new Map(Object.entries(sentencePiece)), 'tiny.gguf');

  test('merges by score, leftmost first, and falls back to bytes', () => {
    expect(tokensOf(tokenizer, 'a')).toEqual(['<s>', '▁a']);
    // "aa" and "aaa" are equally good, so what can be merged further left is merged first.
    expect(tokensOf(tokenizer, 'aaaaa')).toEqual(['<s>', '▁', 'aaa', 'aa']);
    expect(tokensOf(tokenizer, 'é')).toEqual(['<s>', '▁', '<0xC3>', '<0xA9>']);
    expect(tokenizer.decode(tokenizer.encode(' é\n a'), { skipSpecialTokens: true })).toBe(' é\n a');
  });

  test('puts a space before a text unless the file says otherwise', () => {
    const plain = tokenizerFromGguf({ ...sentencePiece, 'tokenizer.ggml.add_space_prefix': false }, 'x');
    expect(tokensOf(plain, 'a')).toEqual(['<s>', 'a']);
    expect(plain.decode(plain.encode(' a'), { skipSpecialTokens: true })).toBe(' a');
  });

  test('an unknown token of its own, bytes and control tokens are never spelled by text', () => {
    expect(tokenizer.encode('<s>', { addSpecialTokens: false, parseSpecialTokens: false })).not.toContain(1);
    expect(tokenizer.encode('<0x41>', { addSpecialTokens: false })).not.toContain(tokenizer.tokenToId('<0x41>'));
  });
});

describe('metadata that cannot be used', () => {
  const refused = (change: Record<string, unknown>) => () => tokenizerFromGguf({ ...byteLevel, ...change }, 'bad.gguf');

  test('is named by its key', () => {
    expect(refused({ 'tokenizer.ggml.model': undefined })).toThrow(/bad\.gguf: tokenizer\.ggml\.model/);
    expect(refused({ 'tokenizer.ggml.pre': 'martian' })).toThrow(
      /tokenizer\.ggml\.pre[\s\S]*one of default, gpt-2[\s\S]*"martian"/,
    );
    expect(refused({ 'tokenizer.ggml.tokens': ['a', 'a'] })).toThrow(/2, of which 1 differ/);
    expect(refused({ 'tokenizer.ggml.tokens': 'abc' })).toThrow(/a list of strings/);
    expect(refused({ 'tokenizer.ggml.merges': undefined })).toThrow(/tokenizer\.ggml\.merges/);
    expect(refused({ 'tokenizer.ggml.merges': ['h'] })).toThrow(/model\.merges\[0\]/);
    expect(refused({ 'tokenizer.ggml.token_type': [1] })).toThrow(/here are 1/);
    expect(() => tokenizerFromGguf({ ...sentencePiece, 'tokenizer.ggml.scores': undefined }, 'x')).toThrow(
      /ggml\.scores/,
    );
  });
});
