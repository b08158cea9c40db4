/** Whole models between GGUF and transformers, against names and arrangements of Python's gguf (scripts/golden/gguf_models.py). */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Tensor, torch } from '../../tensor/index.ts';
import type { GgufValue } from './metadata.ts';

import { ARCHITECTURES, type Architecture, hfNames } from './names.ts';
import { openGguf } from './reader.ts';
import { llama3Factors, llama3FromFactors } from './rope.ts';
import { saveGgufModel } from './saveModel.ts';
import { type GoldenModel, golden, nudgeError, temporaryDirectory } from './testing.ts';
import { loadGgufModel, readGgufConfig } from './weights.ts';

const models = await golden<Record<Architecture, GoldenModel>>('models.json');
const tokenizer = new Map<string, GgufValue>([
  ['general.name', { type: 'string', value: 'not taken' }],
  ['tokenizer.ggml.model', { type: 'string', value: 'llama' }],
]);

function counters({ tensors }: GoldenModel): Map<string, Tensor> {
  return new Map(
    tensors.map(({ hf, shape }, n) => {
      const count = shape.reduce((product, dim) => product * dim, 1);
      return [
        hf,
        torch.fromTypedArray(
          Float32Array.from({ length: count }, (_, i) => ((i * 31 + n * 7) % 251) - 125),
          shape,
        ),
      ];
    }),
  );
}

describe.each(ARCHITECTURES)('%s', (architecture) => {
  const model = models[architecture];
  const names = hfNames(architecture);

  it('has the names of transformers and of Python, both ways', () => {
    for (const { hf, gguf } of model.tensors) {
      expect(names.toGguf(hf)?.name).toBe(gguf);
      expect(names.toHf(gguf)?.name).toBe(hf);
      expect(names.toHf(gguf)?.arrangement).toBe(names.toGguf(hf)?.arrangement);
    }
  });

  it('is saved as the converter arranges it, and loaded as it was', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'm.gguf');
    const tensors = counters(model);
    await saveGgufModel(path, { config: model.config, tensors, tokenizer, name: 'tiny' }, { type: 'F32' });
    await using reader = await openGguf(path);
    expect([...reader.tensors.keys()]).toEqual(model.tensors.map(({ gguf }) => gguf));
    for (const { gguf, stored, sha256 } of model.tensors) {
      expect(reader.info(gguf).shape).toEqual(stored);
      expect(
        createHash('sha256')
          .update(await reader.read(gguf))
          .digest('hex'),
      ).toBe(sha256);
    }
    const loaded = await loadGgufModel(reader);
    expect([...loaded.tensors.keys()]).toEqual([...tensors.keys()]);
    for (const [name, tensor] of tensors) expect(loaded.tensors.get(name)?.equal(tensor)).toBe(true);
    // What was in the config is in it again; what was not is transformers' default.
    expect(loaded.config).toMatchObject({
      ...model.config,
      tie_word_embeddings: model.config.tie_word_embeddings ?? architecture === 'gpt2',
    });
    expect(loaded.metadata.get('general.name')?.value).toBe('tiny');
    expect(loaded.metadata.get('tokenizer.ggml.model')?.value).toBe('llama');
  });

  it('comes back the same a second time', async () => {
    await using directory = await temporaryDirectory();
    const [first, second] = [join(directory.path, 'a.gguf'), join(directory.path, 'b.gguf')];
    await saveGgufModel(first, { config: model.config, tensors: counters(model), tokenizer }, { type: 'BF16' });
    const a = await loadGgufModel(first, { dtype: 'bfloat16' });
    await saveGgufModel(second, { config: a.config, tensors: a.tensors, tokenizer: a.metadata }, { type: 'BF16' });
    const b = await loadGgufModel(second, { dtype: 'bfloat16' });
    expect(b.config).toEqual(a.config);
    for (const [name, tensor] of a.tensors) expect(b.tensors.get(name)?.equal(tensor)).toBe(true);
  });
});

