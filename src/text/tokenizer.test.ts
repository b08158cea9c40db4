import { describe, expect, test } from 'vitest';
import { goldenTokenizer } from './testing/golden.ts';
import { Tokenizer } from './tokenizer.ts';

const llama3 = goldenTokenizer('llama3', {
  'tokenizer_config.json': { bos_token: '<s>', eos_token: { content: '</s>' } },
});
const llama = goldenTokenizer('llama', {
  'special_tokens_map.json': { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' },
});

const message = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return 'nothing was thrown';
};

describe('special tokens', () => {
  test('are read from the files beside tokenizer.json', () => {
    expect([llama3.bosId, llama3.eosId, llama3.unkId]).toEqual([520, 521, undefined]);
    expect([llama.bosId, llama.eosId, llama.unkId]).toEqual([1, 2, 0]);
    expect(llama.vocabSize).toBe(640);
    expect([llama.isSpecial(1), llama.isSpecial(300)]).toEqual([true, false]);
  });

  test('all ends of text come from generation_config.json too', () => {
    const files = {
      'tokenizer_config.json': { eos_token: '</s>' },
      'generation_config.json': { eos_token_id: [523, 521] },
    };
    expect(goldenTokenizer('llama3', files).eosIds).toEqual([521, 523]);
  });

  test('add_bos_token in tokenizer_config.json has the last word', () => {
    const config = (add_bos_token: boolean) => ({ 'tokenizer_config.json': { bos_token: '<s>', add_bos_token } });
    expect(goldenTokenizer('llama3', config(false)).encode('a')).toEqual(llama3.encode('a').slice(1));
    expect(goldenTokenizer('llama3', config(true)).encode('a')).toEqual(llama3.encode('a'));
  });

  test('that the vocabulary lacks are an error', () => {
    expect(() => goldenTokenizer('gpt2', { 'tokenizer_config.json': { bos_token: '<s>' } })).toThrow(/gpt2: bos_token/);
  });

  test('a text is not begun twice', () => {
    expect(message(() => llama3.encode('<s>Hello'))).toMatchInlineSnapshot(`
      "The text would begin with the beginning-of-text token twice.
        where:    llama3
        expected: a text that does not say <s> itself
        remedy:   Pass { addSpecialTokens: false }: a chat template has written it already."
    `);
    expect(llama3.encode('<s>Hello', { addSpecialTokens: false })).toEqual(llama3.encode('Hello'));
  });

  test('in a text of strangers stay letters', () => {
    const ids = llama3.encode('</s>', { addSpecialTokens: false, parseSpecialTokens: false });
    expect(ids.includes(llama3.eosId!)).toBe(false);
    expect(llama3.decode(ids)).toBe('</s>');
  });
});

describe('padding', () => {
  const config = { 'tokenizer_config.json': { eos_token: '<|im_end|>', pad_token: '<|im_end|>' } };

  test('is never silently the end of text', () => {
    expect(message(() => goldenTokenizer('chatml', config).padId)).toMatchInlineSnapshot(`
      "The padding token "<|im_end|>" also ends texts.
        where:    chatml
        expected: a padding token of its own: a loss that leaves padding out would leave out every end of text
        received: pad = 522, ends = 522
        remedy:   Choose one when you load: { pad: '<token>' }. This vocabulary offers "<|endoftext|>". Where every loss has a mask of its own, { pad: { token: "<|im_end|>", mayEndText: true } } says so."
    `);
  });

  test("may be another end of text, as in Qwen's files", () => {
    const files = { ...config, 'generation_config.json': { eos_token_id: [520, 522] } };
    expect(goldenTokenizer('chatml', files, { pad: '<|endoftext|>' }).padId).toBe(520);
  });

  test('is the token that was chosen', () => {
    expect(goldenTokenizer('chatml', config, { pad: '<|endoftext|>' }).padId).toBe(520);
    expect(goldenTokenizer('chatml', config, { pad: 521 }).padId).toBe(521);
    expect(goldenTokenizer('chatml', config, { pad: { token: '<|im_end|>', mayEndText: true } }).padId).toBe(522);
  });

  test('that is missing or unknown is an error that says what there is', () => {
    expect(message(() => goldenTokenizer('chatml').padId)).toContain('offers "<|endoftext|>"');
    expect(message(() => goldenTokenizer('chatml', {}, { pad: '<pad>' }).padId)).toContain(
      '"<pad>", which is no token',
    );
    expect(message(() => goldenTokenizer('chatml', {}, { pad: 99_999 }).padId)).toContain('id 99999');
  });
});

