import { describe, expect, test } from 'vitest';
import { NudgeError } from '../errors.ts';
import { type ConfigJson, parseConfig } from './index.ts';

const llama = {
  model_type: 'llama',
  vocab_size: 100,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 128,
};
const gpt2 = { model_type: 'gpt2', vocab_size: 100, n_embd: 32, n_layer: 2, n_head: 4, n_positions: 64 };

function errorOf(json: ConfigJson): NudgeError {
  try {
    parseConfig(json, 'model/config.json');
  } catch (error) {
    expect(error).toBeInstanceOf(NudgeError);
    return error as NudgeError;
  }
  throw new Error('expected an error');
}

test('an unknown architecture is refused with the known ones', () => {
  const error = errorOf({ ...llama, model_type: 'mamba' });
  expect(error.code).toBe('BAD_FILE');
  expect(error.path).toBe('model/config.json: model_type');
  expect(error.expected).toBe('one of llama, mistral, qwen2, qwen3, gpt2, gpt_neox');
});

test.each([
  ['a missing field', { ...llama, hidden_size: undefined }, 'hidden_size', 'a positive integer', 'nothing'],
  ['a wrong type', { ...llama, vocab_size: '100' }, 'vocab_size', 'a positive integer', '"100"'],
  ['a fraction', { ...llama, num_hidden_layers: 1.5 }, 'num_hidden_layers', 'a positive integer', '1.5'],
  ['an unknown activation', { ...llama, hidden_act: 'mish' }, 'hidden_act', /^one of silu, swish, gelu/, '"mish"'],
  ['key heads that do not divide', { ...llama, num_key_value_heads: 3 }, 'num_key_value_heads', /divisor of/, '3'],
  ['quantised weights', { ...llama, quantization_config: { bits: 4 } }, 'quantization_config', 'nothing', '{"bits":4}'],
  [
    'an unknown rope',
    { ...llama, rope_scaling: { type: 'longrope', factor: 2 } },
    'rope_scaling: type',
    'default, linear, dynamic, llama3 or yarn',
    '"longrope"',
  ],
  [
    'a rope without its factor',
    { ...llama, rope_scaling: { type: 'linear' } },
    'rope_scaling: factor',
    'a number',
    /./,
  ],
  [
    'a window that is narrower than the context',
    { ...llama, model_type: 'mistral', num_key_value_heads: 2, sliding_window: 64 },
    'sliding_window',
    'null, or at least max_position_embeddings (128)',
    '64',
  ],
  [
    "Qwen's window, where it is used",
    { ...llama, model_type: 'qwen2', use_sliding_window: true, sliding_window: 64 },
    'sliding_window',
    /at least/,
    '64',
  ],
  ['cross-attention', { ...gpt2, add_cross_attention: true }, 'add_cross_attention', /nothing/, 'true'],
  ['heads that do not divide the width', { ...gpt2, n_head: 5 }, 'n_head', /divisor/, '5'],
  ['a dtype that no weights have', { ...llama, torch_dtype: 'int8' }, 'torch_dtype', /bfloat16/, '"int8"'],
])('%s', (_, json, path, expected, received) => {
  const error = errorOf(json);
  expect(error.code).toBe('BAD_FILE');
  expect(error.path).toBe(`model/config.json: ${path}`);
  expect(error.expected).toMatch(expected);
  expect(error.received).toMatch(received);
});

describe('defaults are those of transformers', () => {
  test('what may be left out', () => {
    const { config } = parseConfig(llama);
    expect(config).toMatchObject({ kvHeads: 4, headDim: 8, tiedEmbeddings: false, dtype: null });
    expect(parseConfig({ ...llama, model_type: 'qwen3' }).config.headDim).toBe(128);
    expect(parseConfig(gpt2).config).toMatchObject({ tiedEmbeddings: true, kvHeads: 4, intermediateSize: 128 });
  });

  test('a window that hides nothing, or is not used', () => {
    parseConfig({ ...llama, model_type: 'mistral', num_key_value_heads: 2, sliding_window: 128 });
    parseConfig({ ...llama, model_type: 'mistral', num_key_value_heads: 2, sliding_window: null });
    parseConfig({ ...llama, model_type: 'qwen2', use_sliding_window: false, sliding_window: 64 });
  });

  test('rope in the old places and in the new', () => {
    const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
    const old = parseConfig({ ...llama, rope_theta: 5e5, rope_scaling: { rope_type: 'llama3', ...scaling } });
    const now = parseConfig({ ...llama, rope_parameters: { rope_type: 'llama3', rope_theta: 5e5, ...scaling } });
    expect(old.config).toMatchObject({ rope: (now.config as unknown as { rope: object }).rope });
    const pythia = { ...llama, model_type: 'gpt_neox', rotary_pct: 0.5, rotary_emb_base: 500 };
    expect(parseConfig(pythia).config).toMatchObject({ rope: { theta: 500, dimensions: 4 } });
  });

  test('dtype under both its names', () => {
    expect(parseConfig({ ...llama, torch_dtype: 'bfloat16' }).config.dtype).toBe('bfloat16');
    expect(parseConfig({ ...llama, dtype: 'float16' }).config.dtype).toBe('float16');
  });
});
