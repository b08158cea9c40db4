import { describe, expect, test } from 'vitest';
import { LoraAdapters, PackedAttention } from '../../models/index.ts';
import { Generator, torch } from '../../tensor/index.ts';
import { checkScores } from '../preflight.ts';
import { RewardModel } from '../reward/model.ts';
import { errorOf } from '../testing/index.ts';
import { StepTrunk } from './passes.ts';
import { type RewardBatch, rewardModel, scoreRollouts } from './rewards.ts';
import type { Rollout } from './rollout.ts';
import { tinyLlama } from './testing/index.ts';

const rollouts: Rollout[] = [
  { prompt: { ids: [5, 6], prompt: 'question' }, ids: [7, 8, 0], text: 'answer', finished: true },
  { prompt: { ids: [5, 6] }, ids: [9, 9, 9], text: 'cut off', finished: false },
];
const config = { missingEosPenalty: null, missingEosScore: null };

describe('scores', () => {
  test('are the weighted sum of all terms', async () => {
    const seen: RewardBatch[] = [];
    const { raw, final, terms } = await scoreRollouts(
      rollouts,
      [
        {
          name: 'a',
          score: (batch) => {
            seen.push(batch);
            return [1, 2];
          },
        },
        { name: 'b', weight: -0.5, score: async () => [4, 2] },
        { name: 'watched', weight: 0, score: () => [100, 200] },
      ],
      config,
    );
    expect([...raw]).toEqual([-1, 1]);
    expect([...final]).toEqual([-1, 1]);
    expect(terms).toEqual({ a: [1, 2], b: [4, 2], watched: [100, 200] });
    expect(seen).toEqual([
      {
        prompts: ['question', ''],
        completions: ['answer', 'cut off'],
        ids: [[7, 8, 0], [9, 9, 9]], // biome-ignore format: pairs
        promptIds: [[5, 6], [5, 6]], // biome-ignore format: pairs
        finished: [true, false],
      },
    ]);
  });

  test.each([
    ['kept', {}, [1, 2]],
    ['lowered', { missingEosPenalty: 3 }, [1, -1]],
    ['replaced', { missingEosScore: -7 }, [1, -7]],
  ])('of a completion without its end are %s', async (_, given, expected) => {
    const scores = await scoreRollouts(rollouts, [{ name: 'a', score: () => [1, 2] }], { ...config, ...given });
    expect([...scores.final]).toEqual(expected);
    expect([...scores.raw]).toEqual([1, 2]);
  });

  test('must be there for each completion', async () => {
    const refused = await errorOf(() => scoreRollouts(rollouts, [{ name: 'a', score: () => [1] }], config));
    expect(refused).toMatchObject({ path: 'rewards.a', expected: '2 numbers', received: '1' });
  });
});

describe('a reward model', () => {
  const model = tinyLlama({ vocabulary: 20, layers: 2, hidden: 32, positions: 64 });
  const adapters = new LoraAdapters(model);
  const reward = adapters.add('reward', { head: true, generator: new Generator({ seed: 1 }) });
  torch.noGrad(() => {
    for (const { lora_B } of Object.values(reward.pairs))
      lora_B.normal_(0, 0.2, { generator: new Generator({ seed: 2 }) });
  });
  const view = { model, adapter: 'reward' };
  const alone = (ids: readonly number[]): number =>
    torch.scope(() =>
      torch.noGrad(() => {
        const context = new PackedAttention([ids.length]);
        const hidden = () => model.forward(torch.tensor([...ids], { dtype: 'int64' }), context);
        return adapters.withAdapter('reward', () => model.scores(hidden(), context)).item();
      }),
    );
  const promptIds = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 1, 2, 3, 4], [1, 2, 3]]; // biome-ignore format: rows
  const batch = (ids: number[][]): RewardBatch => ({
    prompts: ids.map(() => ''),
    completions: ids.map(() => ''),
    ids,
    promptIds: ids.map((_, i) => promptIds[i % 3]!),
    finished: ids.map(() => true),
  });
  const answers = [[5, 6, 0], [7, 8], [9, 0], [5, 5, 5, 5], [7, 9, 0], [3]]; // biome-ignore format: rows

  test('reads the last token, its end appended where it is missing, whatever else is in the batch', async () => {
    const expected = answers.map((ids, i) => alone([...promptIds[i % 3]!, ...ids, ...(ids.at(-1) === 0 ? [] : [0])]));
    for (const microBatchTokens of [1, 40, 2048]) {
      const scores = await rewardModel(view, { eosIds: [0], microBatchTokens })(batch(answers));
      expect(checkScores(scores, expected, 1e-5)).toEqual([]);
    }
    expect(new Set(expected.map((score) => score.toFixed(4))).size).toBe(6);
  });

  test('of several members, normalised and joined by a rule', async () => {
    const members = [
      { adapter: 'reward', normalisation: { mean: 1, sd: 2 } },
      { adapter: 'reward', normalisation: { mean: 0, sd: 1 } },
    ];
    const scores = await rewardModel(new RewardModel(model, members, { rule: 'min' }))(batch(answers));
    const expected = answers.map((ids, i) => {
      const score = alone([...promptIds[i % 3]!, ...ids]);
      return Math.min((score - 1) / 2, score);
    });
    expect(checkScores(scores, expected, 1e-5)).toEqual([]);
    // The same from the step's trunk.
    using trunk = new StepTrunk([view]);
    const rollouts = answers.map((ids, i) => ({ prompt: { ids: promptIds[i % 3]! }, ids, text: '', finished: true }));
    const term = { name: 'both', score: rewardModel(new RewardModel(model, members, { rule: 'min' })) };
    const { raw } = await scoreRollouts(rollouts, [term], { missingEosPenalty: null, missingEosScore: null }, trunk);
    expect(checkScores([...raw], expected, 1e-5)).toEqual([]);
  });

  test('appends nothing unless told to', async () => {
    const scores = await rewardModel(view)(batch(answers));
    const expected = answers.map((ids, i) => alone([...promptIds[i % 3]!, ...ids]));
    expect(checkScores(scores, expected, 1e-5)).toEqual([]);
  });
});
