import { describe, expect, test } from 'vitest';
import '../../../tests/support/allClose.ts';
import { type CausalModel, type ForwardOptions, LoraAdapters, PackedAttention } from '../../models/index.ts';
import { Generator, type Tensor, torch } from '../../tensor/index.ts';
import { packTokens } from '../batches.ts';
import { topLayers } from './adapters.ts';
import {
  assess,
  CompletionTokens,
  completionLoss,
  completionValues,
  pack,
  planMiniBatches,
  promptGroups,
  rolloutScores,
  StepTrunk,
} from './passes.ts';
import type { Rollout } from './rollout.ts';
import { tinyLlama } from './testing/index.ts';
import type { PpoModels } from './view.ts';

const rollout = (promptIds: number[], ids: number[]): Rollout => ({
  prompt: { ids: promptIds },
  ids,
  text: '',
  finished: true,
});
const question = Array.from({ length: 18 }, (_, i) => i);
const rollouts = [
  rollout(question, [3, 4, 5]),
  rollout(question, [6]),
  rollout([7, 8], [9, 10, 11, 12]),
  rollout([...question, 19], [2, 2]),
];

/** One base with adapters on its top layers that all change something. */
function adapted(policyLayers: number, valueLayers: number): PpoModels & { model: CausalModel; lora: LoraAdapters } {
  const model = tinyLlama({ vocabulary: 20, layers: 4, hidden: 16, positions: 64 });
  const lora = new LoraAdapters(model);
  const generator = new Generator({ seed: 4 });
  lora.add('policy', { targets: topLayers(lora, policyLayers), generator });
  lora.add('value', { targets: topLayers(lora, valueLayers), head: true, generator });
  torch.noGrad(() => {
    for (const name of lora.names)
      for (const { lora_B } of Object.values(lora.get(name).pairs)) lora_B.normal_(0, 0.3, { generator });
  });
  return {
    model,
    lora,
    policy: { model, adapter: 'policy' },
    reference: { model, adapter: null },
    value: { model, adapter: 'value' },
  };
}

/** A rollout by itself, without any of what is tested here: hidden states that predict its completion, [T, D]. */
function alone(
  { model, lora }: { model: CausalModel; lora: LoraAdapters },
  adapter: string | null,
  { prompt, ids }: Rollout,
): Tensor {
  const all = [...prompt.ids, ...ids];
  const tokens = torch.tensor(all, { dtype: 'int64' });
  const hidden = lora.withAdapter(adapter, () => model.forward(tokens, new PackedAttention([all.length]))); // [P + T, D]
  return hidden.narrow(0, prompt.ids.length - 1, ids.length); // [T, D]
}

const TOLERANCE = { rtol: 1e-5, atol: 1e-5 };

