import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadTokenizer } from './load.ts';
import { saveTokenizer } from './save.ts';
import { goldenTokenizer } from './testing/golden.ts';
import { hasSharedData, sharedData, skipReason } from './testing/shared.ts';

const root = mkdtempSync(join(tmpdir(), 'nudge-text-'));
afterAll(() => rmSync(root, { recursive: true }));

const folderWith = (name: string, files: Record<string, string | Uint8Array>): string => {
  const folder = mkdtempSync(join(root, name));
  for (const [file, content] of Object.entries(files)) writeFileSync(join(folder, file), content);
  return folder;
};

const json = goldenTokenizer('llama3').files.get('tokenizer.json')!;

describe('a Hugging Face directory', () => {
  test('with all that may stand in it', async () => {
    const folder = folderWith('full', {
      'tokenizer.json': json,
      'tokenizer_config.json': JSON.stringify({ bos_token: '<s>' }),
      'special_tokens_map.json': JSON.stringify({ eos_token: { content: '</s>' } }),
      'generation_config.json': JSON.stringify({ eos_token_id: [521, 523] }),
      'chat_template.jinja': '{{ messages[0].content }}',
    });
    const tokenizer = await loadTokenizer(folder);
    expect([tokenizer.bosId, tokenizer.eosIds, tokenizer.chatTemplate?.text]).toEqual([
      520,
      [521, 523],
      '{{ messages[0].content }}',
    ]);
  });

  test('is written back byte for byte', async () => {
    const config = '{ "bos_token":   "<s>", "unknown_field": 1e400 }\n'.replace('1e400', '[1]');
    const folder = folderWith('original', { 'tokenizer.json': `${json}\n\n`, 'tokenizer_config.json': config });
    const copy = join(root, 'copy');
    await saveTokenizer(await loadTokenizer(folder), copy);
    expect(readdirSync(copy).sort()).toEqual(['tokenizer.json', 'tokenizer_config.json']);
    for (const file of readdirSync(copy))
      expect(readFileSync(join(copy, file))).toEqual(readFileSync(join(folder, file)));
    await expect(saveTokenizer(await loadTokenizer(folder), copy)).rejects.toThrow(/There is a tokenizer already/);
    await saveTokenizer(await loadTokenizer(folder), copy, { force: true });
  });

  test.skipIf(!hasSharedData)(`of a real model (skipped when ${skipReason})`, async () => {
    const tokenizer = await loadTokenizer(`${sharedData}/models/stories260K`);
    expect(tokenizer.vocabSize).toBe(512);
    expect(tokenizer.encode('Once upon a time').map((id) => tokenizer.idToToken(id))).toEqual([
      '<s>',
      '▁Once',
      '▁upon',
      '▁a',
      '▁time',
    ]);
    const characters = await loadTokenizer(`${sharedData}/models/babyllama-tok105`);
    expect(characters.decode(characters.encode('Once upon a time'), { skipSpecialTokens: true })).toBe(
      'Once upon a time',
    );
  });
});

describe('other files', () => {
  test('GPT-2’s vocab.json and merges.txt', async () => {
    const { vocab, merges } = JSON.parse(goldenTokenizer('gpt2').files.get('tokenizer.json')!).model;
    const lines = merges.map((merge: string | string[]) => (Array.isArray(merge) ? merge.join(' ') : merge));
    const folder = folderWith('gpt2', {
      'vocab.json': JSON.stringify(vocab),
      'merges.txt': ['#version: 0.2', ...lines, ''].join('\n'),
    });
    const text = "Hello, y'all! The quick brown fox  jumps 1234";
    expect((await loadTokenizer(folder)).encode(text)).toEqual(goldenTokenizer('gpt2').encode(text));
  });

  test('tiktoken, with special tokens of its own', async () => {
    const line = (token: string, rank: number) => `${Buffer.from(token, 'latin1').toString('base64')} ${rank}`;
    const bytes = Array.from({ length: 256 }, (_, byte) => line(String.fromCharCode(byte), byte));
    const folder = folderWith('tiktoken', {
      'tokenizer.model': [...bytes, line('he', 256), line(' he', 257), ''].join('\n'),
    });
    const tokenizer = await loadTokenizer(folder, { tiktoken: { specialTokens: { '<|end|>': 258 } } });
    expect(tokenizer.encode('he he<|end|>')).toEqual([256, 257, 258]);
  });

  test.skipIf(!hasSharedData)(`pruned vocabularies of torchtune (skipped when ${skipReason})`, async () => {
    const tokenizer = await loadTokenizer(`${sharedData}/fixtures/torchtune/vocab.json`);
    const text = 'Hello world, 漢字 🙂';
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test('that are missing or damaged are named', async () => {
    await expect(loadTokenizer(join(root, 'nowhere'))).rejects.toThrow(/no such file or directory/);
    await expect(loadTokenizer(folderWith('empty', {}))).rejects.toThrow(/There is no tokenizer here/);
    const damaged = (content: string | Uint8Array) =>
      loadTokenizer(join(folderWith('bad', { 'x.model': content }), 'x.model'));
    await expect(damaged('version https://git-lfs.github.com/spec/v1\n')).rejects.toThrow(/not a SentencePiece model/);
    await expect(damaged(new Uint8Array())).rejects.toThrow(/expected: pieces/);
    await expect(damaged('AA== 0\nnonsense\n')).rejects.toThrow(/line 2/);
    await expect(loadTokenizer(folderWith('binary', { 'tokenizer.json': Uint8Array.of(0xff, 0xfe) }))).rejects.toThrow(
      /not UTF-8/,
    );
  });
});
