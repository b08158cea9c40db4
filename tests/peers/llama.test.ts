/** llama.cpp loads what Nudge saves as GGUF, reads the same tokens from a text, and computes the same. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../../src/generate/index.ts';
import { score } from '../../src/generate/testing/model.ts';
import { type CausalModel, type ConfigJson, createModel } from '../../src/models/index.ts';
import { inTemporaryDirectory } from '../../src/models/testing.ts';
import { torch } from '../../src/tensor/index.ts';
import { BYTE_TO_CHAR } from '../../src/text/bytes.ts';
import { Tokenizer } from '../../src/text/index.ts';
import { askClient, client, exportGguf } from '../support/llama.ts';
import { openGgufModel, SMOLLM2, SMOLLM2_GOLDEN, STORY_MODELS } from '../support/realModels.ts';

const TOKENS = 32;
const STORIES = STORY_MODELS[0]!;
const TALES = ['Once upon a time', 'One day, Tom and Lily went to the park.', 'The dog was sad because'];
/** What tokenizers stumble over. */
const TEXTS = [
  "I'll don't  wait\u00a01234567890",
  '你好,世界 🌳🧑‍🚀',
  '\ttabs\r\n\r\n  and   spaces   ',
  'ÀÉÎõü Ω ß İı',
  '<|im_start|>user\n<|im_end|>',
];

async function continuations(model: CausalModel, prompts: readonly number[][]): Promise<number[][]> {
  using engine = new Engine(model, { cacheBytes: 2 ** 26 });
  const request = { temperature: 0, maxTokens: TOKENS };
  const all = await Promise.all(prompts.map((promptIds) => engine.generate({ ...request, promptIds })));
  return all.map(([completion]) => [...completion!.ids!]);
}

