import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import '../../tests/support/allClose.ts';
import { LoraAdapters, loadAdapter, loadModel, PackedAttention } from '../models/index.ts';
import { torch } from '../tensor/index.ts';
import { readMetrics } from './metrics.ts';
import type { TrainEvent } from './run.ts';
import { type SftInputs, type SftOptions, trainSft } from './sft.ts';
import {
  bytesOf,
  errorOf,
  maxDifference,
  temporaryDirectory,
  timeless,
  tinyModel,
  tokenizer,
} from './testing/index.ts';
import { mapping } from './testing/rows.ts';

const rows = mapping();

/** Trains a fresh tiny model in a directory of its own, and gives everything to look at. */
async function train(
  options: SftOptions,
  inputs: Partial<SftInputs<'prompt-completion'>> = {},
  run: { stopAfter?: number; directory?: string; signal?: AbortSignal } = {},
) {
  await using fresh = await temporaryDirectory();
  const directory = run.directory ?? fresh.path;
  const model = inputs.model ?? tinyModel();
  const events: TrainEvent[] = [];
  const result = await trainSft(
    { model, tokenizer, format: 'prompt-completion', train: rows, ...inputs },
    { tensorboard: false, ...options },
    { directory, onEvent: (event) => events.push(event), ...run },
  );
  const metrics = timeless(directory);
  const adapters = model.adapters as LoraAdapters | null;
  const trained = adapters === null ? model.namedParameters() : adapters.get('policy').namedParameters();
  return { model, result, events, metrics, weights: bytesOf(trained), lines: readMetrics(directory) };
}

const losses = (lines: { metrics: Record<string, number> }[]) => lines.flatMap(({ metrics }) => metrics.loss ?? []);

describe('learns', () => {
  test('a mapping of twelve words, with an adapter that then loads over a fresh model', async () => {
    await using directory = await temporaryDirectory();
    const { result } = await train(
      { batchSize: 6, maxSteps: 120, evalSteps: 1000, learningRate: 1e-2, lora: { rank: 8 } },
      { evaluation: rows },
      { directory: directory.path },
    );
    expect(result.stopped).toBe(false);
    expect(result.evaluation!.loss).toBeLessThan(0.2);
    expect(result.evaluation!.perplexity).toBeCloseTo(Math.exp(result.evaluation!.loss!), 10);
    expect(result.evaluation!.tokenAccuracy).toBeGreaterThan(0.95);
    using again = tinyModel();
    await loadAdapter(result.output!, new LoraAdapters(again), 'policy');
    const greedy = (prompt: string): number =>
      torch.scope(() => {
        const ids = tokenizer.encode(prompt);
        const context = new PackedAttention([ids.length]);
        const hidden = again.forward(torch.tensor(ids, { dtype: 'int64' }), context);
        return again.logits(hidden.indexSelect(0, context.lastTokens)).argmax(-1).item();
      });
    for (const { prompt, completion } of rows) {
      expect(tokenizer.encode(prompt + completion)[tokenizer.encode(prompt).length]).toBe(greedy(prompt));
    }
  });

  test('with all weights, saved as a model', async () => {
    await using directory = await temporaryDirectory();
    const { result, model } = await train(
      { batchSize: 6, maxSteps: 80, evalSteps: 1000, learningRate: 3e-3, lora: null },
      { evaluation: rows },
      { directory: directory.path },
    );
    expect(result.evaluation!.loss).toBeLessThan(0.2);
    using again = await loadModel(result.output!);
    expect(bytesOf(again.namedParameters())).toEqual(bytesOf(model.namedParameters()));
  });

  test('the last layer alone: those below have no gradient and no adapter', async () => {
    const { model, result } = await train(
      { batchSize: 6, maxSteps: 80, evalSteps: 1000, learningRate: 1e-2, layersToTrain: 1 },
      { evaluation: rows },
    );
    const { pairs } = (model.adapters as LoraAdapters).get('policy');
    expect(Object.keys(pairs).every((name) => name.startsWith('model.layers.2.'))).toBe(true);
    expect(result.evaluation!.loss).toBeLessThan(1);
    const full = await train({ batchSize: 6, maxSteps: 1, learningRate: 1e-2, layersToTrain: 1, lora: null });
    const changed = Object.entries(bytesOf(tinyModel().namedParameters())).flatMap(([name, bytes]) =>
      Buffer.compare(bytes, full.weights[name]!) === 0 ? [] : [name],
    );
    expect(changed.length).toBeGreaterThan(5);
    expect(changed.filter((name) => !/^model\.(layers\.2|norm)\./.test(name))).toEqual([]);
  });
});

