/**
 * Supervised fine-tuning: next-token cross-entropy over completions (or over what the assistant says).
 *
 * Sequences are packed without padding and never attend to each other. The head runs over the rows that predict a target only,
 * chunk by chunk, so that no more than a few hundred rows of logits exist at a time. The mean is over all target tokens of a
 * step, however it is cut into parts: a mean of means would weigh tokens of short parts more.
 *
 *     const result = await trainSft({ model, tokenizer, format: 'prompt-completion', train, evaluation }, {}, { directory });
 *
 * docs/algorithms/sft.md
 */
import { join } from 'node:path';
import * as z from 'zod';
import { type RecordsByFormat, type TokenExample, TokeniseConfig, tokenise } from '../data/index.ts';
import { NudgeError } from '../errors.ts';
import { linearCrossEntropy } from '../losses/index.ts';
import type { CausalModel, ResolvedModel } from '../models/index.ts';
import type { CheckpointTape } from '../nn/index.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import type { ChatTemplate, Tokenizer } from '../text/index.ts';
import { microBatches } from './batches.ts';
import type { Json } from './checkpoint.ts';
import { decisive, parseConfig, TrainingConfig } from './config.ts';
import { type FitResult, Means, type PartLoss, runFit } from './fit.ts';
import type { Metrics } from './metrics.ts';
import { int64, modelFingerprint, packSequences } from './pack.ts';
import { checkExamples, isTarget, requireFit } from './preflight.ts';
import type { TrainRun } from './run.ts';
import { fingerprint, TrainSession } from './session.ts';
import { Trainable } from './trainable.ts';
import { makeTrunks, type Trunk, type TrunkRow } from './trunk.ts';

export const SftConfig = z.strictObject({
  ...TrainingConfig.shape,
  ...TokeniseConfig.shape,
  maxLength: z
    .int()
    .min(2)
    .default(1024)
    .describe('Longest prompt and completion together, in tokens. Memory and time go with it.'),
  learningRate: TrainingConfig.shape.learningRate.default(2e-4),
});

export type SftOptions = z.input<typeof SftConfig>;

export type SftFormat = 'text' | 'prompt-completion';

export interface SftInputs<F extends SftFormat = SftFormat> {
  /** With a language-model head. The adapter `adapter` is added, or trained further where it is there already. */
  model: CausalModel;
  tokenizer: Tokenizer;
  /** Where the model came from: what is saved beside full weights from a GGUF file. */
  resolved?: ResolvedModel;
  format: F;
  train: readonly RecordsByFormat[F][];
  /** Held out; its loss decides which weights are best. */
  evaluation?: readonly RecordsByFormat[F][];
  /** For messages. Default: the model's own. */
  template?: ChatTemplate;
  /** Default `policy`. */
  adapter?: string;
}

export interface SftResult extends FitResult {
  /** The directory of the adapter (PEFT's format) or the model (transformers'); null where the run was stopped. */
  readonly output: string | null;
}

/** Fine-tunes a model. @throws NudgeError BAD_ARGUMENT by the preflight, TRAINING_DIVERGED, DISK_FULL, IO_FAILED. */
export async function trainSft<F extends SftFormat>(
  inputs: SftInputs<F>,
  options: SftOptions,
  run: TrainRun,
): Promise<SftResult> {
  const config = parseConfig(SftConfig, options, 'sft');
  const { model, tokenizer } = inputs;
  if (model.lm_head === null) throw noHead();
  const data = prepare(inputs, config, run);
  const trainable = Trainable.of(model, { ...config, adapter: inputs.adapter ?? 'policy' });
  using session = await TrainSession.open(run, {
    kind: 'sft',
    config: decisive(config) as unknown as Json,
    inputs: fingerprint(
      modelFingerprint(
        model,
        trainable.parameters.map(([, p]) => p),
      ),
      data.train,
      data.evaluation,
    ),
    tensorboard: config.tensorboard,
  });
  const { evaluation } = data;
  using trunks = makeTrunks(trainable, data.train.map(asRow), evaluation?.map(asRow) ?? null, config);
  const fitted = await runFit(
    session,
    {
      lengths: data.train.map(({ ids }) => ids.length),
      counts: data.train.map((example) => targetPlaces(example).length),
      parameters: trainable.parameters,
      nameOf: (row) => `row ${data.sources[row]}`,
      ...(trunks === null ? {} : { prepare: async (signal) => await trunks.train.fill(signal) }),
      loss: (rows, tape) =>
        trainable.training(() => lossOf(model, pick(data.train, rows), { tape, rows, trunk: trunks?.train })),
      ...(evaluation === null
        ? {}
        : {
            evaluate: async () => {
              await trunks?.evaluation?.fill();
              const trunk = trunks?.evaluation ?? undefined;
              return await evaluateSft(model, evaluation, {
                microBatchTokens: config.microBatchTokens,
                trainable,
                trunk,
              });
            },
            score: { metric: 'loss', best: 'min' } as const,
          }),
    },
    config,
  );
  if (fitted.stopped) return { ...fitted, output: null };
  const output = join(run.directory, trainable.adapter === null ? 'model' : 'adapter');
  await trainable.save(output, { tokenizer, resolved: inputs.resolved });
  return { ...fitted, output };
}

