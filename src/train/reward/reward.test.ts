import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import '../../../tests/support/allClose.ts';
import type { PreferenceRecord, RankingRecord } from '../../data/index.ts';
import { type CausalModel, type LoraAdapters, loadModel } from '../../models/index.ts';
import { torch } from '../../tensor/index.ts';
import { parseConfig } from '../config.ts';
import { Draws } from '../random.ts';
import type { TrainEvent } from '../run.ts';
import {
  bytesOf,
  errorOf,
  maxDifference,
  temporaryDirectory,
  timeless,
  tinyModel,
  tokenizer,
} from '../testing/index.ts';
import { liking, preferences, rankings } from '../testing/preferences.ts';
import {
  RewardConfig,
  type RewardInputs,
  RewardModel,
  type RewardOptions,
  trainReward,
  trainRewardEnsemble,
} from './index.ts';
import { ENSEMBLE_RULES, readRewardFile } from './model.ts';
import { rewardRows } from './rows.ts';
import { scoreCompletions, separateScores } from './score.ts';

interface Given<F extends 'preference' | 'ranking'> extends Partial<Omit<RewardInputs<F>, 'format'>> {
  train: RewardInputs<F>['train'];
}

/** Trains over a fresh tiny model in a directory of its own. */
async function train<F extends 'preference' | 'ranking'>(
  format: F,
  given: Given<F>,
  options: RewardOptions = {},
  run: { directory?: string; stopAfter?: number } = {},
) {
  await using fresh = await temporaryDirectory();
  const directory = run.directory ?? fresh.path;
  const model = given.model ?? tinyModel();
  const events: TrainEvent[] = [];
  const result = await trainReward<F>(
    { model, tokenizer, format, ...given },
    { tensorboard: false, evalSteps: 1000, ...options },
    { directory, onEvent: (event) => events.push(event), ...run },
  );
  const adapters = model.adapters as LoraAdapters | null;
  const trained = adapters === null ? model.namedParameters() : adapters.get('reward').namedParameters();
  return { model, result, events, metrics: timeless(directory), weights: bytesOf(trained) };
}

const fast: RewardOptions = { batchSize: 16, learningRate: 1e-2, maxSteps: 60, lora: { rank: 8 } };
const heldOut = preferences(100, 2);

const groupOf = (prompt: string, ...answers: string[]) => ({
  promptIds: tokenizer.encode(prompt),
  completions: answers.map((text) => [
    ...tokenizer.encode(text, { addSpecialTokens: false, after: 'text' }),
    tokenizer.eosId!,
  ]),
});