describe('what stands before a text', () => {
  test('decides whether a space is put before it', () => {
    const plain = { addSpecialTokens: false };
    const tokens = (after: 'nothing' | 'text' | 'token') =>
      llama.encode('the', { ...plain, after }).map((id) => llama.idToToken(id));
    expect(tokens('nothing')).toEqual(['▁the']);
    expect(tokens('token')).toEqual(['▁the']);
    expect(tokens('text')).toEqual(['t', 'he']);
  });

  test('decides whether the space is taken off again', () => {
    const ids = llama.encode('the girl', { addSpecialTokens: false });
    expect(llama.decode(ids)).toBe('the girl');
    expect(llama.decode(ids, { continuing: true })).toBe(' the girl');
  });
});

describe('hostile texts', () => {
  const names = ['gpt2', 'llama3', 'llama', 'metaspace', 'unigram', 'nfc'] as const;
  const megabyte: Record<string, string> = {
    'one word': 'ab'.repeat(500_000),
    'one letter': 'a'.repeat(1_000_000),
    spaces: ' '.repeat(1_000_000),
    'spaces and a letter': `${' '.repeat(1_000_000)}ش`,
    signs: '='.repeat(1_000_000),
    zeros: '\0'.repeat(500_000),
    'line breaks': '\n '.repeat(500_000),
  };

  test.each(names)('%s: a megabyte without a place to cut it', (name) => {
    const tokenizer = goldenTokenizer(name);
    for (const [kind, text] of Object.entries(megabyte)) {
      const ids = tokenizer.encode(text, { addSpecialTokens: false });
      expect(ids.length, kind).toBeGreaterThan(0);
      if (name === 'unigram' || (name === 'metaspace' && text.startsWith(' '))) continue;
      expect(tokenizer.decode(ids) === text, kind).toBe(true);
    }
  });

  test('lone surrogates become U+FFFD, whatever stands around them', () => {
    for (const name of names) {
      const tokenizer = goldenTokenizer(name);
      const ids = tokenizer.encode('a\ud800b\udc00', { addSpecialTokens: false });
      expect(ids).toEqual(tokenizer.encode('a\ufffdb\ufffd', { addSpecialTokens: false }));
      expect(tokenizer.encodeWithOffsets('a\ud800b', { addSpecialTokens: false }).offsets.at(-1)).toEqual([2, 3]);
    }
  });

  test('words named like properties of objects are words', () => {
    for (const text of ['__proto__', 'constructor', 'toString']) {
      expect(llama3.decode(llama3.encode(text, { addSpecialTokens: false }))).toBe(text);
    }
  });
});

describe('corrupt files', () => {
  const load = (text: string) => Tokenizer.fromFiles(new Map([['tokenizer.json', text]]), 'model');
  const good = JSON.parse(llama3.files.get('tokenizer.json')!);
  const broken = (change: (json: typeof good) => void): string => {
    const json = structuredClone(good);
    change(json);
    return message(() => load(JSON.stringify(json)));
  };

  test('name file and field', () => {
    expect(message(() => load('version https://git-lfs'))).toMatch(/model\/tokenizer\.json[\s\S]*Git LFS/);
    expect(message(() => load('[]'))).toMatch(
      /where: {4}model\/tokenizer\.json\n {2}expected: an object\n {2}received: \[\]/,
    );
    expect(broken((json) => delete json.model)).toMatch(/tokenizer\.json: model/);
    expect(broken((json) => (json.model.type = 'WordPiece'))).toMatch(/: model\.type\n.*BPE or Unigram\n.*"WordPiece"/);
    expect(broken((json) => (json.model.vocab = null))).toMatch(/: model\.vocab\n.*an object\n.*null/);
    expect(broken((json) => (json.model.vocab.x = 1e9))).toMatch(/model\.vocab\["x"\][\s\S]*1000000000/);
    expect(broken((json) => (json.model.merges[3] = ['a']))).toMatch(/model\.merges\[3\]/);
    expect(broken((json) => (json.model.merges[3] = ['a', '漢']))).toMatch(/model\.merges\[3\][\s\S]*"漢" is not/);
    expect(broken((json) => (json.added_tokens[1].id = -1))).toMatch(/added_tokens\[1\]\.id[\s\S]*-1/);
    expect(broken((json) => (json.pre_tokenizer.pretokenizers[0].pattern.Regex = '('))).toMatch(
      /pretokenizers\[0\]\.pattern/,
    );
    expect(broken((json) => (json.pre_tokenizer.pretokenizers[0].type = 'New'))).toMatch(
      /pretokenizers\[0\]\.type[\s\S]*"New"/,
    );
    expect(broken((json) => (json.decoder.type = 'CTC'))).toMatch(/decoder\.type/);
  });
});