/**
 * Mean loss in nats a target token, its perplexity, and the share of targets that were the likeliest token.
 *
 * @param options.trainable whose adapter to use. Default: the model as it is.
 */
export async function evaluateSft(
  model: CausalModel,
  examples: readonly TokenExample[],
  options: { microBatchTokens?: number; trainable?: Trainable; trunk?: Trunk | undefined } = {},
): Promise<Metrics> {
  const { microBatchTokens = 2048, trainable, trunk } = options;
  const means = new Means();
  const lengths = examples.map(({ ids }) => ids.length);
  for (const rows of microBatches([...examples.keys()], lengths, microBatchTokens)) {
    const run = () => torch.noGrad(() => lossOf(model, pick(examples, rows), { rows, trunk }));
    torch.scope(() => {
      const { sum, means: more = {} } = trainable === undefined ? run() : trainable.use(run);
      for (const [name, mean] of Object.entries(more)) means.add(name, mean);
      means.add('loss', [sum.item(), more.tokenAccuracy![1]]);
    });
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { loss = 0, ...rest } = means.result();
  return { loss, perplexity: Math.exp(loss), ...rest };
}

interface LossOptions {
  readonly tape?: CheckpointTape | undefined;
  /** Which rows the examples are, for the trunk. */
  readonly rows: readonly number[];
  readonly trunk?: Trunk | undefined;
}

const asRow = ({ ids }: TokenExample): TrunkRow => [ids];

const pick = (examples: readonly TokenExample[], rows: readonly number[]): TokenExample[] =>
  rows.map((row) => examples[row]!);

/** The summed loss of some examples. */
function lossOf(model: CausalModel, examples: readonly TokenExample[], { tape, rows, trunk }: LossOptions): PartLoss {
  const { device } = model;
  const { ids, context } = packSequences(
    examples.map((example) => example.ids),
    device,
  ); // [N]
  // The row before a target predicts it.
  const predicting: number[] = [];
  const targets: number[] = [];
  const counts: number[] = [];
  let start = 0;
  for (const example of examples) {
    const places = targetPlaces(example);
    for (const place of places) {
      predicting.push(start + place - 1);
      targets.push(example.ids[place]!);
    }
    counts.push(places.length);
    start += example.ids.length;
  }
  const hidden = model.forward(ids, context, {
    ...(tape === undefined ? {} : { tape }),
    ...(trunk === undefined
      ? {}
      : { from: { layer: trunk.layer, hidden: torch.cat(rows.map((row) => trunk.sequence(row, 0))) } }),
  }); // [N, D]
  const used = hidden.indexSelect(0, int64(predicting, device)); // [M, D]
  const { sum, losses, correct } = linearCrossEntropy(used, model.lm_head!.weight, int64(targets, device));
  return {
    sum,
    rowLosses: perExample(losses, counts),
    means: { tokenAccuracy: [correct.sum().item(), targets.length] },
  };
}

/** The sums of neighbouring losses: [M] -> one a count. */
function perExample(losses: Tensor, counts: readonly number[]): number[] {
  const values = losses.toFloat32Array();
  let at = 0;
  return counts.map((count) => {
    const own = values.subarray(at, at + count);
    at += count;
    return own.reduce((sum, value) => sum + value, 0);
  });
}

/** The places that are learned. Nothing predicts the first token. */
function targetPlaces(example: TokenExample): number[] {
  return example.ids.flatMap((_, i) => (i > 0 && isTarget(example, i) ? [i] : []));
}

function prepare<F extends SftFormat>(inputs: SftInputs<F>, config: z.output<typeof SftConfig>, run: TrainRun) {
  const { tokenizer, template, format, train, evaluation } = inputs;
  const note = (text: string) => run.onEvent?.({ type: 'note', text });
  const encode = (records: readonly RecordsByFormat[F][]) => {
    const settings = Object.fromEntries(
      Object.keys(TokeniseConfig.shape).map((name) => [name, config[name as keyof typeof config]]),
    );
    const encoded = tokenise(tokenizer, format as SftFormat, records, {
      ...settings,
      ...(template === undefined ? {} : { template }),
    });
    const nameOf = (i: number) => `row ${encoded.sources[i]}`;
    requireFit(checkExamples({ tokenizer, ...encoded, nameOf }), note);
    return encoded;
  };
  const learned = encode(train);
  const heldOut = evaluation === undefined || evaluation.length === 0 ? null : encode(evaluation).examples;
  return { train: learned.examples, sources: learned.sources, evaluation: heldOut };
}

function noHead(): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'Fine-tuning needs a model that predicts tokens.', {
    path: 'model',
    expected: "a model with head 'lm'",
    received: "a model with head 'score'",
    remedy: "Open it with { head: 'lm' }.",
  });
}