describe('the loss', () => {
  test('is that of the completion: what stands in the prompt is no target', async () => {
    const once = { maxSteps: 1, batchSize: 12, learningRate: 1e-9 };
    const { lines } = await train(once);
    // Computed one row at a time, by plain cross-entropy over all logits.
    const model = tinyModel();
    let [sum, count] = [0, 0];
    for (const { prompt, completion } of rows) {
      torch.scope(() => {
        const before = tokenizer.encode(prompt).length;
        const ids = [...tokenizer.encode(prompt + completion), tokenizer.eosId!];
        const hidden = model.forward(torch.tensor(ids, { dtype: 'int64' }), new PackedAttention([ids.length]));
        const logProbs = model.logits(hidden).logSoftmax(-1); // [T, V]
        for (let t = before; t < ids.length; t++, count++) sum -= logProbs.at(t - 1, ids[t]!).item();
      });
    }
    expect(losses(lines)[0]).toBeCloseTo(sum / count, 5);
    const whole = await train({ ...once, completionOnlyLoss: false });
    expect(Math.abs(losses(whole.lines)[0]! - sum / count)).toBeGreaterThan(0.01);
  });

  test('and its gradient do not depend on the parts that a step is computed in', async () => {
    const options = { maxSteps: 3, batchSize: 12, learningRate: 1e-3, adamEpsilon: 1e-3 };
    const whole = await train({ ...options, microBatchTokens: 4096 });
    for (const more of [{ microBatchTokens: 16 }, { microBatchTokens: 1 }, { gradientCheckpointing: true }]) {
      const parts = await train({ ...options, ...more });
      const [first, second] = [whole.lines, parts.lines].map((lines) => lines.map(({ metrics }) => metrics));
      for (const [i, metrics] of first!.entries()) {
        expect(second![i]!.loss).toBeCloseTo(metrics.loss!, 5);
        expect(second![i]!.gradNorm! / metrics.gradNorm!).toBeCloseTo(1, 5);
      }
      expect(maxDifference(whole.weights, parts.weights)).toBeLessThan(1e-6);
    }
  });

  test('nor on whether frozen layers are computed once or in every epoch', async () => {
    const options = { numTrainEpochs: 2, batchSize: 6, learningRate: 1e-3, adamEpsilon: 1e-3, layersToTrain: 2 };
    const once = await train(options, { evaluation: rows });
    const always = await train({ ...options, frozenCacheMiB: 0 }, { evaluation: rows });
    expect(maxDifference(once.weights, always.weights)).toBeLessThan(1e-6);
    expect(always.result.evaluation!.loss).toBeCloseTo(once.result.evaluation!.loss!, 5);
  });

  test('packed sequences do not see each other: a row has the loss that it has alone', async () => {
    const once = { maxSteps: 1, batchSize: 12, learningRate: 1e-9 };
    const together = losses((await train(once)).lines)[0]!;
    let [sum, count] = [0, 0];
    for (const row of rows) {
      const targets = tokenizer.encode(row.prompt + row.completion).length + 1 - tokenizer.encode(row.prompt).length;
      sum += targets * losses((await train(once, { train: [row] })).lines)[0]!;
      count += targets;
    }
    expect(together).toBeCloseTo(sum / count, 5);
  });
});