describe('learns', () => {
  test('what pairs prefer, on prompts that it never saw; what is saved scores the same, normalised', async () => {
    await using directory = await temporaryDirectory();
    const { result, model } = await train(
      'preference',
      { train: preferences(300, 1), evaluation: heldOut, agreement: 0.95 },
      fast,
      { directory: directory.path },
    );
    const report = result.report!;
    expect(report.accuracy.value).toBeGreaterThan(0.9);
    expect(report.accuracy.low).toBeGreaterThan(0.8);
    expect(report).toMatchObject({ prompts: 100, pairs: 100, agreement: 0.95 });
    expect(result.evaluation!.accuracy).toBe(report.accuracy.value);
    expect((await readRewardFile(result.output!)).report).toEqual(JSON.parse(JSON.stringify(report)));

    const groups = [groupOf('the fox was 7', ' the happy day', ' the sad day')];
    const raw = await scoreCompletions(model, groups, { adapter: 'reward' });
    using base = tinyModel();
    const reward = await RewardModel.load(base, result.output!);
    const [scores] = await reward.score(groups);
    const { mean, sd } = result.normalisation!;
    for (const [i, score] of scores!.entries()) expect(score).toBeCloseTo((raw[0]![i]! - mean) / sd, 4);
    expect(scores![0]).toBeGreaterThan(scores![1]!);
  });

  test('from rankings with ties and completions that nobody ranked: every order of the taste', async () => {
    const { model } = await train(
      'ranking',
      { train: rankings(80, 1) },
      { ...fast, batchSize: 8, loss: 'plackettLuce' },
    );
    const [scores] = await scoreCompletions(
      model,
      [groupOf('the dog was 3', ' a sad day', ' a happy day', ' a big day')],
      {
        adapter: 'reward',
      },
    );
    expect(scores![1]).toBeGreaterThan(scores![2]!);
    expect(scores![2]).toBeGreaterThan(scores![0]!);
  });

  test('probabilities, from soft labels', async () => {
    // Whoever is asked prefers the happy answer to the sad one three times in four.
    const soft = preferences(200, 3).map((record): PreferenceRecord => {
      const wins = liking(record.chosen as string) - liking(record.rejected as string) > 2;
      return { ...record, extra: { sure: wins ? 0.75 : 0.5 } };
    });
    const { result } = await train(
      'preference',
      { train: soft, evaluation: soft.slice(0, 60) },
      { ...fast, labelColumn: 'sure', centerRewardsCoefficient: 0 },
    );
    expect(result.report!.margin).toBeGreaterThan(0.6 * Math.log(3));
    expect(result.report!.margin).toBeLessThan(1.6 * Math.log(3));
    expect(result.report!.ece).toBeLessThan(0.15);
  });

  test('with an adapter in the last layer: the layers below record no graph', async () => {
    const { model, result } = await train(
      'preference',
      { train: preferences(300, 1), evaluation: heldOut },
      { ...fast, layersToTrain: 1 },
    );
    expect(result.report!.accuracy.low).toBeGreaterThan(0.5);
    const { pairs } = (model.adapters as LoraAdapters).get('reward');
    expect(Object.keys(pairs).every((name) => name.startsWith('model.layers.2.'))).toBe(true);
    const graphs: boolean[] = [];
    const spy = {
      positions: torch.arange(4),
      maxLength: 4,
      attend(_layer: number, q: ReturnType<typeof torch.arange>) {
        graphs.push(q.requiresGrad);
        return q;
      },
    };
    (model.adapters as LoraAdapters).withAdapter('reward', () =>
      model.forward(torch.tensor([5, 6, 7, 8], { dtype: 'int64' }), spy),
    );
    expect(graphs).toEqual([false, false, true]);
  });

  test('with all weights, saved as a model with its head', async () => {
    await using directory = await temporaryDirectory();
    const { result, model } = await train(
      'preference',
      { model: tinyModel('score'), train: preferences(200, 1), evaluation: heldOut },
      { ...fast, lora: null, learningRate: 3e-3, maxSteps: 70 },
      { directory: directory.path },
    );
    expect(result.report!.accuracy.value).toBeGreaterThan(0.9);
    using again = await loadModel(result.output!);
    const groups = [groupOf('the fox', ' the happy day', ' the sad day')];
    expect(await scoreCompletions(again, groups)).toEqual(await scoreCompletions(model, groups));
  });
});

describe('scores', () => {
  const draws = new Draws(8);
  const model: CausalModel = tinyModel('score');
  const groups = Array.from({ length: 9 }, (_, g) => ({
    promptIds: Array.from({ length: 1 + draws.below(20) }, () => 3 + draws.below(600)),
    completions: Array.from({ length: 1 + (g % 4) }, () =>
      Array.from({ length: 1 + draws.below(9) }, () => 3 + draws.below(600)),
    ),
  }));

  test('are those of whole sequences, whatever is asked together, in the order asked', async () => {
    const expected = torch.noGrad(() => separateScores(model, groups).tolist()) as number[];
    for (const microBatchTokens of [1, 64, 4096]) {
      const scores = await scoreCompletions(model, groups, { microBatchTokens });
      expect(scores.map(({ length }) => length)).toEqual(groups.map(({ completions }) => completions.length));
      for (const [i, score] of scores.flat().entries()) expect(score).toBeCloseTo(expected[i]!, 4);
    }
  });

  test('are read at the end of text, which completions that lack it are given', async () => {
    const [eos, other] = [tokenizer.eosId!, 77];
    const ends = { promptIds: [5, 6], completions: [[9, eos], [9, other], [9]] }; // biome-ignore format: ids
    const [scores] = await scoreCompletions(model, [ends], { eosIds: [eos, other] });
    const [given] = await scoreCompletions(model, [{ promptIds: [5, 6], completions: [[9, eos], [9, other], [9, eos]] }]); // biome-ignore format: ids
    expect(scores).toEqual(given);
  });

  test('stop when their signal is aborted', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(scoreCompletions(model, groups, { signal })).rejects.toThrow('enough');
  });
});

