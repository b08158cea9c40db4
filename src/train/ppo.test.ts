import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LoraAdapters, loadAdapter, loadModel } from '../models/index.ts';
import { sharedData } from '../models/testing.ts';
import { Generator, torch } from '../tensor/index.ts';
import { loadTokenizer } from '../text/index.ts';
import { type Metrics, readMetrics } from './metrics.ts';
import {
  BANDIT,
  banditModel,
  banditTask,
  fullModels,
  LANGUAGE,
  languageTask,
  nextLogProbs,
  proxyReward,
  tinyLlama,
} from './ppo/testing/index.ts';
import { adapterModels, type PpoInputs, type PpoOptions, readCompletions, trainPpo } from './ppo.ts';
import type { TrainEvent, TrainRun } from './run.ts';
import { bytesOf, errorOf, temporaryDirectory } from './testing/index.ts';

/** Runs in a directory of its own; all metrics, step by step. */
async function metricsOf(inputs: PpoInputs, options: PpoOptions, run: Partial<TrainRun> = {}): Promise<Metrics[]> {
  await using directory = await temporaryDirectory();
  await trainPpo(inputs, options, { directory: directory.path, ...run });
  return readMetrics(directory.path).map(({ metrics }) => metrics);
}

describe('a bandit whose optimum is known: π* = ref e^{r/β} / Z', () => {
  test('starts at the reference', () => {
    using model = banditModel();
    const probabilities = nextLogProbs(model, BANDIT.prompt).exp().tolist() as number[];
    for (const [arm, p] of probabilities.entries()) expect(p).toBeCloseTo(BANDIT.reference[arm]!, 5);
  });

  test.each(['all weights', 'adapters over one base'])('is found by training %s', async (what) => {
    const full = what === 'all weights';
    const models = full
      ? fullModels(() => banditModel(), tinyLlama({ vocabulary: 4, head: 'value', seed: 1 }))
      : adapterModels(banditModel());
    const metrics = await metricsOf({ ...banditTask.inputs, models }, banditTask.options);
    const { model, adapter } = models.policy;
    const found = () => nextLogProbs(model, BANDIT.prompt).exp().tolist() as number[];
    const probabilities = adapter === null ? found() : (model.adapters as LoraAdapters).withAdapter(adapter, found);
    for (const [arm, p] of probabilities.entries()) expect(Math.abs(p - BANDIT.optimum[arm]!)).toBeLessThan(0.005);
    // J* = log Z, whatever the sampled arms.
    expect(Math.abs(metrics.at(-1)!['reward/total']! - 1.547956)).toBeLessThan(0.005);
    // Of reference's arms: E r = 1, sd of 512 samples 0.044.
    expect(Math.abs(metrics[0]!['reward/score']! - 1)).toBeLessThan(0.2);
    expect(metrics[0]!['kl/sequence']).toBe(0);
    expect(metrics[0]!['policy/entropy']).toBeCloseTo(1.27985, 3);
  });
});

describe('a tiny language, a proxy reward that forgets to punish repetition, and the gold reward that does not', () => {
  const train = (klCoef: number) => {
    const { inputs, options } = languageTask();
    return metricsOf(inputs, { ...options, totalEpisodes: 20 * 128, klCoef });
  };

  test('a firm penalty gains both and stays; a weak one peaks and collapses into repetition', {
    timeout: 120_000,
  }, async () => {
    const [firm, weak] = [await train(0.1), await train(0.01)];
    const gold = (metrics: readonly Metrics[]) => metrics.map((one) => one['scores/gold']!);
    const last = (metrics: readonly Metrics[], name: string) =>
      metrics.slice(-3).reduce((sum, one) => sum + one[name]!, 0) / 3;
    // Both begin alike, with the same samples.
    expect(gold(firm)[0]).toBe(gold(weak)[0]);
    expect(last(firm, 'scores/gold')).toBeGreaterThan(gold(firm)[0]! + 0.3);
    expect(last(firm, 'scores/proxy')).toBeGreaterThan(0.7);

    expect(last(weak, 'scores/proxy')).toBeGreaterThan(last(firm, 'scores/proxy') + 0.5);
    expect(Math.max(...gold(weak))).toBeGreaterThan(last(weak, 'scores/gold') + 0.2);
    expect(last(weak, 'scores/gold')).toBeLessThan(last(firm, 'scores/gold') - 0.2);
    expect(last(weak, 'scores/repeated')).toBeGreaterThan(5);
    expect(last(weak, 'completion/repetition')).toBeGreaterThan(0.3);
    expect(last(weak, 'kl/sequence')).toBeGreaterThan(3 * last(firm, 'kl/sequence'));
    expect(last(weak, 'policy/entropy')).toBeLessThan(last(firm, 'policy/entropy') / 2);
    // The value model learns what comes.
    expect(last(weak, 'value/explainedVariance')).toBeGreaterThan(0.5);
    for (const metrics of [...firm, ...weak])
      for (const value of Object.values(metrics)) expect(Number.isFinite(value)).toBe(true);
  });
});

