/** A real model of 94 MB, once it is in the cache: every weight as Python's gguf dequantises it (scripts/golden/gguf_smollm2.py). */

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { loadGguf } from './load.ts';
import { ggufString, ggufStrings } from './metadata.ts';
import { openGguf } from './reader.ts';
import { cachedModel, golden } from './testing.ts';
import { GgufWeights } from './weights.ts';

const expected = await golden<{ bytes: number; tensors: number; sha256: string }>('smollm2.json');
const path = await cachedModel('SmolLM2-135M-Instruct.Q4_1.gguf', expected.bytes);

describe('SmolLM2-135M-Instruct in Q4_1', () => {
  it('has the weights that Python reads', async ({ skip }) => {
    if (path === null)
      return skip('the model is not in the cache; `nudge models pull smollm2-135m-instruct` fetches it');
    const tensors = await loadGguf(path);
    const lines = Array.from(tensors, ([name, tensor]) => {
      const hash = createHash('sha256').update(tensor.bytes()).digest('hex');
      tensor.dispose();
      return `${name} ${hash}\n`;
    });
    expect(lines).toHaveLength(expected.tensors);
    expect(createHash('sha256').update(lines.join('')).digest('hex')).toBe(expected.sha256);
  });

  it('has its config, tokenizer and chat template', async ({ skip }) => {
    if (path === null)
      return skip('the model is not in the cache; `nudge models pull smollm2-135m-instruct` fetches it');
    await using model = await openGguf(path);
    await using weights = await GgufWeights.of(model);
    expect(weights.config).toMatchObject({
      model_type: 'llama',
      hidden_size: 576,
      num_hidden_layers: 30,
      num_attention_heads: 9,
      num_key_value_heads: 3,
      rms_norm_eps: 1e-5,
      rope_theta: 100_000,
      vocab_size: 49_152,
      tie_word_embeddings: true,
    });
    expect(weights.tensors.size).toBe(expected.tensors);
    expect(ggufStrings(model.metadata, 'tokenizer.ggml.tokens')).toHaveLength(49_152);
    expect(ggufString(model.metadata, 'tokenizer.chat_template')).toContain('<|im_start|>');
  });
});