describe('training', () => {
  const records = preferences(24, 4);

  test('does not depend on the parts that a step is computed in', async () => {
    const options: RewardOptions = {
      batchSize: 24,
      maxSteps: 3,
      learningRate: 1e-3,
      adamEpsilon: 1e-3,
      lora: { rank: 4 },
    };
    const whole = await train('preference', { train: records }, options);
    for (const more of [{ microBatchTokens: 60 }, { gradientCheckpointing: true }]) {
      const parts = await train('preference', { train: records }, { ...options, ...more });
      expect(maxDifference(whole.weights, parts.weights)).toBeLessThan(1e-6);
    }
  });

  test('computes frozen layers once where it can, and gains nothing else by it', async () => {
    const options: RewardOptions = {
      ...{ batchSize: 8, numTrainEpochs: 2, learningRate: 1e-3, adamEpsilon: 1e-3, layersToTrain: 1 },
      evalSteps: 3,
    };
    const given = { train: records, evaluation: heldOut.slice(0, 10) };
    const once = await train('preference', given, options);
    const always = await train('preference', given, { ...options, frozenCacheMiB: 0 });
    const checkpointed = await train('preference', given, { ...options, gradientCheckpointing: true });
    for (const other of [always, checkpointed]) {
      expect(maxDifference(once.weights, other.weights)).toBeLessThan(1e-6);
      expect(other.result.report!.margin).toBeCloseTo(once.result.report!.margin, 4);
    }
  });

  test('that is stopped goes on to the same bits and the same report', async () => {
    const options: RewardOptions = {
      layersToTrain: 2,
      batchSize: 5,
      numTrainEpochs: 2,
      learningRate: 3e-3,
      evalSteps: 4,
      lora: { rank: 4, dropout: 0.1 },
    };
    const given = { train: records, evaluation: heldOut.slice(0, 10) };
    const whole = await train('preference', given, options);
    await using directory = await temporaryDirectory();
    const first = await train('preference', given, options, { directory: directory.path, stopAfter: 3 });
    expect(first.result).toMatchObject({ stopped: true, output: null, report: null, normalisation: null });
    expect(existsSync(join(directory.path, 'adapter'))).toBe(false);
    const second = await train('preference', given, options, { directory: directory.path });
    expect(second.weights).toEqual(whole.weights);
    expect(second.metrics).toEqual(whole.metrics);
    expect({ ...second.result, output: '' }).toEqual({ ...whole.result, output: '' });
  });

  test('reference completions have mean 0 and standard deviation 1 after it', async () => {
    await using directory = await temporaryDirectory();
    const references = records.map(({ prompt, chosen }) => ({ prompt, completion: chosen }));
    const { result } = await train(
      'preference',
      { train: records, references },
      { ...fast, maxSteps: 10 },
      { directory: directory.path },
    );
    using base = tinyModel();
    const reward = await RewardModel.load(base, result.output!);
    const groups = references.map(({ prompt, completion }) => groupOf(prompt as string, completion as string));
    const scores = (await reward.score(groups)).flat();
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    expect(mean).toBeCloseTo(0, 3);
    expect(Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length)).toBeCloseTo(1, 3);
  });

  test('what several people said about the same completions is one row, each completion computed once', () => {
    const one = { prompt: 'the dog was 3', completions: [' a sad day', ' a happy day'], ranks: [2, 1] };
    const rows = [
      one,
      { ...one, prompt: 'the fox was 7' },
      { ...one, ranks: [1, 1] },
      { ...one, truncated: [true, false] },
    ];
    const made = rewardRows(tokenizer, 'ranking', rows, {});
    expect(made.sources).toEqual([0, 1, 3]);
    expect(made.rows[0]!.comparison.rankings).toEqual([[2, 1], [1, 1]]); // biome-ignore format: one line
    expect(made.rows[0]!.comparison.pairs).toHaveLength(2);
  });

  test('prompts that teach nothing do not count: the loss is the mean over the others', async () => {
    const tie = rankings(4, 5).map((record): RankingRecord => ({ ...record, ranks: [1, 1, null, null] }));
    const rows = rankings(4, 6);
    const once: RewardOptions = { maxSteps: 1, batchSize: 8, learningRate: 1e-9, centerRewardsCoefficient: 0 };
    const lossOf = async (train_: RankingRecord[]) =>
      (await train('ranking', { train: train_ }, once)).result.metrics.loss;
    expect(await lossOf([...rows, ...tie])).toBeCloseTo((await lossOf(rows))!, 5);
  });

  test('warns of prompts that are on both sides', async () => {
    const { events } = await train('preference', { train: records, evaluation: records.slice(0, 2) }, { maxSteps: 1 });
    expect(events).toContainEqual({ type: 'note', text: expect.stringContaining('2 of 2 held-out rows') });
  });

  test('refuses soft labels that are none, and all weights of a model without a score head', async () => {
    const labels = await errorOf(() => train('preference', { train: records }, { labelColumn: 'sure' }));
    expect([labels.path, labels.received]).toEqual(['records[0].extra.sure', 'nothing']);
    expect((await errorOf(() => train('preference', { train: records }, { lora: null }))).remedy).toContain('score');
    expect((await errorOf(() => parseConfig(RewardConfig, { loss: 'hinge' as 'davidson' }, 'reward'))).path).toBe(
      'reward.loss',
    );
  });
});