describe('assessing rollouts', () => {
  test.each([
    [4, 4],
    [2, 1],
    [1, 3],
  ])('gives what each rollout gives by itself, adapters on %i and %i of 4 layers', (policyLayers, valueLayers) => {
    const models = adapted(policyLayers, valueLayers);
    const temperature = 0.7;
    using trunk = new StepTrunk([models.policy, models.reference, models.value]);
    const found = assess(models, rollouts, [[[0, 2], [3]], [[1]]], trunk, { temperature }); // biome-ignore format: nested
    torch.scope(() =>
      torch.noGrad(() => {
        const logits = (adapter: string | null, one: Rollout) =>
          models.model.logits(alone(models, adapter, one)).div(temperature);
        const logProbs = (adapter: string | null) =>
          rollouts.map((one) => {
            const targets = torch.tensor([...one.ids], { dtype: 'int64' }).unsqueeze(1); // [T, 1]
            return logits(adapter, one).logSoftmax(-1).gather(1, targets).squeeze(1); // [T]
          });
        const entropies = rollouts.map((one) => {
          const all = logits('policy', one).logSoftmax(-1); // [T, V]
          return all.exp().mul(all).sum(-1).neg(); // [T]
        });
        const values = rollouts.map((one) =>
          models.lora.withAdapter('value', () => models.model.values(alone(models, 'value', one))),
        );
        const expectClose = (array: Float32Array, tensors: Tensor[]) =>
          expect(torch.fromTypedArray(array)).toBeCloseToTensor(torch.cat(tensors), TOLERANCE);
        expectClose(found.logProbs, logProbs('policy'));
        expectClose(found.refLogProbs, logProbs(null));
        expectClose(found.entropies, entropies);
        expectClose(found.values, values);
      }),
    );
    // Policy and reference differ, or all this would prove nothing.
    expect(Math.abs(found.logProbs[0]! - found.refLogProbs[0]!)).toBeGreaterThan(0.01);
  });

  test('goes on from where a reward model filled the trunk, which scores as it does alone', () => {
    const models = adapted(2, 2);
    // The value adapter has a head, and reads the last token as a reward model does.
    const view = models.value;
    using trunk = new StepTrunk([models.policy, models.reference, models.value]);
    const scores = rolloutScores(trunk, view, rollouts, 40);
    using fresh = new StepTrunk([]);
    const alone = rollouts.flatMap((one) => rolloutScores(fresh, view, [one], 40));
    for (const [i, score] of scores.entries()) expect(score).toBeCloseTo(alone[i]!, 5);
    expect(new Set(scores.map((score) => score.toFixed(4))).size).toBe(rollouts.length);
    const plan = [[[0, 2], [3]], [[1]]]; // biome-ignore format: nested
    const [found, expected] = [trunk, fresh].map((from) => assess(models, rollouts, plan, from, { temperature: 1 }));
    for (const name of ['logProbs', 'refLogProbs', 'values', 'entropies'] as const) {
      const wanted = torch.fromTypedArray(expected![name]);
      expect(torch.fromTypedArray(found![name])).toBeCloseToTensor(wanted, TOLERANCE);
    }
  });

  test('what is trained on afterwards begins with the same bits, and has the gradients of the whole model', () => {
    const models = adapted(2, 1);
    const plan = [[[0, 1], [2, 3]]]; // biome-ignore format: nested
    using trunk = new StepTrunk([models.policy, models.reference, models.value]);
    const found = assess(models, rollouts, plan, trunk, { temperature: 1 });
    const tokens = new CompletionTokens(rollouts);
    const gradients = () => [...models.lora.get('policy').parameters()].map((parameter) => parameter.grad!.clone());
    for (const rows of plan.flat()) {
      torch.scope(() => {
        const packed = pack(rollouts, rows, models.model);
        const before = tokens.take(found.logProbs, rows, 'cpu');
        completionLoss(trunk, models.policy, packed, {}, (logProbs) => {
          expect(logProbs.detach().bytes()).toEqual(before.bytes());
          return logProbs.sum();
        }).backward();
        const values = completionValues(trunk, models.value, packed);
        expect(values.detach().bytes()).toEqual(tokens.take(found.values, rows, 'cpu').bytes());
      });
    }
    const resumed = gradients();
    models.lora.get('policy').zeroGrad();
    using nothingKept = new StepTrunk([]);
    for (const rows of plan.flat()) {
      torch.scope(() =>
        completionLoss(nothingKept, models.policy, pack(rollouts, rows, models.model), {}, (logProbs) =>
          logProbs.sum(),
        ).backward(),
      );
    }
    for (const [i, gradient] of gradients().entries()) expect(resumed[i]!).toBeCloseToTensor(gradient, TOLERANCE);
  });

  test('the layers below all adapters are computed once', () => {
    const models = adapted(2, 1);
    using trunk = new StepTrunk([models.policy, models.reference, models.value]);
    const calls: number[] = [];
    const forward = models.model.forward.bind(models.model);
    models.model.forward = (ids, context, options = {}) => {
      const onLayer: ForwardOptions['onLayer'] = (input) => {
        calls[input.layer] = (calls[input.layer] ?? 0) + 1;
        options.onLayer?.(input);
      };
      return forward(ids, context, { ...options, onLayer });
    };
    assess(models, rollouts, [[[0, 1, 2, 3]]], trunk, { temperature: 1 });
    // Reference, policy from layer 2 on, value model from layer 3 on.
    expect(calls).toEqual([1, 1, 2, 3]);
    const packed = pack(rollouts, [1, 3], models.model);
    completionLoss(trunk, models.policy, packed, {}, (logProbs) => logProbs.sum());
    completionValues(trunk, models.value, packed);
    expect(calls).toEqual([1, 1, 3, 5]);
  });
});

describe('mini-batches', () => {
  test('hold every rollout once, neighbours together, in parts of at most so many tokens', () => {
    const plan = planMiniBatches([3, 0, 2, 1], rollouts, { numMiniBatches: 2, microBatchTokens: 25 });
    // Inputs have 20, 18, 5 and 20 tokens: what is predicted last is no input.
    expect(plan).toEqual([[[0], [3]], [[1, 2]]]); // biome-ignore format: nested
  });

  test('completions of one prompt are kept together', () => {
    const [first, second] = [{ ids: question }, { ids: [7, 8] }];
    const sampled = [first, first, second, first].map((prompt) => ({ prompt, ids: [1], text: '', finished: true }));
    expect(promptGroups(sampled)).toEqual([[0, 1], [2], [3]]);
  });

  test('a row longer than a part may be is one by itself', () => {
    expect(packTokens([0, 1, 2, 3], [5, 50, 4, 6], 10)).toEqual([[0], [1], [2, 3]]);
    expect(packTokens([], [], 10)).toEqual([]);
  });
});
