import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AdamW, CheckpointTape } from '../../nn/index.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import '../../../tests/support/allClose.ts';
import {
  type CausalModel,
  createModel,
  LoraAdapters,
  loadAdapter,
  loadModel,
  loadSafetensors,
  PackedAttention,
  saveAdapter,
} from '../index.ts';
import { Expected, errorOf, GOLDEN, inTemporaryDirectory, maxDifference, nextTokenLoss } from '../testing.ts';

const TOLERANCE = { rtol: 1e-5, atol: 1e-5 };
const ids = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6], { dtype: 'int64' });
const context = new PackedAttention([5, 3]);

const tiny = { model_type: 'llama', vocab_size: 16, hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2 };
const json = { ...tiny, intermediate_size: 24, max_position_embeddings: 32, initializer_range: 0.3 };

function logitsOf(model: CausalModel): Tensor {
  return model.logits(model.forward(ids, context));
}

/** Gives an adapter values that matter. */
function disturb(adapter: { parameters(): Iterable<Tensor> }): void {
  torch.noGrad(() => {
    for (const parameter of adapter.parameters()) parameter.normal_(0, 0.3);
  });
}

describe('against PEFT', () => {
  test.each(['llama', 'gpt2'])("%s: PEFT's adapter gives its logits and gradients", async (family) => {
    const golden = await Expected.of(family);
    const directory = join(GOLDEN, family, 'adapter');
    const expected = await loadSafetensors(join(directory, 'expected.safetensors'));
    using model = await loadModel(join(GOLDEN, family));
    using lora = new LoraAdapters(model);
    const adapter = await loadAdapter(directory, lora, 'theirs');
    model.eval();
    const packed = new PackedAttention(golden.lengths);
    const logits = model.logits(model.forward(golden.tensor('ids'), packed));
    expect(logits).toBeCloseToTensor(expected.get('logits')!, TOLERANCE);
    nextTokenLoss(logits, golden.tensor('ids'), packed).backward();
    const gradients = [...expected.keys()].filter((name) => name.startsWith('gradient.'));
    expect(gradients).toHaveLength([...adapter.parameters()].length);
    for (const [name, { lora_A, lora_B }] of Object.entries(adapter.pairs)) {
      const theirs = (matrix: string) => expected.get(`gradient.base_model.model.${name}.${matrix}.weight`)!;
      expect(lora_A.grad, name).toBeCloseToTensor(theirs('lora_A'), TOLERANCE);
      expect(lora_B.grad, name).toBeCloseToTensor(theirs('lora_B'), TOLERANCE);
    }
    for (const parameter of model.parameters()) expect(parameter.grad).toBeNull();
    // Merged weights give the same, and unmerging restores every bit.
    const before = [...model.parameters()].map((parameter) => parameter.bytes());
    lora.merge('theirs');
    const merged = model.logits(model.forward(golden.tensor('ids'), packed));
    expect(merged).toBeCloseToTensor(expected.get('logits')!, TOLERANCE);
    lora.unmerge();
    expect([...model.parameters()].map((parameter) => parameter.bytes())).toEqual(before);
  });

  test("a reward model's adapter brings its head", async () => {
    const golden = await Expected.of('llama');
    const directory = join(GOLDEN, 'llama/adapter-score');
    const expected = await loadSafetensors(join(directory, 'expected.safetensors'));
    using model = await loadModel(join(GOLDEN, 'llama'));
    using lora = new LoraAdapters(model);
    const adapter = await loadAdapter(directory, lora, 'reward');
    expect(Object.keys(adapter.pairs)).toEqual(['model.layers.1.mlp.down_proj', 'model.layers.1.mlp.up_proj']);
    const packed = new PackedAttention(golden.lengths);
    const scores = model.scores(model.forward(golden.tensor('ids'), packed), packed);
    expect(scores).toBeCloseToTensor(expected.get('scores')!, TOLERANCE);
  });

  test('saving writes what PEFT wrote', async () => {
    await inTemporaryDirectory(async (directory) => {
      using model = await loadModel(join(GOLDEN, 'gpt2'));
      using lora = new LoraAdapters(model);
      await loadAdapter(join(GOLDEN, 'gpt2/adapter'), lora, 'theirs');
      await saveAdapter(join(directory, 'ours'), lora, 'theirs', { baseModel: '../' });
      const ours = await loadSafetensors(join(directory, 'ours/adapter_model.safetensors'));
      const theirs = await loadSafetensors(join(GOLDEN, 'gpt2/adapter/adapter_model.safetensors'));
      expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort());
      for (const [name, tensor] of theirs) expect(ours.get(name)!.bytes()).toEqual(tensor.bytes());
      await loadAdapter(join(directory, 'ours'), lora, 'again');
      expect(lora.get('again').config).toMatchObject({ rank: 1, alpha: 3, rslora: true, dropout: 0 });
      const refusal = await errorOf(() => saveAdapter(join(directory, 'ours'), lora, 'again'));
      expect(refusal.code).toBe('FILE_EXISTS');
      await saveAdapter(join(directory, 'ours'), lora, 'again', { overwrite: true });
    });
  });
});

