/**
 * Reward models: a score for each completion, learned from what people preferred (Bradley-Terry and its relatives).
 *
 * All completions of a prompt are in one part of one step, each computed once, behind one copy of their prompt: K forward passes
 * for K (K - 1) / 2 pairs, and no completion is seen twice an epoch (InstructGPT, arXiv 2203.02155, 3.4). The score is read at the
 * last token, the end of text. With an adapter in the last layers only, the layers below run without a graph.
 *
 *     const result = await trainReward({ model, tokenizer, format: 'preference', train, evaluation }, {}, { directory });
 *
 * docs/algorithms/reward.md
 */
import { join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { type Comparison, centring, REWARD_LOSSES } from '../../losses/index.ts';
import type { CausalModel, LoraAdapters } from '../../models/index.ts';
import { dtypeBytes, type Tensor, torch } from '../../tensor/index.ts';
import type { Json } from '../checkpoint.ts';
import { decisive, parseConfig } from '../config.ts';
import { type FitProblem, type FitResult, type PartLoss, runFit } from '../fit.ts';
import type { Metrics } from '../metrics.ts';
import { deviation, mean } from '../numbers.ts';
import { modelFingerprint } from '../pack.ts';
import { checkScores, type Finding, requireFit } from '../preflight.ts';
import { deriveSeed } from '../random.ts';
import type { TrainRun } from '../run.ts';
import { fingerprint, TrainSession } from '../session.ts';
import { Trainable } from '../trainable.ts';
import { makeTrunks, type Trunks } from '../trunk.ts';
import { RewardConfig, type RewardOptions, type RewardSettings } from './config.ts';
import { memberName, type Normalisation, RewardModel, type RewardModelOptions, writeRewardFile } from './model.ts';
import { encodeRows, prepare, type RewardInputs } from './prepare.ts';
import { type RewardReport, reportReward } from './report.ts';
import { type RewardFormat, type RewardRow, type RewardRows, rowLength, type ScoredGroup } from './rows.ts';
import { scoreCompletions, scoreTensor, separateScores, sequencesOfGroup, type TrunkRows } from './score.ts';

export interface RewardResult extends FitResult {
  /** The directory of the adapter or the model, with `reward.json`; null where the run was stopped. */
  readonly output: string | null;
  /** null where the run was stopped. */
  readonly normalisation: Normalisation | null;
  /** On the held-out prompts; null without them. */
  readonly report: RewardReport | null;
}

/** Trains a reward model. @throws NudgeError BAD_ARGUMENT by the preflight, TRAINING_DIVERGED, DISK_FULL, IO_FAILED. */
export async function trainReward<F extends RewardFormat>(
  inputs: RewardInputs<F>,
  options: RewardOptions,
  run: TrainRun,
): Promise<RewardResult> {
  const config = parseConfig(RewardConfig, options, 'reward');
  const { model, tokenizer } = inputs;
  if (config.lora === null && model.score === null) throw noHead();
  const { train, evaluation, references } = prepare(inputs, config, run);
  const trainable = makeTrainable(model, config, inputs.adapter ?? 'reward');
  requireFit(scoreFindings(trainable, train.rows), () => {});
  const weights = trainable.parameters.map(([, parameter]) => parameter);
  const data = [train.rows, evaluation?.rows ?? null, references.groups];
  using session = await TrainSession.open(run, {
    kind: 'reward',
    config: decisive(config) as unknown as Json,
    inputs: fingerprint(modelFingerprint(model, weights), data),
    tensorboard: config.tensorboard,
  });
  using trunks = makeTrunks(
    trainable,
    train.rows.map(sequencesOfGroup),
    evaluation?.rows.map(sequencesOfGroup) ?? null,
    config,
  );
  const judge = evaluation === null ? null : new Judge(trainable, evaluation.rows, config, trunks, inputs.agreement);
  const fitted = await runFit(session, problemOf(trainable, train, config, judge, trunks), config);
  if (fitted.stopped) return { ...fitted, output: null, normalisation: null, report: null };
  const known = trunks && references.rows && { trunk: trunks.train, rows: references.rows };
  const scored = await scoreRows(trainable, references.groups, config, known ?? undefined);
  const normalisation = { mean: mean(scored.flat()), sd: deviation(scored.flat()) || 1 };
  const report = judge === null ? null : await judge.reportFor(fitted, config);
  const output = join(run.directory, trainable.adapter === null ? 'model' : 'adapter');
  await trainable.save(output, { tokenizer, resolved: inputs.resolved });
  await writeRewardFile(output, { version: 1, loss: config.loss, normalisation, report });
  return { ...fitted, output, normalisation, report };
}

export interface EnsembleResult {
  readonly members: readonly RewardResult[];
  /** Of the members' scores joined by the rule, on the held-out prompts; null without them, or where the run was stopped. */
  readonly report: RewardReport | null;
  readonly stopped: boolean;
}

/**
 * Trains several reward models that differ in their seed: fresh weights and order of the data. `RewardModel.load` takes their
 * outputs together. Each has its own folder, `member-1`, ..., and goes on by itself.
 *
 * @param ensemble how the report joins their scores.
 */
export async function trainRewardEnsemble<F extends RewardFormat>(
  inputs: RewardInputs<F>,
  options: RewardOptions,
  run: TrainRun,
  count: number,
  ensemble: RewardModelOptions = {},
): Promise<EnsembleResult> {
  const members: RewardResult[] = [];
  for (let i = 0; i < count; i++) {
    const seed = i === 0 ? (options.seed ?? 0) : deriveSeed(options.seed ?? 0, 'member', i);
    const adapter = memberName(inputs.adapter ?? 'reward', i);
    const directory = join(run.directory, `member-${i + 1}`);
    const result = await trainReward({ ...inputs, adapter }, { ...options, seed }, { ...run, directory });
    members.push(result);
    if (result.stopped) return { members, report: null, stopped: true };
  }
  const report = await reportEnsemble(inputs, parseConfig(RewardConfig, options, 'reward'), members, ensemble);
  return { members, report, stopped: false };
}

async function reportEnsemble<F extends RewardFormat>(
  inputs: RewardInputs<F>,
  config: RewardSettings,
  members: readonly RewardResult[],
  options: RewardModelOptions,
): Promise<RewardReport | null> {
  const { model, adapter = 'reward', agreement = null } = inputs;
  const rows = encodeRows(inputs, config, inputs.evaluation ?? []).rows;
  if (rows.length === 0) return null;
  const named = members.map(({ normalisation }, i) => ({
    adapter: memberName(adapter, i),
    normalisation: normalisation!,
  }));
  const scores = await new RewardModel(model, named, options).score(rows);
  const comparisons = rows.map(({ comparison }) => comparison);
  return reportReward({ comparisons, scores, lengths: lengthsOf(rows), agreement });
}

/** The adapter with its head, or all weights. */
function makeTrainable(model: CausalModel, config: RewardSettings, adapter: string): Trainable {
  const known = (model.adapters as LoraAdapters | null)?.names.includes(adapter) ?? false;
  const trainable = Trainable.of(model, { ...config, adapter, head: true });
  const { adapters } = trainable;
  if (adapters !== null && !known && config.headInit === 'zero') {
    torch.noGrad(() => adapters.get(adapter).score!.weight.zero_());
  }
  return trainable;
}

function problemOf(
  trainable: Trainable,
  { rows, sources }: RewardRows,
  config: RewardSettings,
  judge: Judge | null,
  trunks: Trunks | null,
): FitProblem {
  return {
    lengths: rows.map(rowLength),
    counts: informative(rows, config),
    parameters: trainable.parameters,
    nameOf: (row) => `row ${sources[row]}`,
    ...(trunks === null ? {} : { prepare: async (signal) => await trunks.train.fill(signal) }),
    loss(indices, tape) {
      const part = indices.map((row) => rows[row]!);
      const trunk = trunks === null ? undefined : { trunk: trunks.train, rows: indices };
      return trainable.training(() => lossOf(scoreTensor(trainable.model, part, { tape, trunk }), part, config));
    },
    ...(judge === null
      ? {}
      : { evaluate: async () => (await judge.judge()).metrics, score: { metric: 'loss', best: 'min' } as const }),
  };
}

/** The summed loss of some prompts from the scores of their completions, [A]. */
function lossOf(scores: Tensor, rows: readonly RewardRow[], config: RewardSettings): PartLoss {
  const comparisons = rows.map(({ comparison }) => comparison);
  const { tieWeight, centerRewardsCoefficient } = config;
  const { losses } = REWARD_LOSSES[config.loss](scores, comparisons, tieWeight === undefined ? {} : { tieWeight }); // [P]
  const centred = centring(scores, comparisons).sum(); // scalar
  const values = [...scores.toFloat32Array()];
  const report = reportReward({ comparisons, scores: byRow(values, rows), lengths: lengthsOf(rows) });
  return {
    sum: losses.sum().add(centred.mul(centerRewardsCoefficient)),
    rowLosses: [...losses.toFloat32Array()],
    means: {
      ...(report.prompts === 0
        ? {}
        : {
            accuracy: [report.accuracy.value * report.prompts, report.prompts],
            margin: [report.margin * report.pairs, report.pairs],
          }),
      score: [report.scores.mean * values.length, values.length],
      centring: [centred.item(), rows.length],
    },
  };
}

/** 1 for each prompt that teaches something: ties alone may not. */
function informative(rows: readonly RewardRow[], { loss, tieWeight }: RewardSettings): number[] {
  return torch.scope(() => {
    const scores = torch.zeros([rows.reduce((sum, { completions }) => sum + completions.length, 0)]); // [A]
    const comparisons = rows.map(({ comparison }) => comparison);
    const found = REWARD_LOSSES[loss](scores, comparisons, tieWeight === undefined ? {} : { tieWeight });
    return found.informative.map(Number);
  });
}

async function scoreRows(
  trainable: Trainable,
  rows: readonly ScoredGroup[],
  { microBatchTokens }: RewardSettings,
  trunk?: TrunkRows,
): Promise<number[][]> {
  return await scoreCompletions(trainable.model, rows, {
    microBatchTokens: 2 * microBatchTokens,
    ...(trainable.adapter === null ? {} : { adapter: trainable.adapter }),
    trunk,
  });
}

/** Judges the weights on held-out prompts. */
class Judge {
  readonly #trainable: Trainable;
  readonly #rows: readonly RewardRow[];
  readonly #config: RewardSettings;
  readonly #trunk: TrunkRows | undefined;
  readonly #agreement: number | null;
  #last: { report: RewardReport; metrics: Metrics } | null = null;

  constructor(
    trainable: Trainable,
    rows: readonly RewardRow[],
    config: RewardSettings,
    trunks: Trunks | null,
    agreement: number | undefined,
  ) {
    this.#trainable = trainable;
    this.#rows = rows;
    this.#config = config;
    const trunk = trunks?.evaluation;
    this.#trunk = trunk ? { trunk, rows: [...rows.keys()] } : undefined;
    this.#agreement = agreement ?? null;
  }

  /** The report, and what of it the log gets. */
  async judge(): Promise<{ report: RewardReport; metrics: Metrics }> {
    await this.#trunk?.trunk.fill();
    const rows = this.#rows;
    const scores = await scoreRows(this.#trainable, rows, this.#config, this.#trunk);
    const comparisons = rows.map(({ comparison }) => comparison);
    const report = reportReward({ comparisons, scores, lengths: lengthsOf(rows), agreement: this.#agreement });
    const { accuracy, margin, ece, length } = report;
    const metrics = {
      ...evaluationLoss(scores.flat(), comparisons, this.#config),
      accuracy: accuracy.value,
      accuracyLow: accuracy.low,
      accuracyHigh: accuracy.high,
      margin,
      ece,
      lengthCorrelation: length.correlation,
      score: report.scores.mean,
    };
    this.#last = { report, metrics };
    return this.#last;
  }

  /** The report on the final weights: that of the last evaluation, unless others were loaded since. */
  async reportFor({ evaluation, best, steps }: FitResult, config: RewardSettings): Promise<RewardReport> {
    const isLast = this.#last !== null && this.#last.metrics === evaluation;
    const loadedBest = config.loadBestModelAtEnd && best?.step !== steps;
    return isLast && !loadedBest ? this.#last!.report : (await this.judge()).report;
  }
}

/** The loss without the centring term, and that term, each as a mean over prompts. */
function evaluationLoss(
  scores: readonly number[],
  comparisons: readonly Comparison[],
  { loss, tieWeight }: RewardSettings,
): { loss: number; centring: number } {
  return torch.scope(() => {
    const flat = torch.tensor(scores); // [A]
    const { losses, informative } = REWARD_LOSSES[loss](
      flat,
      comparisons,
      tieWeight === undefined ? {} : { tieWeight },
    );
    return {
      loss: losses.sum().item() / Math.max(1, informative.filter(Boolean).length),
      centring: centring(flat, comparisons).mean().item(),
    };
  });
}

/** What rounding alone may change in a score: numbers of 16 bits have three digits, and thirty layers take one of them. */
const TOLERANCE = { wide: 1e-3, narrow: 5e-2 } as const;

/** Whether a score depends on its batch or on sharing the prompt: a few rows together, and each by itself. */
function scoreFindings(trainable: Trainable, rows: readonly RewardRow[]): Finding[] {
  const some = rows.toSorted((a, b) => rowLength(a) - rowLength(b)).slice(0, 4);
  return torch.scope(() =>
    torch.noGrad(() =>
      trainable.use(() => {
        const together = scoreTensor(trainable.model, some).tolist() as number[];
        const alone = some.flatMap((row) =>
          row.completions.flatMap(
            (ids) =>
              separateScores(trainable.model, [{ promptIds: row.promptIds, completions: [ids] }]).tolist() as number[],
          ),
        );
        return checkScores(together, alone, dtypeBytes(trainable.model.dtype) >= 4 ? TOLERANCE.wide : TOLERANCE.narrow);
      }),
    ),
  );
}

const lengthsOf = (rows: readonly RewardRow[]): number[][] =>
  rows.map(({ completions }) => completions.map(({ length }) => length));

/** Flat values as those of each row's completions. */
function byRow(values: readonly number[], rows: readonly RewardRow[]): number[][] {
  let at = 0;
  return rows.map(({ completions }) => {
    at += completions.length;
    return values.slice(at - completions.length, at);
  });
}

function noHead(): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'Training all weights of a reward model needs a model with a score head.', {
    path: 'model',
    expected: "a model with head 'score'",
    received: "a model with head 'lm', and lora: null",
    remedy: "Open it with { head: 'score' }, or train an adapter, which brings its own head.",
  });
}
