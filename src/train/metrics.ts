/**
 * What a run measured: `metrics.jsonl`, one object a line, and the same for TensorBoard in `tensorboard/`.
 *
 *     {"step":12,"time":1763900000.1,"loss":1.93,"gradNorm":0.8,"learningRate":0.0001}
 *
 * `time` is seconds since 1970. JSON has no NaN and no infinities: those are written as the strings "NaN", "Infinity" and
 * "-Infinity", since a metric that is no longer finite is what one wants to see.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NudgeError } from '../errors.ts';
import { ioFailed } from '../models/files/index.ts';
import { keepLines, readLines } from './lines.ts';
import { EventFile } from './tensorboard.ts';

export const METRICS_FILE = 'metrics.jsonl';
export const TENSORBOARD_FOLDER = 'tensorboard';

/** Numbers by name; a slash groups them (`eval/loss`). */
export type Metrics = Readonly<Record<string, number>>;

/** One line of `metrics.jsonl`. */
export interface MetricsLine {
  readonly step: number;
  /** Seconds since 1970. */
  readonly time: number;
  readonly metrics: Metrics;
}

export interface MetricsOptions {
  /** The step of the checkpoint that the run goes on from: what was written of later steps is dropped. null: of all steps. */
  resumeAt: number | null;
  /** Whether to write TensorBoard's files too. Default true. */
  tensorboard?: boolean;
}

const RESERVED = ['step', 'time'];

export class MetricsLog {
  readonly path: string;
  readonly #file: number;
  readonly #events: EventFile | null;

  private constructor(path: string, file: number, events: EventFile | null) {
    this.path = path;
    this.#file = file;
    this.#events = events;
  }

  /** Opens the log of a run's directory. @throws NudgeError IO_FAILED, BAD_FILE for a log that is none. */
  static open(directory: string, { resumeAt, tensorboard = true }: MetricsOptions): MetricsLog {
    const path = join(directory, METRICS_FILE);
    try {
      mkdirSync(directory, { recursive: true });
      keepLines(path, (raw, number) => {
        const { step } = parseLine(raw, `${path}:${number}`);
        return resumeAt !== null && step <= resumeAt;
      });
      const events = tensorboard ? new EventFile(join(directory, TENSORBOARD_FOLDER), (resumeAt ?? -1) + 1) : null;
      return new MetricsLog(path, openSync(path, 'a'), events);
    } catch (error) {
      throw error instanceof NudgeError ? error : ioFailed('open', path, error);
    }
  }

  /** Adds a line. It is with the operating system at once: a crash of this process loses no line, a power cut may. */
  write(step: number, metrics: Metrics): void {
    const time = Date.now() / 1000;
    const wrong = Object.keys(metrics).find((name) => RESERVED.includes(name));
    if (wrong !== undefined)
      throw new NudgeError('BAD_ARGUMENT', `A metric cannot be called ${wrong}.`, { path: 'MetricsLog.write' });
    try {
      writeFileSync(this.#file, `${JSON.stringify({ step, time, ...metrics }, writeNumber)}\n`);
      this.#events?.add(step, time, metrics);
    } catch (error) {
      throw ioFailed('write', this.path, error);
    }
  }

  /** Brings everything to the disk itself: before a checkpoint is published that relies on it. */
  flush(): void {
    fsyncSync(this.#file);
    this.#events?.flush();
  }

  close(): void {
    closeSync(this.#file);
    this.#events?.close();
  }
}

/** Reads a run's metrics; an unfinished last line is left out. An empty list where there is no file. */
export function readMetrics(directory: string): MetricsLine[] {
  const path = join(directory, METRICS_FILE);
  return readLines(path).map((raw, i) => parseLine(raw, `${path}:${i + 1}`));
}

const writeNumber = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;

function parseLine(raw: string, path: string): MetricsLine {
  try {
    const { step, time, ...rest } = JSON.parse(raw) as Record<string, number | string>;
    if (typeof step !== 'number' || typeof time !== 'number') throw new TypeError('no step or no time');
    return { step, time, metrics: Object.fromEntries(Object.entries(rest).map(([k, v]) => [k, Number(v)])) };
  } catch (cause) {
    throw new NudgeError('BAD_FILE', 'This is no line of metrics.', {
      path,
      expected: '{"step": ..., "time": ..., numbers by name}',
      received: raw.slice(0, 100),
      remedy: 'Move the file away: the run goes on from its checkpoint without it.',
      cause,
    });
  }
}
