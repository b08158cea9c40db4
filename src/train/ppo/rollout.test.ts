import { describe, expect, test } from 'vitest';
import { LoraAdapters } from '../../models/index.ts';
import { Generator, torch } from '../../tensor/index.ts';
import { errorOf } from '../testing/index.ts';
import { resolvePpoConfig } from './config.ts';
import { RolloutSampler } from './rollout.ts';
import { nextLogProbs, tinyLlama } from './testing/index.ts';

const config = resolvePpoConfig({ batchSize: 6, numGenerations: 2, maxCompletionLength: 5, totalEpisodes: 60 });
const prompts = [[1, 2], [3], [4, 5, 6], [7]].map((ids) => ({ ids }));
const stopIds = [0];

describe('the rollouts of a step', () => {
  test('are neighbours with the same prompt, end at the first stop token, and follow from seed and step alone', async () => {
    const model = tinyLlama({ vocabulary: 12, positions: 16 });
    const policy = { model, adapter: null };
    using sampler = new RolloutSampler(policy, { prompts, stopIds }, config);
    const second = await sampler.sample(2);
    const first = await sampler.sample(1);
    expect(first).toHaveLength(6);
    for (const [i, { prompt, ids, finished }] of [...first, ...second].entries()) {
      if (i % 2 === 0) expect([...first, ...second][i + 1]!.prompt).toBe(prompt);
      expect(ids.slice(0, -1)).not.toContain(0);
      expect(finished).toBe(ids.at(-1) === 0);
      if (!finished) expect(ids).toHaveLength(5);
    }
    // Three prompts a step: all four come once before any comes again.
    const order = [...first, ...second]
      .filter((_, i) => i % 2 === 0)
      .map(({ prompt }) => prompts.findIndex(({ ids }) => ids === prompt.ids));
    expect(order.slice(0, 4).toSorted()).toEqual([0, 1, 2, 3]);
    using again = new RolloutSampler(policy, { prompts, stopIds }, { ...config, generationRows: 2 });
    expect(await again.sample(2)).toEqual(second);
    using other = new RolloutSampler(policy, { prompts, stopIds }, { ...config, seed: 1 });
    expect((await other.sample(2)).map(({ ids }) => ids)).not.toEqual(second.map(({ ids }) => ids));
  });

  test.each(['float32', 'bfloat16'] as const)(
    'come from the policy with its adapter, at the temperature, and leave the base as it was, in %s',
    async (dtype) => {
      const model = tinyLlama({ vocabulary: 12, positions: 16, spread: 0.4, dtype });
      const lora = new LoraAdapters(model);
      const generator = new Generator({ seed: 3 });
      torch.noGrad(() => {
        for (const { lora_B } of Object.values(lora.add('policy', { generator }).pairs))
          lora_B.normal_(0, 1, { generator });
      });
      const before = [...model.parameters()].map((parameter) => parameter.bytes());
      const count = 2000;
      using sampler = new RolloutSampler(
        { model, adapter: 'policy' },
        { prompts: [{ ids: [1, 2] }], stopIds: [] },
        {
          ...config,
          batchSize: count,
          numGenerations: count,
          maxCompletionLength: 1,
          temperature: 2,
          generationRows: 500,
        },
      );
      const counts = Array<number>(12).fill(0);
      for (const { ids } of await sampler.sample(1)) counts[ids[0]!]! += 1 / count;
      const probabilities = (adapter: string | null): number[] =>
        torch.scope(
          () =>
            lora
              .withAdapter(adapter, () => nextLogProbs(model, [1, 2]))
              .div(2)
              .softmax(-1)
              .tolist() as number[],
        );
      const distance = (p: number[]) => Math.max(...p.map((share, i) => Math.abs(share - counts[i]!)));
      // Three standard deviations of a share of 2000 draws are 0.034 at most.
      expect(distance(probabilities('policy'))).toBeLessThan(0.034);
      expect(distance(probabilities(null))).toBeGreaterThan(0.1);
      expect([...model.parameters()].map((parameter) => parameter.bytes())).toEqual(before);
    },
  );

  test('need prompts that leave room for them', async () => {
    const model = tinyLlama({ vocabulary: 12, positions: 16 });
    const long = { ids: Array<number>(12).fill(1) };
    const refused = await errorOf(
      () => new RolloutSampler({ model, adapter: null }, { prompts: [...prompts, long], stopIds }, config),
    );
    expect(refused).toMatchObject({ code: 'BAD_ARGUMENT', path: 'prompts[4]', received: '12 tokens' });
  });
});
