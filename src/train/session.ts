/** A run as a trainer sees it: its checkpoints, metrics and listeners, opened together so that they agree on the step. */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { NudgeError } from '../errors.ts';
import { ioFailed } from '../models/files/index.ts';
import { type Checkpoint, type CheckpointContents, Checkpoints, type Json } from './checkpoint.ts';
import { type Metrics, MetricsLog } from './metrics.ts';
import type { TrainRun } from './run.ts';

export interface SessionOptions {
  /** What trains: `sft`, `reward`, ... A directory belongs to one kind. */
  kind: string;
  /** The configuration that decides the result. Another one cannot go on with the same directory. */
  config: Json;
  /** Stands for the data and the model trained on; see `fingerprint`. */
  inputs: string;
  /** Which scores of checkpoints are best. Default `min`. */
  best?: 'min' | 'max';
  /** Default true. */
  tensorboard?: boolean;
}

/** The run's own part of a checkpoint's state, around the trainer's. */
interface Envelope {
  readonly kind: string;
  readonly config: Json;
  readonly inputs: string;
  readonly trainer: Json;
}

export class TrainSession implements Disposable {
  readonly run: TrainRun;
  readonly checkpoints: Checkpoints;
  /** The checkpoint to go on from; null at the beginning. */
  readonly resumed: Checkpoint | null;
  readonly #options: SessionOptions;
  readonly #metrics: MetricsLog;

  private constructor(
    run: TrainRun,
    options: SessionOptions,
    checkpoints: Checkpoints,
    resumed: Checkpoint | null,
    metrics: MetricsLog,
  ) {
    this.run = run;
    this.checkpoints = checkpoints;
    this.resumed = resumed;
    this.#options = options;
    this.#metrics = metrics;
  }

  /** @throws NudgeError BAD_ARGUMENT where the directory holds another run, IO_FAILED. */
  static async open(run: TrainRun, options: SessionOptions): Promise<TrainSession> {
    await mkdir(run.directory, { recursive: true }).catch((error) => {
      throw ioFailed('create', run.directory, error);
    });
    const checkpoints = new Checkpoints(join(run.directory, 'checkpoints'), {
      best: options.best ?? 'min',
      onNote: (text) => run.onEvent?.({ type: 'note', text }),
    });
    const resumed = await checkpoints.latest();
    if (resumed !== null) checkSameRun(resumed, options, run.directory);
    const { tensorboard = true } = options;
    const metrics = MetricsLog.open(run.directory, { resumeAt: resumed?.step ?? null, tensorboard });
    const session = new TrainSession(run, options, checkpoints, resumed, metrics);
    if (resumed !== null) session.note(`Going on from step ${resumed.step}.`);
    return session;
  }

  /** What the trainer saved as its state; null at the beginning. */
  get state(): Json {
    return this.resumed === null ? null : (this.resumed.state as unknown as Envelope).trainer;
  }

  /** Whether the run is to stop after this step. */
  stopsAfter(step: number): boolean {
    const { signal, stopAfter } = this.run;
    return signal?.aborted === true || (stopAfter !== undefined && step >= stopAfter);
  }

  step(step: number, totalSteps: number, metrics: Metrics, tokensPerSecond: number): void {
    this.#metrics.write(step, { ...metrics, tokensPerSecond });
    this.run.onEvent?.({ type: 'step', step, totalSteps, metrics, tokensPerSecond });
  }

  /** @param metrics without a prefix; they are written as `eval/...`. */
  evaluated(step: number, metrics: Metrics): void {
    const prefixed = Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`eval/${name}`, value]));
    this.#metrics.write(step, prefixed);
    this.run.onEvent?.({ type: 'evaluated', step, metrics });
  }

  note(text: string): void {
    this.run.onEvent?.({ type: 'note', text });
  }

  /** @param score by which the best checkpoint is kept. */
  async save(step: number, contents: CheckpointContents, score: number | null = null): Promise<void> {
    // The metrics must not end before the checkpoint does.
    this.#metrics.flush();
    const { kind, config, inputs } = this.#options;
    const state = { kind, config, inputs, trainer: contents.state };
    const path = await this.checkpoints.save(step, { ...contents, state }, score);
    this.run.onEvent?.({ type: 'checkpoint', step, path });
  }

  close(): void {
    this.#metrics.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A short name of anything that JSON can say; equal names mean equal values. */
export function fingerprint(...values: readonly unknown[]): string {
  const hash = createHash('sha256');
  for (const value of values) {
    if (value instanceof Uint8Array) hash.update(value);
    else hash.update(JSON.stringify(value) ?? 'undefined');
    hash.update('\0');
  }
  return hash.digest('hex').slice(0, 32);
}

function checkSameRun(checkpoint: Checkpoint, { kind, config, inputs }: SessionOptions, directory: string): void {
  const saved = checkpoint.state as unknown as Envelope;
  const refuse = (what: string, expected: string, received: string) => {
    throw new NudgeError('BAD_ARGUMENT', `This directory holds a run with ${what}.`, {
      path: directory,
      expected,
      received,
      remedy: 'Call it as before to go on with it, or choose another directory to start anew.',
    });
  };
  if (saved.kind !== kind) refuse('another purpose', saved.kind, kind);
  const changed = differences(saved.config, config);
  if (changed.length > 0) {
    const show = (i: 1 | 2) => changed.map((change) => `${change[0]} ${change[i]}`).join(', ');
    refuse('another configuration', show(1), show(2));
  }
  if (saved.inputs !== inputs) refuse('other data or another model', saved.inputs, inputs);
}

/** [path, saved, given] of every value in which two configurations differ. */
function differences(saved: Json, given: Json, path = ''): [string, string, string][] {
  const isObject = (value: Json | undefined): value is { readonly [name: string]: Json } =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (isObject(saved) && isObject(given)) {
    const names = [...new Set([...Object.keys(saved), ...Object.keys(given)])];
    return names.flatMap((name) =>
      differences(saved[name] ?? null, given[name] ?? null, path === '' ? name : `${path}.${name}`),
    );
  }
  const [before, now] = [JSON.stringify(saved), JSON.stringify(given)];
  return before === now ? [] : [[path, before, now]];
}