describe('an ensemble', () => {
  test('has members that differ, whose disagreement lowers a score', async () => {
    await using directory = await temporaryDirectory();
    const inputs = { model: tinyModel(), tokenizer, format: 'preference' as const, train: preferences(60, 1) };
    const options = { ...fast, maxSteps: 12, tensorboard: false };
    const { members, stopped } = await trainRewardEnsemble(inputs, options, { directory: directory.path }, 2);
    expect(stopped).toBe(false);
    using base = tinyModel();
    const outputs = members.map(({ output }) => output!);
    const groups = [groupOf('the fox was 7', ' the happy day', ' the sad day', ' the fox')];
    const reward = await RewardModel.load(base, outputs, { rule: 'min' });
    expect(reward.adapters).toEqual(['reward', 'reward-2']);
    const [first, second] = await reward.memberScores(groups);
    expect(first).not.toEqual(second);
    expect(await reward.score(groups)).toEqual([first![0]!.map((score, k) => Math.min(score, second![0]![k]!))]);
  });

  test.each([
    ['mean', 2],
    ['min', 0],
    ['median', 1],
    ['meanMinusVariance', 2 - 0.5 * (14 / 3)],
    ['meanMinusDeviation', 2 - 0.5 * Math.sqrt(14 / 3)],
  ] as const)('%s of 0, 1 and 5', (rule, expected) => {
    expect(ENSEMBLE_RULES[rule]([0, 5, 1], 0.5)).toBeCloseTo(expected, 12);
  });

  test('what is no reward model is refused', async () => {
    await using directory = await temporaryDirectory();
    expect((await errorOf(() => RewardModel.load(tinyModel(), directory.path))).code).toBe('IO_FAILED');
    writeFileSync(join(directory.path, 'reward.json'), '{"version":1,"normalisation":{"mean":0,"sd":0}}');
    expect((await errorOf(() => RewardModel.load(tinyModel(), directory.path))).code).toBe('BAD_FILE');
  });
});