describe('a run', () => {
  const tiny = () => tinyLlama({ vocabulary: LANGUAGE.vocabulary, layers: 2, positions: 48 });
  const inputs = (models = adapterModels(tiny(), { lora: { rank: 2 } })): PpoInputs => ({
    models,
    prompts: [{ ids: [1, 2], prompt: 'one' }, { ids: [3], prompt: 'two' }], // biome-ignore format: pairs
    rewards: [{ name: 'proxy', score: ({ ids }) => ids.map(proxyReward) }],
    stopIds: [LANGUAGE.end],
  });
  const config: PpoOptions = {
    totalEpisodes: 24,
    batchSize: 8,
    maxCompletionLength: 6,
    learningRate: 1e-2,
    logCompletions: 3,
  };

  test('saves policy and value model, metrics and some completions', async () => {
    await using directory = await temporaryDirectory();
    const events: TrainEvent[] = [];
    const given = inputs();
    const result = await trainPpo(given, config, { directory: directory.path, onEvent: (event) => events.push(event) });
    expect(result).toMatchObject({ steps: 3, totalSteps: 3, stopped: false });
    expect(events.filter(({ type }) => type === 'step')).toHaveLength(3);
    expect(readMetrics(directory.path).map(({ step }) => step)).toEqual([1, 2, 3]);
    const completions = readCompletions(directory.path);
    expect(completions.map(({ step }) => step)).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
    expect(['one', 'two']).toContain(completions[0]!.prompt);
    using model = tiny();
    const lora = new LoraAdapters(model);
    const trained = (given.models.policy.model.adapters as LoraAdapters).get('policy');
    const loaded = await loadAdapter(result.output!.policy, lora, 'policy');
    expect(bytesOf(loaded.namedParameters())).toEqual(bytesOf(trained.namedParameters()));
    expect((await loadAdapter(result.output!.value, lora, 'value')).score).not.toBeNull();
    // Called again, a run that has ended has nothing left to do.
    const again = await trainPpo(inputs(), config, { directory: directory.path });
    expect(again).toEqual(result);
  });

  test('saves whole models where all weights are trained', async () => {
    await using directory = await temporaryDirectory();
    const value = tinyLlama({ vocabulary: LANGUAGE.vocabulary, head: 'value', seed: 3 });
    const models = fullModels(tiny, value);
    const { output } = await trainPpo(inputs(models), { ...config, totalEpisodes: 8 }, { directory: directory.path });
    using policy = await loadModel(output!.policy);
    expect(bytesOf(policy.namedParameters())).toEqual(bytesOf(models.policy.model.namedParameters()));
    expect(bytesOf(policy.namedParameters())).not.toEqual(bytesOf(models.reference.model.namedParameters()));
    using reloaded = await loadModel(output!.value);
    expect(reloaded.score).not.toBeNull();
  });

  test('stops with care on a signal, and goes on to the same end', async () => {
    await using whole = await temporaryDirectory();
    await using parts = await temporaryDirectory();
    const expected = await trainPpo(inputs(), config, { directory: whole.path });
    const controller = new AbortController();
    const stopped = await trainPpo(inputs(), config, {
      directory: parts.path,
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'step') controller.abort();
      },
    });
    expect(stopped).toMatchObject({ steps: 1, stopped: true, output: null });
    expect(await trainPpo(inputs(), config, { directory: parts.path, stopAfter: 2 })).toMatchObject({ steps: 2 });
    const result = await trainPpo(inputs(), config, { directory: parts.path });
    const weights = (path: string) => readFileSync(join(path, 'adapter_model.safetensors'));
    expect(weights(result.output!.policy)).toEqual(weights(expected.output!.policy));
    expect(weights(result.output!.value)).toEqual(weights(expected.output!.value));
    const other = await errorOf(() => trainPpo(inputs(), { ...config, klCoef: 1 }, { directory: parts.path }));
    expect(other.message).toContain('another configuration');
  });

  test('begins with ratio 1 and KL 0 to the last bit, though the engine rounds differently', async () => {
    // Two mini-batches: the first must see the policy that sampled, in parts of few tokens and of many.
    for (const microBatchTokens of [16, 2048]) {
      const [first] = await metricsOf(inputs(), {
        ...config,
        totalEpisodes: 8,
        learningRate: 0,
        ppoEpochs: 1,
        numMiniBatches: 2,
        microBatchTokens,
      });
      expect(first!['policy/ratioMean']).toBe(1);
      expect(first!['policy/ratioMax']).toBe(1);
      expect(first!['kl/sequence']).toBe(0);
      expect(first!['policy/approxKl']).toBe(0);
    }
  });

  test('refuses a policy that is not where the reference is, unless told so', async () => {
    const given = inputs();
    torch.noGrad(() => {
      for (const pair of Object.values((given.models.policy.model.adapters as LoraAdapters).get('policy').pairs))
        pair.lora_B.normal_(0, 0.5, { generator: new Generator({ seed: 1 }) });
    });
    await using directory = await temporaryDirectory();
    const run = { directory: directory.path };
    const refusal = await errorOf(() => trainPpo(given, config, run));
    expect(refusal.message).toContain('Policy and reference differ before the first update');
    expect(refusal.remedy).toContain('startsAtReference');
    const result = await metricsOf(given, { ...config, startsAtReference: false });
    expect(result[0]!['kl/sequence']).not.toBe(0);
  });

  test('ends the passes of a step once the policy has moved far enough', async () => {
    const options = { ...config, totalEpisodes: 16, learningRate: 0.1, ppoEpochs: 8 };
    const [free] = await metricsOf(inputs(), options);
    const [held] = await metricsOf(inputs(), { ...options, targetKl: 0.01 });
    expect(free!['policy/updates']).toBe(8);
    expect(held!['policy/updates']).toBeLessThan(4);
    expect(held!['policy/updates']).toBeGreaterThan(0);
  });

  test('moves β towards the KL a sequence that is wanted', async () => {
    const horizon = { klTarget: 0.5, klHorizon: 20 };
    const metrics = await metricsOf(inputs(), { ...config, totalEpisodes: 64, adaptiveKl: true, ...horizon });
    let coef = 0.05;
    for (const one of metrics) {
      expect(one['kl/coef']).toBeCloseTo(coef, 12);
      // Ziegler et al., 2.2, with 8 episodes a step.
      coef *= 1 + (Math.max(-0.2, Math.min(0.2, one['kl/sequence']! / 0.5 - 1)) * 8) / 20;
    }
    expect(metrics.at(-1)!['kl/coef']).not.toBe(metrics.at(-2)!['kl/coef']);
  });

  test('takes from a completion without its end, or replaces its score', async () => {
    const common = { ...config, totalEpisodes: 8, maxCompletionLength: 3, klCoef: 0 };
    const [plain] = await metricsOf(inputs(), common);
    const [lowered] = await metricsOf(inputs(), { ...common, missingEosPenalty: 2 });
    const [replaced] = await metricsOf(inputs(), { ...common, missingEosScore: -5 });
    const cut = 1 - plain!['completion/eosRate']!;
    expect(cut).toBeGreaterThan(0);
    expect(lowered!['reward/total']).toBeCloseTo(plain!['reward/total']! - 2 * cut, 6);
    expect(replaced!['reward/score']).toBe(plain!['reward/score']);
    expect(replaced!['reward/total']).toBeLessThan(-4 * cut);
  });

  test('keeps the policy at its text with PPO-ptx', async () => {
    const pretraining = [{ ids: [5, 6, 7, 8, 9, 10] }];
    const options = { ...config, totalEpisodes: 40, ptxCoef: 5, ptxBatchSize: 1 };
    const metrics = await metricsOf({ ...inputs(), pretraining }, options);
    expect(metrics.at(-1)!['ptx/loss']).toBeLessThan(metrics[0]!['ptx/loss']! - 0.5);
  });

  test('says what is wrong before it begins', async () => {
    const models = adapterModels(tiny());
    const cases: [Partial<PpoInputs>, PpoOptions, RegExp][] = [
      [{ models: { ...models, reference: models.policy } }, {}, /Policy and reference are the same/],
      [{ models: { ...models, value: { model: tiny(), adapter: null } } }, {}, /no head/],
      [{ rewards: [] }, {}, /nothing to work for/],
      [{ prompts: [] }, {}, /no prompts/],
      [{ prompts: [{ ids: Array(44).fill(1) }] }, {}, /at least one prompt, each of 1 to 42 tokens/],
      [{}, { ptxCoef: 1 }, /PPO-ptx needs both/],
      [{}, { numGenerations: 3 }, /a divisor of batchSize/],
      [{}, { missingEosPenalty: 1, missingEosScore: 1 }, /either lowered or replaced/],
      [{}, { numMiniBatches: 9 }, /batchSize at most/],
      [
        { rewards: [{ name: 'few', score: () => [1] }] },
        {},
        /one finite number for each[\s\S]*rewards.few[\s\S]*8 numbers/,
      ],
      [{ rewards: [{ name: 'bad', score: ({ ids }) => ids.map(() => Number.NaN) }] }, {}, /NaN for/],
    ];
    for (const [given, options, message] of cases) {
      await using directory = await temporaryDirectory();
      const run = { directory: directory.path };
      const error = await errorOf(() => trainPpo({ ...inputs(models), ...given }, { ...config, ...options }, run));
      expect(error.message).toMatch(message);
      expect(error.code).toBe('BAD_ARGUMENT');
    }
    expect((await errorOf(() => metricsOf(inputs(), { beta: 1 } as PpoOptions))).received).toContain('beta');
  });
});

