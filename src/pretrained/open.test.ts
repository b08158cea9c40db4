import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createModel,
  ggufTokenizerMetadata,
  openGguf,
  PackedAttention,
  resolveModel,
  saveGgufModel,
  saveModel,
  writeGguf,
} from '../models/index.ts';
import { sharedData } from '../models/testing.ts';
import { torch } from '../tensor/index.ts';
import { ChatTemplate, renderChat, Tokenizer, tokenizerFiles } from '../text/index.ts';
import { chooseDtype, type DtypeSituation } from './dtype.ts';
import { openPretrained } from './open.ts';
import { companionFiles, savePretrained, savePretrainedGguf } from './save.ts';

const CONFIG = {
  model_type: 'llama',
  vocab_size: 8,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 64,
  eos_token_id: 1,
};
const TOKENS = ['<s>', '</s>', '<|endoftext|>', 'a', 'b', 'c', 'd', 'e'];

/** A character tokenizer with these special tokens named. */
function tokenizer(named: Record<string, string>): Tokenizer {
  const json = {
    version: '1.0',
    added_tokens: TOKENS.slice(0, 3).map((content, id) => ({
      id,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])), merges: [] },
  };
  const files = { 'tokenizer.json': json, 'tokenizer_config.json': named };
  return Tokenizer.fromFiles(new Map(Object.entries(files).map(([k, v]) => [k, JSON.stringify(v)])), 'a test');
}

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nudge-pretrained-'));
  using model = createModel(CONFIG, { dtype: 'float32' });
  const own = tokenizer({ bos_token: '<s>', eos_token: '</s>', pad_token: '</s>' });
  await saveModel(join(folder, 'hf'), model, { files: tokenizerFiles(own) });
  await saveModel(join(folder, 'unpadded'), model, { files: tokenizerFiles(tokenizer({ eos_token: '</s>' })) });
  const metadata = ggufTokenizerMetadata(JSON.parse(own.files.get('tokenizer.json')!), {
    config: CONFIG,
    tokenizerConfig: JSON.parse(own.files.get('tokenizer_config.json')!),
    chatTemplate: ChatTemplate.builtin('zephyr').text,
  });
  const tensors = new Map(model.namedParameters());
  await saveGgufModel(join(folder, 'm.gguf'), { config: CONFIG, tensors, tokenizer: metadata }, { type: 'F32' });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function logitsOf({ model }: Awaited<ReturnType<typeof openPretrained>>): number[] {
  return torch.scope(() =>
    torch.noGrad(() => {
      const hidden = model.forward(torch.tensor([3, 4, 5], { dtype: 'int64' }), new PackedAttention([3])); // [3, D]
      return model.logits(hidden).flatten().tolist() as number[];
    }),
  );
}

describe('openPretrained', () => {
  test('opens a Hugging Face directory and a GGUF file: the same model, tokenizer and padding', async () => {
    using directory = await openPretrained(join(folder, 'hf'));
    using gguf = await openPretrained(join(folder, 'm.gguf'));
    expect(logitsOf(gguf)).toEqual(logitsOf(directory));
    for (const { tokenizer, model } of [directory, gguf]) {
      expect(model.dtype).toBe('float32');
      expect(tokenizer.encode('abc')).toEqual([3, 4, 5]);
      // The files say that </s> pads, which also ends texts.
      expect(tokenizer.eosId).toBe(1);
      expect(tokenizer.padId).toBe(2);
    }
    expect(directory.resolved.kind).toBe('hf-directory');
    expect(directory.model.source).toBe(join(folder, 'hf'));
    expect(gguf.resolved.kind).toBe('gguf');
  });

  test('opens a GGUF file in parts by any of them', async () => {
    await using whole = await openGguf(join(folder, 'm.gguf'));
    const names = [...whole.tensors.keys()];
    const halves = [names.slice(0, 7), names.slice(7)];
    for (const [i, half] of halves.entries()) {
      const part = Promise.all(
        half.map(async (name) => {
          const { type, shape } = whole.info(name);
          const bytes = await whole.read(name);
          return [name, { type, shape, bytes: () => [bytes] }] as const;
        }),
      );
      const split = [
        ['split.no', { type: 'uint16', value: i }],
        ['split.count', { type: 'uint16', value: 2 }],
        ['split.tensors.count', { type: 'int32', value: names.length }],
      ] as const;
      const metadata = new Map([...(i === 0 ? whole.metadata : []), ...split]);
      await writeGguf(join(folder, `parts-0000${i + 1}-of-00002.gguf`), metadata, await part);
    }
    using complete = await openPretrained(join(folder, 'm.gguf'));
    for (const i of [1, 2]) {
      using parts = await openPretrained(join(folder, `parts-0000${i}-of-00002.gguf`));
      expect(logitsOf(parts)).toEqual(logitsOf(complete));
      expect(parts.tokenizer.chatTemplate?.text).toBe(complete.tokenizer.chatTemplate?.text);
    }
  });

  test('takes the dtype, the head and the padding that it is given', async () => {
    using scorer = await openPretrained(join(folder, 'hf'), { dtype: 'bfloat16', head: 'score', pad: 'e' });
    expect(scorer.model.dtype).toBe('bfloat16');
    expect(scorer.model.lm_head).toBeNull();
    expect(scorer.model.score).not.toBeNull();
    expect(scorer.tokenizer.padId).toBe(7);
    using gguf = await openPretrained(join(folder, 'm.gguf'), {
      head: 'value',
      pad: { token: '</s>', mayEndText: true },
    });
    expect(gguf.model.score).not.toBeNull();
    expect(gguf.tokenizer.padId).toBe(1);
  });

  test('chooses a padding where the files name none', async () => {
    using opened = await openPretrained(join(folder, 'unpadded'));
    expect(opened.tokenizer.padId).toBe(2);
  });

  test('saves what came from either as either: the same model, ends of text and template', async () => {
    using gguf = await openPretrained(join(folder, 'm.gguf'));
    await savePretrained(join(folder, 'saved'), gguf);
    using saved = await openPretrained(join(folder, 'saved'));
    await savePretrainedGguf(join(folder, 'deep', 'again.gguf'), saved, { type: 'F32' });
    using again = await openPretrained(join(folder, 'deep', 'again.gguf'));
    await savePretrainedGguf(join(folder, 'copy.gguf'), again, { type: 'F32' });
    using copy = await openPretrained(join(folder, 'copy.gguf'));
    const chat = [{ role: 'user', content: 'abc' }];
    for (const opened of [saved, again, copy]) {
      expect(logitsOf(opened)).toEqual(logitsOf(gguf));
      expect(opened.tokenizer.eosIds).toEqual(gguf.tokenizer.eosIds);
      expect(renderChat(opened.tokenizer, chat)).toEqual(renderChat(gguf.tokenizer, chat));
    }
    expect(companionFiles(saved).size).toBe(0);
    await expect(savePretrainedGguf(join(folder, 'copy.gguf'), copy)).rejects.toThrow(/exists/);
    using scorer = await openPretrained(join(folder, 'hf'), { head: 'score' });
    await expect(savePretrainedGguf(join(folder, 'scorer.gguf'), scorer)).rejects.toThrow(/no place for its head/);
  });

  test('says what is not there', async () => {
    await expect(openPretrained(join(folder, 'nothing'))).rejects.toThrow(/nothing at this path/);
    await expect(openPretrained('no-such/model', { offline: true })).rejects.toThrow(/nothing was to be fetched/);
    await expect(openPretrained(join(folder, 'hf'), { device: 'cuda:99' })).rejects.toThrow(
      /device is not here[\s\S]*expected: cpu[\s\S]*received: cuda:99/,
    );
  });
});