function furthest(a: readonly number[], b: readonly number[]): number {
  expect(a).toHaveLength(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}

const SKIPPED = client.missing ? ` (skipped: ${client.missing})` : '';

describe.skipIf(client.missing)(`llama.cpp${SKIPPED}`, () => {
  it('tells what it said when it cannot load a file, and takes nothing down with it', async () => {
    await inTemporaryDirectory(async (directory) => {
      const path = join(directory, 'broken.gguf');
      await writeFile(path, 'GGUF');
      await expect(askClient([{ model: path }])).rejects.toThrow(/llama\.cpp ended with/);
    });
  });

  it('reads the tokens that we read, and goes on with the tokens of the engine: SmolLM2', async ({ skip }) => {
    if (SMOLLM2.missing) skip(SMOLLM2.missing);
    using real = await SMOLLM2.open();
    const { model, tokenizer } = real;
    const texts = [...SMOLLM2_GOLDEN.cases.map(({ text }) => text), ...TEXTS];
    const prompts = [0, 1, 5, 7].map((i) => SMOLLM2_GOLDEN.cases[i]!.ids);
    const [answer] = await inTemporaryDirectory(async (directory) => {
      const path = join(directory, 'smollm2.gguf');
      await exportGguf(path, model, tokenizer, 'F32');
      return await askClient([{ model: path, texts, greedy: prompts, tokens: TOKENS }]);
    });
    expect(answer!.ids).toEqual(texts.map((text) => tokenizer.encode(text)));
    expect(answer!.greedy).toEqual(await continuations(model, prompts));
  }, 300_000);

  // llama.cpp rounds what it multiplies with such matrices to half precision, or to 8 bits.
  it.for([
    { type: 'F32', within: 1e-4 },
    { type: 'F16', within: 0.01 },
    { type: 'Q8_0', within: 0.2 },
  ] as const)(
    'gives the log-probabilities of what was saved as $type: stories260K',
    async ({ type, within }, { skip }) => {
      if (STORIES.missing) skip(STORIES.missing);
      using original = await STORIES.open();
      await inTemporaryDirectory(async (directory) => {
        const path = join(directory, 'stories.gguf');
        await exportGguf(path, original.model, original.tokenizer, type);
        using saved = await openGgufModel(path);
        const prompts = TALES.map((text) => saved.tokenizer.encode(text));
        const told = await continuations(saved.model, prompts);
        const sequences = prompts.map((ids, i) => [...ids, ...told[i]!]);
        const [answer] = await askClient([
          { model: path, texts: TALES, greedy: prompts, tokens: TOKENS, score: sequences },
        ]);
        expect(answer!.ids).toEqual(prompts);
        if (type === 'F32') expect(answer!.greedy).toEqual(told);
        for (const [i, scores] of answer!.scores.entries()) {
          expect(furthest(scores, score(saved.model, sequences[i]!, 1))).toBeLessThan(within);
        }
      });
    },
  );
});

/** Every byte is a token. */
const BYTES = byteTokenizer();
/** Logits with a standard deviation of about 2, so that log-probabilities tell models apart. */
const SMALL = {
  vocab_size: 258,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  tie_word_embeddings: false,
  initializer_range: 0.2,
};
const LLAMA3_ROPE = { rope_type: 'llama3', factor: 4, low_freq_factor: 1, high_freq_factor: 4 };
const SHORT = { original_max_position_embeddings: 32 };
// Theirs has GELU in half precision, from a table.
const GELU = 0.005;
const FAMILIES: { name: string; config: ConfigJson; within?: number }[] = [
  { name: 'Llama', config: { model_type: 'llama' } },
  { name: 'Llama, tied, with wide heads', config: { model_type: 'llama', head_dim: 32, tie_word_embeddings: true } },
  { name: "Llama 3's RoPE", config: { model_type: 'llama', rope_scaling: { ...LLAMA3_ROPE, ...SHORT } } },
  { name: 'linear RoPE', config: { model_type: 'llama', rope_scaling: { rope_type: 'linear', factor: 3 } } },
  { name: 'YaRN', config: { model_type: 'llama', rope_scaling: { rope_type: 'yarn', factor: 4, ...SHORT } } },
  { name: 'Mistral', config: { model_type: 'mistral', sliding_window: null } },
  { name: 'Qwen2', config: { model_type: 'qwen2' } },
  { name: 'Qwen3', config: { model_type: 'qwen3', head_dim: 32 } },
  { name: 'GPT-2', config: { model_type: 'gpt2', n_embd: 64, n_layer: 2, n_head: 4, n_positions: 128 }, within: GELU },
  { name: 'GPT-NeoX', config: { model_type: 'gpt_neox', rotary_pct: 0.25 }, within: GELU },
  { name: 'GPT-NeoX in sequence', config: { model_type: 'gpt_neox', use_parallel_residual: false }, within: GELU },
];

describe.skipIf(client.missing)(`log-probabilities in llama.cpp of a random model${SKIPPED}`, () => {
  const sequence = Array.from({ length: 60 }, (_, i) => (i * i * 7 + 3) % 256);
  const ours: number[][] = [];
  const theirs: number[][] = [];

  beforeAll(async () => {
    await inTemporaryDirectory(async (directory) => {
      const requests = FAMILIES.map((_, i) => ({ model: join(directory, `${i}.gguf`), score: [sequence] }));
      for (const [i, { config }] of FAMILIES.entries()) {
        using model = randomModel({ ...SMALL, ...config });
        await exportGguf(requests[i]!.model, model, BYTES, 'F32');
        ours.push(score(model, sequence, 1));
      }
      theirs.push(...(await askClient(requests)).map(({ scores }) => scores[0]!));
    });
  });

  it.each(FAMILIES.map((family, i) => ({ i, ...family })))('$name', ({ i, within = 1e-4 }) => {
    expect(furthest(theirs[i]!, ours[i]!)).toBeLessThan(within);
  });
});

/** Biases and norms too: at their first values, zero and one, they would hide a mistake. */
function randomModel(config: ConfigJson): CausalModel {
  const generator = new torch.Generator({ seed: 1 });
  const model = createModel(config, { generator });
  torch.scope(() =>
    torch.noGrad(() => {
      for (const parameter of model.parameters()) {
        if (parameter.dim() === 1) parameter.add_(torch.randn(parameter.shape, { generator }).mul(0.2));
      }
    }),
  );
  return model;
}

function byteTokenizer(): Tokenizer {
  const special = { special: true, single_word: false, lstrip: false, rstrip: false, normalized: false };
  const json = {
    added_tokens: [{ id: 257, content: '<|endoftext|>', ...special }],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries([...BYTE_TO_CHAR, 'he'].map((token, id) => [token, id])),
      merges: ['h e'],
    },
  };
  const config = { eos_token: '<|endoftext|>', bos_token: '<|endoftext|>' };
  const files = { 'tokenizer.json': json, 'tokenizer_config.json': config };
  return Tokenizer.fromFiles(
    new Map(Object.entries(files).map(([name, value]) => [name, JSON.stringify(value)])),
    'bytes',
  );
}