test('a small real model learns to write the letter that is rewarded', async ({ skip }) => {
  const directory = sharedData('models/stories260K');
  if (directory.missing) skip(directory.missing);
  const model = await loadModel(directory.path);
  const tokenizer = await loadTokenizer(directory.path);
  const prompts = ['Once upon a time', 'One day', 'The little', 'Lily', 'Tom and', 'There was'].map((prompt) => ({
    ids: tokenizer.encode(prompt),
    prompt,
  }));
  const share = (text: string) => (text.match(/[hH]/g) ?? []).length / Math.max(1, text.length);
  const metrics = await metricsOf(
    {
      models: adapterModels(model, { layersToTrain: 3 }),
      prompts,
      tokenizer,
      rewards: [{ name: 'share', weight: 20, score: ({ completions }) => completions.map(share) }],
      stopIds: tokenizer.eosIds,
    },
    {
      totalEpisodes: 16 * 32,
      batchSize: 32,
      maxCompletionLength: 24,
      learningRate: 2e-3,
      valueLearningRate: 1e-2,
      warmupRatio: 0.2,
      lrSchedulerType: 'constant',
    },
  );
  const meanShare = (some: readonly Metrics[]) =>
    some.reduce((sum, one) => sum + one['scores/share']!, 0) / some.length;
  // One of twenty letters and spaces of such stories is an h; then more than one of ten.
  expect(meanShare(metrics.slice(0, 3))).toBeLessThan(0.07);
  expect(meanShare(metrics.slice(-3))).toBeGreaterThan(0.1);
  for (const one of metrics.slice(3)) {
    expect(one['kl/sequence']).toBeGreaterThan(0);
    expect(one['kl/sequence']).toBeLessThan(200);
  }
});