test('SmolLM2 from the cache has a padding of its own, and goes on with a sentence', async ({ skip }) => {
  const here = await resolveModel('smollm2-135m-instruct', { offline: true }).catch(() => null);
  if (here === null) return skip('SmolLM2 is not in the cache; `nudge models pull smollm2-135m-instruct` fetches it');
  using smol = await openPretrained('smollm2-135m-instruct', { offline: true });
  const { model, tokenizer } = smol;
  expect(tokenizer.idToToken(tokenizer.padId)).toBe('<|endoftext|>');
  expect(tokenizer.idToToken(tokenizer.eosId!)).toBe('<|im_end|>');
  const { ids } = renderChat(tokenizer, [{ role: 'user', content: 'What is the capital of France?' }]);
  const next = torch.scope(() =>
    torch.noGrad(() => {
      const context = new PackedAttention([ids.length]);
      const hidden = model.forward(torch.tensor(ids, { dtype: 'int64' }), context); // [N, D]
      return model.logits(hidden.at(context.lastTokens)).argmax(-1).item<number>();
    }),
  );
  expect(tokenizer.decode([next])).toBe('The');
});

test('a real directory keeps the padding that its files name', async ({ skip }) => {
  const directory = sharedData('models/stories260K');
  if (directory.missing) return skip(directory.missing);
  using stories = await openPretrained(directory.path);
  expect(stories.tokenizer.idToToken(stories.tokenizer.padId)).toBe('<unk>');
  expect(stories.model.parameterCount()).toBe(260_032);
});

describe("the dtype 'auto'", () => {
  const [small, large] = [135e6, 1.2e9];
  const choose = (situation: Omit<DtypeSituation, 'device' | 'parameters'> & Partial<DtypeSituation>) =>
    chooseDtype({ device: 'cpu', parameters: large, ...situation });

  test.each(['training', 'inference'] as const)('%s: float32 weights stay float32', (use) => {
    for (const processor of ['avx512_bf16', 'avx512', 'avx2', 'base', 'none']) {
      expect(choose({ use, stored: 'F32', processor })).toBe('float32');
    }
  });

  test.each(['BF16', 'F16', 'Q4_1', 'Q6_K'])('%s weights: what is fast on the processor', (stored) => {
    expect(choose({ use: 'inference', stored, processor: 'avx512' })).toBe('bfloat16');
    expect(choose({ use: 'inference', stored, processor: 'avx2' })).toBe('bfloat16');
    expect(choose({ use: 'inference', stored, processor: 'avx2', parameters: small })).toBe('float32');
    expect(choose({ use: 'inference', stored, processor: 'none' })).toBe('float32');
    expect(choose({ use: 'training', stored, processor: 'avx512' })).toBe('float32');
    expect(choose({ use: 'training', stored, processor: 'avx512_bf16', parameters: small })).toBe('bfloat16');
    expect(choose({ use: 'training', stored, processor: 'none', device: 'cuda:0' })).toBe('bfloat16');
  });
});