describe('a run', () => {
  const options = { batchSize: 5, numTrainEpochs: 6, learningRate: 3e-3, evalSteps: 4, saveSteps: 3 };
  const evaluation = rows.slice(0, 4);

  test('that is stopped, at whatever step, goes on to the same bits', async () => {
    const whole = await train(options, { evaluation });
    expect(whole.result.steps).toBe(18);
    for (const stopAfter of [1, 4, 17]) {
      await using directory = await temporaryDirectory();
      const first = await train(options, { evaluation }, { directory: directory.path, stopAfter });
      expect(first.result).toMatchObject({ stopped: true, steps: stopAfter, output: null });
      expect(existsSync(join(directory.path, 'adapter'))).toBe(false);
      const second = await train(options, { evaluation }, { directory: directory.path });
      expect(second.events[0]).toEqual({ type: 'note', text: `Going on from step ${stopAfter}.` });
      expect(second.weights).toEqual(whole.weights);
      expect(second.metrics).toEqual(whole.metrics);
      expect({ ...second.result, output: '' }).toEqual({ ...whole.result, output: '' });
    }
  });

  test('goes on in the same process too, with the model that it has', async () => {
    const whole = await train(options);
    await using directory = await temporaryDirectory();
    const model = tinyModel();
    await train(options, { model }, { directory: directory.path, stopAfter: 5 });
    const { weights } = await train(options, { model }, { directory: directory.path });
    expect(weights).toEqual(whole.weights);
  });

  test('stops when its signal is aborted, after the step under way', async () => {
    await using directory = await temporaryDirectory();
    const controller = new AbortController();
    const model = tinyModel();
    const result = await trainSft({ model, tokenizer, format: 'prompt-completion', train: rows }, options, {
      directory: directory.path,
      signal: controller.signal,
      onEvent: (event) => event.type === 'step' && event.step === 2 && controller.abort(),
    });
    expect(result).toMatchObject({ stopped: true, steps: 2 });
  });

  test('whose signal is aborted from the start takes no step', async () => {
    const { result } = await train(options, {}, { signal: AbortSignal.abort() });
    expect(result).toMatchObject({ stopped: true, steps: 0, output: null });
  });

  test('that has ended gives its result again', async () => {
    await using directory = await temporaryDirectory();
    const first = await train(options, { evaluation }, { directory: directory.path });
    const second = await train(options, { evaluation }, { directory: directory.path });
    expect(second.result).toEqual(first.result);
    expect(second.weights).toEqual(first.weights);
    expect(second.events.filter(({ type }) => type === 'step')).toEqual([]);
  });

  test('refuses to go on with other data or another configuration, but not with other intervals of saving', async () => {
    await using directory = await temporaryDirectory();
    const { path } = directory;
    await train(options, {}, { directory: path, stopAfter: 2 });
    const config = await errorOf(() => train({ ...options, learningRate: 1, batchSize: 4 }, {}, { directory: path }));
    expect(config.expected).toBe('batchSize 5, learningRate 0.003');
    expect(config.received).toBe('batchSize 4, learningRate 1');
    expect((await errorOf(() => train(options, { train: rows.slice(1) }, { directory: path }))).message).toContain(
      'other data or another model',
    );
    await train({ ...options, saveSteps: 1 }, {}, { directory: path, stopAfter: 3 });
  });

  test('can end with its best weights, and early', async () => {
    // Held out are rows that contradict those that are learned: the longer it trains the worse they get.
    const contrary = rows.map(({ prompt }, i) => ({ prompt, completion: rows[(i + 1) % rows.length]!.completion }));
    const { result, events } = await train(
      {
        batchSize: 4,
        numTrainEpochs: 40,
        learningRate: 5e-3,
        evalSteps: 10,
        earlyStoppingPatience: 2,
        loadBestModelAtEnd: true,
      },
      { evaluation: contrary },
    );
    expect(result.stoppedEarly).toBe(true);
    expect(result.steps).toBe(result.best!.step + 20);
    expect(events.at(-1)).toMatchObject({ type: 'note', text: expect.stringContaining(`step ${result.best!.step}`) });
    const evaluations = events.flatMap((event) => (event.type === 'evaluated' ? event.metrics.loss! : []));
    expect(result.best!.score).toBe(Math.min(...evaluations));
  });
});

describe('what cannot be trained', () => {
  test('a rate that destroys the model stops the run and names step, metric and rows', async () => {
    const error = await errorOf(() =>
      train({ learningRate: 1e30, batchSize: 2, warmupRatio: 0, lora: null, maxGradNorm: null }),
    );
    expect(error.code).toBe('TRAINING_DIVERGED');
    expect(error.path).toMatch(/^step 2, row \d+, row \d+$/);
    expect(error.received).toContain('NaN');
  });

  test('wrong options, all at once', async () => {
    const error = await errorOf(() => train({ learningRate: -1, epochs: 3 } as SftOptions));
    expect(error.received).toContain('sft.learningRate');
    expect(error.received).toContain('"epochs"');
  });

  test('a model without a language-model head', async () => {
    expect((await errorOf(() => train({}, { model: tinyModel('score') }))).expected).toBe("a model with head 'lm'");
  });

  test('the best of nothing', async () => {
    expect((await errorOf(() => train({ loadBestModelAtEnd: true }))).expected).toBe('an evaluation set');
  });
});