describe('saveGgufModel', () => {
  it('leaves tied heads, masks and inverse frequencies out, and refuses what has no place', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'm.gguf');
    const { config } = models.qwen2;
    const tensors = counters(models.qwen2);
    tensors.set('lm_head.weight', torch.zeros([40, 32]));
    tensors.set('model.layers.0.self_attn.rotary_emb.inv_freq', torch.zeros([4]));
    await saveGgufModel(path, { config, tensors, tokenizer });
    await using model = await openGguf(path);
    expect(model.tensors.size).toBe(models.qwen2.tensors.length);
    tensors.set('model.layers.0.self_attn.q_proj.lora_A.weight', torch.zeros([4, 32]));
    const error = await nudgeError(saveGgufModel(path, { config, tensors, tokenizer }, { overwrite: true }));
    expect(error.message).toMatch(/no place for.*lora_A.*adapters are merged/s);
    const mamba = await nudgeError(saveGgufModel(path, { config: { model_type: 'mamba' }, tensors, tokenizer }));
    expect(mamba.message).toMatch(/config\.model_type.*llama, mistral, qwen2, qwen3, gpt2, gpt_neox.*"mamba"/s);
    const incomplete = await nudgeError(saveGgufModel(path, { config: { model_type: 'qwen2' }, tensors, tokenizer }));
    expect(incomplete.message).toMatch(/config\.num_attention_heads.*received: nothing/s);
  });

  it('takes the names of GPT-2 on the hub, which have no prefix', () => {
    expect(hfNames('gpt2').toGguf('h.1.mlp.c_fc.weight')).toEqual({
      name: 'blk.1.ffn_up.weight',
      arrangement: 'transposed',
    });
    expect(hfNames('gpt2').isDerived('h.1.attn.bias')).toBe(true);
    expect(hfNames('gpt2').toGguf('h.1.attn.bias')).toBeNull();
  });
});

describe('loadGgufModel', () => {
  const save = async (
    path: string,
    change: (config: Record<string, unknown>, tensors: Map<string, Tensor>) => void,
  ) => {
    const { config } = models.llama;
    const changed = { ...config };
    const tensors = counters(models.llama);
    change(changed, tensors);
    await saveGgufModel(path, { config: changed, tensors, tokenizer }, { type: 'F32', overwrite: true });
  };

  it("keeps Llama 3's scaling of RoPE, which is a tensor", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'm.gguf');
    const scaling = {
      rope_type: 'llama3',
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    await save(path, (config) => Object.assign(config, { rope_scaling: scaling, head_dim: 64, rope_theta: 500_000 }));
    await using model = await openGguf(path);
    expect(model.info('rope_freqs.weight')).toMatchObject({ type: 'F32', shape: [32] });
    expect((await readGgufConfig(model)).rope_scaling).toEqual(scaling);
  });

  it.each([
    { rope_type: 'linear', factor: 4 },
    { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32_768 },
    { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32_768, beta_fast: 32, beta_slow: 1 },
  ])('keeps %o', async (scaling) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'm.gguf');
    await save(path, (config) =>
      Object.assign(config, { rope_theta: undefined, rope_parameters: { rope_theta: 5e5, ...scaling } }),
    );
    await using model = await openGguf(path);
    expect(await readGgufConfig(model)).toMatchObject({ rope_scaling: scaling, rope_theta: 5e5 });
  });

  it('refuses a scaling that GGUF has not, and factors that no config gives', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'm.gguf');
    const dynamic = save(path, (config) => Object.assign(config, { rope_scaling: { type: 'dynamic', factor: 2 } }));
    expect((await nudgeError(dynamic)).message).toMatch(/config\.rope_scaling.*llama3, linear or yarn/s);
    expect(() => llama3FromFactors(Float32Array.of(1, 3, 2, 8), 1e4, 8)).toThrow(/not of a kind that is known/);
    expect(() => llama3FromFactors(Float32Array.of(1, 1, 1, 1), 1e4, 8)).toThrow(/not of a kind that is known/);
  });

  it('refuses another architecture, experts, and tensors that it does not know', async () => {
    const { ggufToHf } = await import('./config.ts');
    const entries = (...extra: [string, GgufValue][]) => new Map<string, GgufValue>(extra);
    expect(() => ggufToHf(entries())).toThrow(/incomplete.*general\.architecture/s);
    const mamba = entries(['general.architecture', { type: 'string', value: 'mamba' }]);
    expect(() => ggufToHf(mamba)).toThrow(/not known.*llama, qwen2, qwen3, gpt2, gptneox.*"mamba"/s);
    const experts = entries(
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['llama.expert_count', { type: 'uint32', value: 8 }],
    );
    expect(() => ggufToHf(experts)).toThrow(/mixture of experts.*received: 8/s);
    const zero = entries(
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['llama.embedding_length', { type: 'uint32', value: 0 }],
    );
    expect(() => ggufToHf(zero)).toThrow(/impossible value.*llama\.embedding_length.*a positive number/s);
  });
});

describe("Llama 3's factors", () => {
  it('are those of transformers', () => {
    const scaling = {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    } as const;
    const factors = llama3Factors(scaling, 500_000, 128);
    expect([...factors.subarray(0, 29)]).toEqual(Array(29).fill(1));
    expect([...factors.subarray(35)]).toEqual(Array(29).fill(8));
    expect(llama3FromFactors(factors, 500_000, 128)).toEqual(scaling);
  });
});
