/**
 * transformers and PEFT load what we save, and compute the same. Runs where NUDGE_PEER_PYTHON names a Python with torch,
 * transformers and peft (see scripts/golden/models_peer.py).
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import { SMOLLM2, SMOLLM2_GOLDEN } from '../../tests/support/realModels.ts';
import { tokenizerFiles } from '../text/index.ts';
import { createModel, LoraAdapters, loadModel, PackedAttention, saveAdapter, saveModel } from './index.ts';
import { GOLDEN, GOLDEN_FAMILIES, inTemporaryDirectory } from './testing.ts';

const PYTHON = process.env.NUDGE_PEER_PYTHON;
const SCRIPT = join(import.meta.dirname, '../../scripts/golden/models_peer.py');
const SEQUENCES = [
  [3, 1, 4, 1, 5],
  [9, 2, 6],
];
const ids = torch.tensor(SEQUENCES.flat(), { dtype: 'int64' });
const context = new PackedAttention(SEQUENCES.map(({ length }) => length));
const TOLERANCE = { rtol: 1e-5, atol: 1e-5 };

interface Answer {
  logits?: number[][][];
  scores?: number[];
  chats?: number[][];
  info: Record<'missing_keys' | 'unexpected_keys' | 'mismatched_keys', string[]>;
}

function askPeer(model: string, adapter: string | null = null, more: object = {}): Answer {
  const input = JSON.stringify({ model, adapter, ids: SEQUENCES, ...more });
  const { stdout, stderr, status } = spawnSync(PYTHON!, [SCRIPT], { input, encoding: 'utf8', maxBuffer: 2 ** 28 });
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Answer;
}

const flat = (rows: number[][][] | undefined): Tensor => torch.tensor(rows!.flat());
const NOTHING = { missing_keys: [], unexpected_keys: [], mismatched_keys: [] };

describe.skipIf(PYTHON === undefined)('transformers and PEFT (skipped where NUDGE_PEER_PYTHON is not set)', () => {
  test.each(GOLDEN_FAMILIES)('%s: logits of the saved model', async (family) => {
    await inTemporaryDirectory(async (directory) => {
      using model = await loadModel(join(GOLDEN, family));
      await saveModel(directory, model, { maxShardBytes: 20_000 });
      const { logits, info } = askPeer(directory);
      expect(info).toEqual(NOTHING);
      expect(model.logits(model.forward(ids, context))).toBeCloseToTensor(flat(logits), TOLERANCE);
    });
  });

  test.each(['llama', 'gpt2'])('%s: scores of a saved reward model', async (family) => {
    await inTemporaryDirectory(async (directory) => {
      using model = await loadModel(join(GOLDEN, family), { head: 'score' });
      await saveModel(directory, model);
      const { scores, info } = askPeer(directory);
      expect(info).toEqual(NOTHING);
      const ours = model.scores(model.forward(ids, context), context);
      expect(ours).toBeCloseToTensor(torch.tensor(scores!), TOLERANCE);
    });
  });

  test.each(['qwen3', 'gpt2', 'gpt_neox'])('%s: logits with a saved adapter', async (family) => {
    await inTemporaryDirectory(async (directory) => {
      using model = await loadModel(join(GOLDEN, family));
      using lora = new LoraAdapters(model);
      const adapter = lora.add('policy', { rank: 3, alpha: 5, rslora: family === 'gpt2', dropout: 0.1 });
      torch.noGrad(() => {
        for (const parameter of adapter.parameters()) parameter.normal_(0, 0.3);
      });
      await saveAdapter(directory, lora, 'policy');
      const { logits } = askPeer(join(GOLDEN, family), directory);
      expect(model.logits(model.forward(ids, context))).toBeCloseToTensor(flat(logits), TOLERANCE);
    });
  });

  test('scores with a saved reward adapter, on one projection of one layer', async () => {
    await inTemporaryDirectory(async (directory) => {
      using model = await loadModel(join(GOLDEN, 'llama'));
      using lora = new LoraAdapters(model);
      const adapter = lora.add('reward', { head: true, targets: ['1.self_attn.q_proj'] });
      torch.noGrad(() => {
        for (const { lora_A, lora_B } of Object.values(adapter.pairs)) {
          lora_A.normal_();
          lora_B.normal_();
        }
      });
      await saveAdapter(directory, lora, 'reward');
      const { scores } = askPeer(join(GOLDEN, 'llama'), directory);
      const ours = model.scores(model.forward(ids, context), context);
      expect(ours).toBeCloseToTensor(torch.tensor(scores!), TOLERANCE);
    });
  });

  test('SmolLM2 from its GGUF file: logits, and its chats as ids', async ({ skip }) => {
    if (SMOLLM2.missing) skip(SMOLLM2.missing);
    using real = await SMOLLM2.open();
    const { model, tokenizer } = real;
    await inTemporaryDirectory(async (directory) => {
      await saveModel(directory, model, { files: tokenizerFiles(tokenizer) });
      const cases = SMOLLM2_GOLDEN.cases.filter(({ prompt }) => typeof prompt !== 'string');
      const { logits, chats, info } = askPeer(directory, null, { chats: cases.map(({ prompt }) => prompt) });
      expect(info).toEqual(NOTHING);
      expect(model.logits(model.forward(ids, context))).toBeCloseToTensor(flat(logits), { rtol: 1e-4, atol: 1e-4 });
      expect(chats).toEqual(cases.map(({ ids }) => ids));
    });
  }, 300_000);

  test('a model made here from a configuration alone', async () => {
    await inTemporaryDirectory(async (directory) => {
      const scaling = { factor: 4, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8 };
      using model = createModel({
        model_type: 'llama',
        vocab_size: 16,
        hidden_size: 32,
        intermediate_size: 40,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        max_position_embeddings: 32,
        tie_word_embeddings: true,
        rope_theta: 500_000,
        rope_scaling: { rope_type: 'llama3', ...scaling },
        initializer_range: 0.2,
      });
      await saveModel(directory, model);
      const { logits, info } = askPeer(directory);
      expect(info).toEqual(NOTHING);
      expect(model.logits(model.forward(ids, context))).toBeCloseToTensor(flat(logits), TOLERANCE);
    });
  });
});
