/** Takes a plan's steps one after the other, each with a manifest that says how far it got. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { NudgeError } from '../errors.ts';
import { withLock } from '../setup/lock.mjs';
import type { RunConfig } from './config.ts';
import { describeOutputs, type Manifest, writeManifest } from './manifest.ts';
import type { Step } from './plan.ts';
import type { StageEvent, StageResult } from './stage.ts';
import { versions } from './versions.ts';

export interface RunObserver {
  /** A step begins, or is passed over since it is done. */
  begin?: (step: Step, place: { index: number; total: number }) => void;
  event?: (step: Step, event: StageEvent) => void;
  end?: (step: Step, manifest: Manifest) => void;
}

export interface ExecuteOptions extends RunObserver {
  /** Of the run. */
  directory: string;
  /** Ends the run after the step of training, the completion or the batch that is being computed; calling again goes on. */
  signal?: AbortSignal;
}

export interface ExecutedRun {
  /** One a step that is done, in order. */
  readonly manifests: readonly Manifest[];
  /** Whether the signal ended it before the last step. */
  readonly stopped: boolean;
}

/** A running step's manifest is renewed this often, so that its time is known after a crash. */
const HEARTBEAT_MS = 5000;

/**
 * Executes what a plan says is still to do. Steps leave their results on disk and nothing in memory, so it may be killed
 * anywhere and called again.
 *
 * @throws NudgeError RUN_BUSY when another process works on the run; what a step throws.
 */
export async function executeRun(
  config: RunConfig,
  steps: readonly Step[],
  options: ExecuteOptions,
): Promise<ExecutedRun> {
  const { directory, signal = new AbortController().signal } = options;
  mkdirSync(directory, { recursive: true });
  const work = async (): Promise<ExecutedRun> => {
    const manifests: Manifest[] = [];
    for (const [index, step] of steps.entries()) {
      options.begin?.(step, { index, total: steps.length });
      const manifest = step.state === 'done' ? step.manifest! : await executeStep(config, step, steps, signal, options);
      if (manifest === null) return { manifests, stopped: true };
      options.end?.(step, manifest);
      manifests.push(manifest);
    }
    return { manifests, stopped: false };
  };
  return await withLock(join(directory, '.lock'), work, ({ pid, host }) => {
    throw new NudgeError('RUN_BUSY', 'Another process works on this run.', {
      path: directory,
      received: `process ${pid} on ${host}`,
      remedy: 'Wait for it or end it; or give this run another name.',
    });
  });
}

/** @returns null when the signal ended it early. */
async function executeStep(
  config: RunConfig,
  step: Step,
  steps: readonly Step[],
  signal: AbortSignal,
  observer: RunObserver,
): Promise<Manifest | null> {
  const { directory } = step;
  // What another version or a crash before the first manifest left there is nobody's.
  if (step.state === 'new') rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const clock = new StepClock(step);
  const heartbeat = setInterval(() => clock.save(), HEARTBEAT_MS);
  heartbeat.unref();
  clock.save();
  try {
    const directories = new Map(steps.map(({ id, directory }) => [id, directory]));
    const result = await step.stage.execute({
      run: config,
      round: step.round,
      seed: step.seed,
      directory,
      input: (name) => (Object.hasOwn(step.inputs, name) ? directories.get(name)! : null),
      signal,
      report: (event) => observer.event?.(step, event),
    });
    if (result.stopped || signal.aborted) {
      clock.save();
      return null;
    }
    return await clock.finish(result);
  } finally {
    clearInterval(heartbeat);
  }
}

/** A running step's manifest. */
class StepClock {
  readonly #step: Step;
  // They stay while a process does, and a manifest is written every few seconds.
  readonly #versions = versions();
  readonly #before: number;
  readonly #start = performance.now();
  readonly #startedAt: string;
  #finished = false;

  constructor(step: Step) {
    this.#step = step;
    this.#before = step.manifest?.seconds ?? 0;
    this.#startedAt = step.manifest?.startedAt ?? new Date().toISOString();
  }

  save(): void {
    if (!this.#finished) writeManifest(this.#step.directory, this.#manifest());
  }

  async finish({ metrics, outputs }: StageResult): Promise<Manifest> {
    const described = await describeOutputs(this.#step.directory, outputs);
    this.#finished = true;
    const manifest: Manifest = {
      ...this.#manifest(),
      status: 'done',
      finishedAt: new Date().toISOString(),
      metrics: { ...metrics },
      outputs: described,
    };
    writeManifest(this.#step.directory, manifest);
    return manifest;
  }

  #manifest(): Manifest {
    const { id, key, config, seed, inputs, files, manifest } = this.#step;
    return {
      format: 1,
      stage: id,
      key,
      status: 'running',
      startedAt: this.#startedAt,
      finishedAt: null,
      seconds: this.#before + (performance.now() - this.#start) / 1000,
      attempts: (manifest?.attempts ?? 0) + 1,
      config,
      seed,
      inputs: { ...inputs },
      files: { ...files },
      versions: this.#versions,
      peakRssBytes: Math.max(manifest?.peakRssBytes ?? 0, process.resourceUsage().maxRSS * 1024),
      metrics: {},
      outputs: {},
    };
  }
}
