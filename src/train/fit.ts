/**
 * The loop that SFT, reward models and the DPO family share. They differ in how a batch becomes a loss; this file does the rest:
 * accumulation, clipping, the optimiser and its schedule, evaluation, checkpoints, metrics, early stop, abort.
 *
 * A step's gradient is that of the mean over *all* it consists of (target tokens, pairs), whatever parts it is computed in. And
 * all that a step depends on is in a checkpoint or follows from its number, so a run that was killed at any moment and called
 * again ends with the same bits.
 */
import { NudgeError } from '../errors.ts';
import { AdamW, CheckpointTape, clipGradNorm, gradNorm, type Parameter, type Schedule, setLr } from '../nn/index.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import { Batches, microBatches, type StepBatch } from './batches.ts';
import type { Checkpoint, Json } from './checkpoint.ts';
import type { TrainingSettings } from './config.ts';
import { Guard, type GuardState } from './guard.ts';
import type { Metrics } from './metrics.ts';
import { deriveSeed } from './random.ts';
import { makeSchedule } from './schedule.ts';
import type { TrainSession } from './session.ts';

/** A sum, and what to divide it by: means over parts of a step add up to the step's. */
export type Mean = readonly [sum: number, count: number];

/** What a part of a step gives. */
export interface PartLoss {
  /** The losses of the rows, summed: a scalar with its graph. The loop divides by the whole step's count. */
  readonly sum: Tensor;
  /** Each row's share of the sum, to name the culprit when one is not finite. */
  readonly rowLosses?: readonly number[];
  /** Further metrics. One without a count in a step is left out of it. */
  readonly means?: Readonly<Record<string, Mean>>;
}

/** What is trained, as the loop needs it. Rows are numbered from 0. */
export interface FitProblem {
  /** Tokens computed for each row. */
  readonly lengths: readonly number[];
  /** What each row counts in the mean: its target tokens, or 1. */
  readonly counts: readonly number[];
  readonly parameters: readonly (readonly [name: string, parameter: Parameter])[];
  /** The loss of some rows, longest first. Runs in a scope of its own; `tape` is there where gradients are checkpointed. */
  loss(rows: readonly number[], tape: CheckpointTape | undefined): PartLoss;
  /** Runs once before the first step that is taken, if one is; ends early when the signal is aborted. */
  readonly prepare?: (signal: AbortSignal | undefined) => Promise<void>;
  /** Judges the weights as they are now. */
  readonly evaluate?: () => Promise<Metrics>;
  /** The evaluation's metric by which weights are better or worse, as the session's `best` says which. */
  readonly score?: { readonly metric: string; readonly best: 'min' | 'max' };
  /** Names a row for messages. Default `row i`. */
  readonly nameOf?: (row: number) => string;
}

export interface FitResult {
  readonly steps: number;
  readonly totalSteps: number;
  /** Whether the run was stopped before its end; called again, it goes on. */
  readonly stopped: boolean;
  /** Whether it ended early for want of progress. */
  readonly stoppedEarly: boolean;
  /** The last step's metrics. */
  readonly metrics: Metrics;
  /** The last evaluation, and the best one with its step; null where there was none. */
  readonly evaluation: Metrics | null;
  readonly best: { readonly step: number; readonly score: number } | null;
}

/** What a checkpoint holds besides tensors. */
interface Progress {
  step: number;
  /** Ended before its last step, by early stopping. */
  stoppedEarly: boolean;
  best: { step: number; score: number } | null;
  /** Evaluations since the best one. */
  worse: number;
  evaluatedAt: number | null;
  metrics: Metrics;
  evaluation: Metrics | null;
  guard: GuardState | null;
}

/** Runs a problem to its end, from wherever its session stands. @throws NudgeError TRAINING_DIVERGED, DISK_FULL, IO_FAILED. */
export async function runFit(session: TrainSession, problem: FitProblem, config: TrainingSettings): Promise<FitResult> {
  const loop = new Loop(session, problem, config);
  try {
    return await loop.run();
  } finally {
    loop.dispose();
  }
}