describe('several adapters over one base', () => {
  test('a fresh adapter changes nothing, and only its parameters are trained', () => {
    using model = createModel(json);
    const plain = logitsOf(model);
    using lora = new LoraAdapters(model);
    const policy = lora.add('policy', { rank: 4, targets: ['q_proj', 'v_proj'] });
    expect(lora.active).toBe('policy');
    expect(logitsOf(model)).toBeCloseToTensor(plain);
    expect(policy.parameterCount({ trainable: true })).toBe(2 * 2 * (16 + 16) * 4);
    expect(model.parameterCount({ trainable: true })).toBe(0);
    expect([...model.namedParameters()].map(([name]) => name)).toContain('model.layers.0.self_attn.q_proj.weight');
  });

  test('switching, and the reference model with adapters off', () => {
    using model = createModel(json);
    const reference = logitsOf(model);
    using lora = new LoraAdapters(model);
    disturb(lora.add('policy'));
    disturb(lora.add('value', { head: true, rank: 2 }));
    const policy = logitsOf(model);
    expect(maxDifference(policy, reference)).toBeGreaterThan(0.01);
    expect(lora.withoutAdapters(() => logitsOf(model))).toBeCloseToTensor(reference);
    const values = lora.withAdapter('value', () => model.values(model.forward(ids, context)));
    expect(values.shape).toEqual([8]);
    expect(lora.active).toBe('policy');
    expect(logitsOf(model)).toBeCloseToTensor(policy);
    lora.setAdapter(null);
    expect(logitsOf(model)).toBeCloseToTensor(reference);
    expect(() => model.values(model.forward(ids, context))).toThrow('no head for scores');
    expect(() => lora.withAdapter('policy', () => Promise.resolve())).toThrow('async');
    lora.remove('policy');
    expect(() => lora.setAdapter('policy')).toThrow('no adapter of this name');
  });

  test('checkpointed layers run again with the adapter they ran with', () => {
    using model = createModel(json);
    using lora = new LoraAdapters(model);
    const [policy, other] = [lora.add('policy'), lora.add('other')];
    disturb(policy);
    disturb(other);
    const gradients = (backward: () => void) => {
      policy.zeroGrad();
      backward();
      return [...policy.parameters()].map((parameter) => parameter.grad!);
    };
    const direct = gradients(() => logitsOf(model).square().mean().backward());
    const again = gradients(() => {
      using tape = new CheckpointTape();
      const hidden = model.forward(ids, context, { tape });
      lora.setAdapter('other');
      tape.backward(model.logits(hidden).square().mean());
    });
    for (const [i, gradient] of again.entries()) expect(gradient).toBeCloseToTensor(direct[i]!, TOLERANCE);
    expect([...other.parameters()].every(({ grad }) => grad === null)).toBe(true);
  });

  test('float32 adapters over a bfloat16 base', () => {
    torch.manualSeed(3);
    using model = createModel(json, { dtype: 'bfloat16' });
    using lora = new LoraAdapters(model);
    const policy = lora.add('policy');
    disturb(policy);
    const logits = logitsOf(model);
    expect(logits.dtype).toBe('bfloat16');
    logits.float().square().mean().backward();
    for (const parameter of policy.parameters()) expect(parameter.grad!.dtype).toBe('float32');
    const before = [...model.parameters()].map((parameter) => parameter.bytes());
    lora.merge('policy');
    expect(maxDifference(logitsOf(model), logits)).toBeLessThan(0.05 * logits.float().abs().max().item());
    lora.unmerge();
    expect([...model.parameters()].map((parameter) => parameter.bytes())).toEqual(before);
  });

  test('dropout only while training', () => {
    using model = createModel(json);
    using lora = new LoraAdapters(model);
    disturb(lora.add('policy', { dropout: 0.5 }));
    expect(maxDifference(logitsOf(model), logitsOf(model))).toBe(0);
    model.train();
    expect(maxDifference(logitsOf(model), logitsOf(model))).toBeGreaterThan(0.01);
  });

  test('learns', () => {
    torch.manualSeed(0);
    using model = createModel(json);
    using lora = new LoraAdapters(model);
    const optimizer = new AdamW(lora.add('policy', { rank: 4 }).parameters(), { lr: 0.02 });
    const step = () =>
      torch.scope(() => {
        const loss = nextTokenLoss(logitsOf(model), ids, context);
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        return loss.item();
      });
    const first = step();
    for (let i = 0; i < 60; i++) step();
    expect(step()).toBeLessThan(first / 10);
  });

  test('merging without keeping, and disposing', () => {
    using model = createModel(json);
    const lora = new LoraAdapters(model);
    disturb(lora.add('policy', { targets: /.*\.(gate|up)_proj/ }));
    const logits = logitsOf(model);
    lora.merge('policy', { restorable: false });
    expect(() => lora.unmerge()).toThrow('not kept');
    expect(() => lora.setAdapter(null)).toThrow('is merged');
    lora.dispose();
    expect(logitsOf(model)).toBeCloseToTensor(logits, TOLERANCE);
    expect(model.adapters).toBeNull();
  });
});

describe('errors', () => {
  test('targets that choose nothing list what there is', () => {
    using model = createModel(json);
    using lora = new LoraAdapters(model);
    expect(() => lora.add('policy', { targets: ['query'] })).toThrow(/"q_proj", "k_proj"/);
    expect(() => lora.add('policy', { rank: 0 })).toThrow('lora.rank');
    lora.add('policy');
    expect(() => lora.add('policy')).toThrow('already');
    expect(() => new LoraAdapters(model)).toThrow('already');
  });

  test('an adapter of another model', async () => {
    using model = createModel(json);
    using lora = new LoraAdapters(model);
    const error = await errorOf(() => loadAdapter(join(GOLDEN, 'llama/adapter'), lora, 'theirs'));
    expect(error.code).toBe('BAD_FILE');
    expect(error.received).toContain('q_proj.lora_A.weight is [2, 32], not [2, 16]');
    expect(lora.names).toEqual([]);
    using other = await loadModel(join(GOLDEN, 'qwen3'));
    using adapters = new LoraAdapters(other);
    const wrong = await errorOf(() => loadAdapter(join(GOLDEN, 'gpt2/adapter'), adapters, 'theirs'));
    expect(wrong.received).toContain('belong to no projection');
  });
});
