/** A trainer as something that can be timed step by step: the main thread's side of `worker.ts`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { NudgeError } from '../../src/errors.ts';
import { torch } from '../../src/tensor/index.ts';
import type { Body } from '../case.ts';
import type { StepMessage, TrainingJob, WorkerMessage } from './worker.ts';

/**
 * One repetition is one step.
 *
 * @param secondsOf what of a step counts. Default: all of it.
 */
export function training(
  job: Omit<TrainingJob, 'threads'>,
  secondsOf: (message: StepMessage) => number = ({ seconds }) => seconds,
): Body {
  const directory = mkdtempSync(join(tmpdir(), `nudge-bench-train-${process.pid}-`));
  const allowed = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('worker.ts', import.meta.url), {
    workerData: { job: { ...job, threads: torch.getNumThreads() }, directory, allowed },
    execArgv: [],
  });
  const messages = new Messages(worker);
  const ready = messages.next();
  return {
    async time(times) {
      await ready;
      let seconds = 0;
      for (let i = 0; i < times; i++) {
        Atomics.add(allowed, 0, 1);
        Atomics.notify(allowed, 0);
        seconds += secondsOf((await messages.next()) as StepMessage);
      }
      return seconds;
    },
    async end() {
      await worker.terminate();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** What a worker says, one at a time; its end is an error. */
class Messages {
  #waiting: PromiseWithResolvers<WorkerMessage> | null = null;
  readonly #said: WorkerMessage[] = [];
  #ended: Error | null = null;

  constructor(worker: Worker) {
    worker.on('message', (message: WorkerMessage) => {
      if (this.#waiting === null) this.#said.push(message);
      else this.#take().resolve(message);
    });
    worker.on('error', (error: Error) => this.#end(error));
    worker.on('exit', () =>
      this.#end(
        new NudgeError('BENCH_FAILED', 'The trainer has come to its end.', {
          path: 'bench/train/worker.ts',
          remedy: 'Ask for fewer rounds.',
        }),
      ),
    );
  }

  next(): Promise<WorkerMessage> {
    const said = this.#said.shift();
    if (said !== undefined) return Promise.resolve(said);
    if (this.#ended !== null) return Promise.reject(this.#ended);
    this.#waiting = Promise.withResolvers<WorkerMessage>();
    return this.#waiting.promise;
  }

  #end(error: Error): void {
    this.#ended ??= error;
    if (this.#waiting !== null) this.#take().reject(this.#ended);
  }

  #take(): PromiseWithResolvers<WorkerMessage> {
    const waiting = this.#waiting!;
    this.#waiting = null;
    return waiting;
  }
}
