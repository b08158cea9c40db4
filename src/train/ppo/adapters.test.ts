import { describe, expect, test } from 'vitest';
import { type CausalModel, createModel, LoraAdapters } from '../../models/index.ts';
import { Generator, torch } from '../../tensor/index.ts';
import { bytesOf, errorOf } from '../testing/index.ts';
import { adapterModels, addValueAdapter, topLayers } from './adapters.ts';
import { tinyLlama } from './testing/index.ts';
import { adapterOf, sharedLayers, trainedParameters } from './view.ts';

function withReward(model: CausalModel): LoraAdapters {
  const lora = new LoraAdapters(model);
  const reward = lora.add('reward', { rank: 3, head: true, generator: new Generator({ seed: 1 }) });
  torch.noGrad(() => {
    for (const { lora_B } of Object.values(reward.pairs))
      lora_B.normal_(0, 1, { generator: new Generator({ seed: 2 }) });
  });
  return lora;
}

describe('policy, reference and value model over one base', () => {
  test('the value model starts as a copy of the reward model, which stays as it is', () => {
    const model = tinyLlama({ vocabulary: 12, layers: 3 });
    const lora = withReward(model);
    const reward = bytesOf(lora.get('reward').namedParameters());
    const models = adapterModels(model, { reward: 'reward' });
    expect(lora.names).toEqual(['reward', 'policy', 'value']);
    expect(bytesOf(lora.get('value').namedParameters())).toEqual(reward);
    torch.noGrad(() => {
      for (const [, parameter] of trainedParameters(models.value)) parameter.zero_();
    });
    expect(bytesOf(lora.get('reward').namedParameters())).toEqual(reward);
    expect(lora.get('policy').score).toBeNull();
    expect(models.reference).toEqual({ model, adapter: null });
  });

  test('of a reward model on all layers, a value model on the top ones copies those', () => {
    const model = tinyLlama({ vocabulary: 12, layers: 3 });
    const lora = withReward(model);
    adapterModels(model, { reward: 'reward', layersToTrain: 2, valueLayersToTrain: 1 });
    const names = Object.keys(lora.get('value').pairs);
    expect(names).toHaveLength(7);
    expect(names.every((name) => name.startsWith('model.layers.2.'))).toBe(true);
    for (const name of names)
      expect(bytesOf(lora.get('value').pairs[name]!.namedParameters())).toEqual(
        bytesOf(lora.get('reward').pairs[name]!.namedParameters()),
      );
  });

  test('from scratch the value model says 0', () => {
    const model = tinyLlama({ vocabulary: 12 });
    const { value } = adapterModels(model);
    const values = torch.scope(() =>
      (model.adapters as LoraAdapters).withAdapter('value', () => model.values(torch.randn([4, 16])).tolist()),
    );
    expect(values).toEqual([0, 0, 0, 0]);
    expect(trainedParameters(value).map(([name]) => name)).toContain('score.weight');
  });

  test('an adapter without a head is no reward model', async () => {
    const model = tinyLlama({ vocabulary: 12 });
    new LoraAdapters(model).add('other');
    const refused = await errorOf(() => adapterModels(model, { reward: 'other' }));
    expect(refused.message).toContain('only start from an adapter with a score head');
  });
});

test('the layers below all of an adapter are shared with the base, in every way of naming layers', () => {
  const llama = tinyLlama({ vocabulary: 12, layers: 4 });
  const json = { vocab_size: 12, n_embd: 16, n_layer: 4, n_head: 2, n_positions: 16 };
  const gpt2 = createModel({ model_type: 'gpt2', ...json });
  const neox = createModel({
    model_type: 'gpt_neox',
    vocab_size: 12,
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 4,
    num_attention_heads: 2,
    max_position_embeddings: 16,
  });
  for (const model of [llama, gpt2, neox]) {
    expect(sharedLayers({ model, adapter: null })).toBe(0);
    const lora = new LoraAdapters(model);
    lora.add('top', { targets: topLayers(lora, 1) });
    lora.add('all');
    addValueAdapter(lora, 'value', { from: null, layers: 3 });
    const shared = (adapter: string | null) => sharedLayers({ model, adapter });
    expect([shared('top'), shared('value'), shared('all'), shared(null)]).toEqual([3, 1, 0, 4]);
    expect(adapterOf({ model, adapter: 'top' })).toBe(lora.get('top'));
  }
});