class Loop {
  readonly #session: TrainSession;
  readonly #problem: FitProblem;
  readonly #config: TrainingSettings;
  readonly #batches: Batches;
  readonly #totalSteps: number;
  readonly #optimizer: AdamW;
  readonly #schedule: Schedule;
  readonly #guard = new Guard();
  #progress: Progress = {
    step: 0,
    stoppedEarly: false,
    best: null,
    worse: 0,
    evaluatedAt: null,
    metrics: {},
    evaluation: null,
    guard: null,
  };
  #savedAt = Date.now();

  constructor(session: TrainSession, problem: FitProblem, config: TrainingSettings) {
    this.#session = session;
    this.#problem = problem;
    this.#config = config;
    this.#batches = new Batches({ lengths: problem.lengths, seed: config.seed, rows: config.batchSize });
    this.#totalSteps = config.maxSteps ?? this.#batches.steps(config.numTrainEpochs);
    this.#optimizer = makeOptimizer(problem.parameters, config);
    this.#schedule = makeSchedule(config, this.#totalSteps);
    checkEvaluation(problem, config);
  }

  dispose(): void {
    this.#optimizer.zeroGrad();
    this.#optimizer.dispose();
  }

  async run(): Promise<FitResult> {
    if (this.#session.resumed !== null) await this.#resume(this.#session.resumed);
    else await this.#begin();
    if (!this.#isDone) await this.#problem.prepare?.(this.#session.run.signal);
    let stopped = !this.#isDone && this.#session.stopsAfter(this.#progress.step);
    while (!this.#isDone && !stopped) {
      this.#step();
      // The event loop gets its turn: listeners, abort signals.
      await new Promise((resolve) => setImmediate(resolve));
      stopped = this.#session.stopsAfter(this.#progress.step);
      const isBest = this.#evaluatesNow ? await this.#evaluate() : false;
      if (this.#isDone) stopped = false;
      if (this.#isDone || stopped || (isBest && this.#wantsBest) || this.#savesNow) await this.#save();
    }
    if (this.#isDone && this.#config.loadBestModelAtEnd) await this.#loadBest();
    return this.#result(stopped);
  }

  get #isDone(): boolean {
    return this.#progress.step >= this.#totalSteps || this.#progress.stoppedEarly;
  }

  get #savesNow(): boolean {
    const { saveSteps, saveSeconds } = this.#config;
    return this.#progress.step % saveSteps === 0 || Date.now() - this.#savedAt > saveSeconds * 1000;
  }

  get #wantsBest(): boolean {
    return this.#config.loadBestModelAtEnd || this.#config.earlyStoppingPatience !== undefined;
  }

  get #evaluatesNow(): boolean {
    if (this.#problem.evaluate === undefined) return false;
    const { step } = this.#progress;
    const { evalSteps } = this.#config;
    if (step >= this.#totalSteps) return true;
    return evalSteps === undefined ? this.#batches.at(step).index === 0 : step % evalSteps === 0;
  }

  /** A checkpoint before the first step: the weights are kept from which the run began, and a full disk shows at once. */
  async #begin(): Promise<void> {
    if (this.#config.evalOnStart) await this.#evaluate();
    await this.#save();
  }

  async #resume(resumed: Checkpoint): Promise<void> {
    await resumed.restore({ tensors: { weights: this.#problem.parameters }, optimizers: { main: this.#optimizer } });
    this.#progress = structuredClone(this.#session.state) as unknown as Progress;
    if (this.#progress.guard !== null) this.#guard.restore(this.#progress.guard);
  }

  async #save(): Promise<void> {
    const { step, best, evaluatedAt } = this.#progress;
    this.#progress.guard = this.#guard.state();
    await this.#session.save(
      step,
      {
        tensors: { weights: this.#problem.parameters },
        optimizers: { main: this.#optimizer },
        state: this.#progress as unknown as Json,
      },
      evaluatedAt === step && best?.step === step ? best.score : null,
    );
    this.#savedAt = Date.now();
  }

  #step(): void {
    const { step } = this.#progress;
    const batch = this.#batches.at(step);
    const begun = performance.now();
    // Dropout draws from libtorch's global generators: set for each step, they need no place in a checkpoint.
    torch.manualSeed(deriveSeed(this.#config.seed, 'step', step));
    this.#optimizer.zeroGrad();
    const { metrics, culprits } = this.#accumulate(batch);
    const norm = this.#clip();
    const lr = this.#config.learningRate * this.#schedule(step);
    const all = { ...metrics, gradNorm: norm, learningRate: lr, epoch: this.#epochAfter(batch) };
    try {
      this.#guard.check(step + 1, all, () => this.#nameRows(culprits.length > 0 ? culprits : batch.rows));
    } catch (error) {
      // It belongs into the log too: it is what one looks for there.
      this.#session.step(step + 1, this.#totalSteps, all, 0);
      throw error;
    }
    setLr(this.#optimizer, this.#config.learningRate, this.#schedule(step));
    this.#optimizer.step();
    this.#optimizer.zeroGrad();
    this.#progress.step = step + 1;
    this.#progress.metrics = all;
    const tokens = batch.rows.reduce((sum, row) => sum + this.#problem.lengths[row]!, 0);
    this.#session.step(step + 1, this.#totalSteps, all, (1000 * tokens) / (performance.now() - begun));
  }

  /** Adds up the gradients of all parts. `culprits` are rows whose loss is not finite. */
  #accumulate({ rows }: StepBatch): { metrics: Metrics; culprits: number[] } {
    const { lengths, counts } = this.#problem;
    const count = rows.reduce((sum, row) => sum + counts[row]!, 0);
    const means = new Means();
    const culprits: number[] = [];
    for (const part of microBatches(rows, lengths, this.#config.microBatchTokens)) {
      torch.scope(() => {
        const tape = this.#config.gradientCheckpointing ? new CheckpointTape() : undefined;
        try {
          const { sum, means: more = {}, rowLosses = [] } = this.#problem.loss(part, tape);
          means.add('loss', [sum.item(), 0]);
          for (const [name, mean] of Object.entries(more)) means.add(name, mean);
          culprits.push(...part.filter((_, i) => rowLosses[i] !== undefined && !Number.isFinite(rowLosses[i])));
          const share = sum.div(Math.max(1, count)); // scalar
          if (tape === undefined) share.backward();
          else tape.backward(share);
        } finally {
          tape?.dispose();
        }
      });
    }
    means.add('loss', [0, count]);
    return { metrics: means.result(), culprits };
  }

  #clip(): number {
    const parameters = this.#problem.parameters.map(([, parameter]) => parameter);
    const { maxGradNorm } = this.#config;
    return maxGradNorm === null ? gradNorm(parameters) : clipGradNorm(parameters, maxGradNorm);
  }

  /** @returns whether it is the best so far. */
  async #evaluate(): Promise<boolean> {
    const { evaluate, score } = this.#problem;
    if (evaluate === undefined) return false;
    const progress = this.#progress;
    const metrics = await evaluate();
    progress.evaluation = metrics;
    progress.evaluatedAt = progress.step;
    this.#session.evaluated(progress.step, metrics);
    if (score === undefined) return false;
    const value = metrics[score.metric]!;
    const sign = score.best === 'min' ? 1 : -1;
    // Before the first step nothing was trained that could be kept.
    const isBest = Number.isFinite(value) && (progress.best === null || sign * value < sign * progress.best.score);
    if (progress.step === 0) return false;
    if (isBest) progress.best = { step: progress.step, score: value };
    progress.worse = isBest ? 0 : progress.worse + 1;
    const { earlyStoppingPatience: patience } = this.#config;
    if (patience !== undefined && progress.worse >= patience && progress.step < this.#totalSteps) {
      progress.stoppedEarly = true;
      this.#session.note(
        `No better ${score.metric} in ${patience} evaluations: ends after step ${progress.step} of ${this.#totalSteps}.`,
      );
    }
    return isBest;
  }

  async #loadBest(): Promise<void> {
    const { best, step } = this.#progress;
    if (best === null || best.step === step) return;
    const checkpoint = await this.#session.checkpoints.best();
    if (checkpoint === null || checkpoint.step !== best.step) {
      this.#session.note(
        `The checkpoint of step ${best.step}, the best one, is not there: ends with the last weights.`,
      );
      return;
    }
    await checkpoint.restore({ tensors: { weights: this.#problem.parameters } });
    this.#session.note(`Ends with the weights of step ${best.step}, the best evaluation.`);
  }

  #result(stopped: boolean): FitResult {
    const { step, stoppedEarly, metrics, evaluation, best } = this.#progress;
    return { steps: step, totalSteps: this.#totalSteps, stopped, stoppedEarly, metrics, evaluation, best };
  }

  #epochAfter({ epoch, index }: StepBatch): number {
    return epoch + (index + 1) / this.#batches.count(epoch);
  }

  #nameRows(rows: readonly number[]): string {
    const nameOf = this.#problem.nameOf ?? ((row: number) => `row ${row}`);
    const shown = rows.slice(0, 8).map(nameOf).join(', ');
    return rows.length > 8 ? `${shown} and ${rows.length - 8} more` : shown;
  }
}

/** Sums and counts by name. */
export class Means {
  readonly #sums = new Map<string, [number, number]>();

  add(name: string, [sum, count]: Mean): void {
    const [s, c] = this.#sums.get(name) ?? [0, 0];
    this.#sums.set(name, [s + sum, c + count]);
  }

  result(): Metrics {
    return Object.fromEntries(
      [...this.#sums].filter(([, [, count]]) => count !== 0).map(([name, [sum, count]]) => [name, sum / count]),
    );
  }
}

function makeOptimizer(
  parameters: FitProblem['parameters'],
  { learningRate, weightDecay, adamBeta1, adamBeta2, adamEpsilon }: TrainingSettings,
): AdamW {
  const groups = [
    { parameters: parameters.filter(([, { ndim }]) => ndim > 1), weightDecay },
    { parameters: parameters.filter(([, { ndim }]) => ndim <= 1), weightDecay: 0 },
  ].filter((group) => group.parameters.length > 0);
  return new AdamW(groups, { lr: learningRate, betas: [adamBeta1, adamBeta2], eps: adamEpsilon });
}

function checkEvaluation({ evaluate, score }: FitProblem, config: TrainingSettings): void {
  const { earlyStoppingPatience, loadBestModelAtEnd } = config;
  if ((evaluate !== undefined && score !== undefined) || (earlyStoppingPatience === undefined && !loadBestModelAtEnd))
    return;
  throw new NudgeError('BAD_ARGUMENT', 'There is nothing by which to find the best weights.', {
    path: loadBestModelAtEnd ? 'loadBestModelAtEnd' : 'earlyStoppingPatience',
    expected: 'an evaluation set',
    received: 'none',
    remedy: 'Hold some rows out for evaluation.',
  });
}
