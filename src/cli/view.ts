/** What a run shows while it works: a line a step, with its curve, its speed and the time that is left. */
import type { Manifest, StageEvent, Step } from '../pipeline/index.ts';
import { Progress, type Sink, seconds } from '../setup/progress.mjs';
import { sparkline } from './sparkline.ts';

/** The figure whose curve is drawn, the first that a stage reports. */
const WATCHED = ['reward/score', 'loss'];
/** Figures beside it. */
const BESIDE = ['scores/gold', 'kl/sequence', 'accuracy'];

const LABELS: Readonly<Record<string, string>> = { 'scores/gold': 'gold', 'kl/sequence': 'KL' };

export class RunView {
  readonly #progress: Progress;
  readonly #curve: number[] = [];

  constructor(sink: Sink) {
    this.#progress = new Progress(sink);
  }

  plan(steps: number): void {
    this.#progress.plan(steps);
  }

  begin({ id, stage, state }: Step): void {
    this.#curve.length = 0;
    this.#progress.begin(`${id}: ${stage.title}${state === 'resume' ? ' (going on)' : ''}`);
  }

  event(event: StageEvent): void {
    if (event.type === 'note') this.#progress.note(`      ${event.text}`);
    else this.#progress.update(this.#describe(event), event.total > 0 ? event.done / event.total : 0);
  }

  end({ id, stage, state }: Step, manifest: Manifest): void {
    const summary = stage.summary(manifest.metrics);
    // What was done before took its time then.
    this.#progress.end(
      `${id}: ${summary}${state === 'done' ? `, as before (${seconds(manifest.seconds * 1000)} then)` : ''}`,
    );
  }

  /** Removes the line that changes, before something else is written. */
  stop(): void {
    this.#progress.stop();
  }

  #describe({ done, total, detail, metrics = {}, tokensPerSecond }: Extract<StageEvent, { type: 'progress' }>): string {
    const watched = WATCHED.find((name) => metrics[name] !== undefined);
    const parts = [`${done}/${total}${detail === undefined ? '' : ` ${detail}`}`];
    if (watched !== undefined) {
      this.#curve.push(metrics[watched]!);
      parts.push(`${sparkline(this.#curve)} ${watched.split('/').at(-1)} ${short(metrics[watched]!)}`);
    }
    for (const name of BESIDE) {
      if (name !== watched && metrics[name] !== undefined)
        parts.push(`${LABELS[name] ?? name} ${short(metrics[name])}`);
    }
    if (tokensPerSecond !== undefined) parts.push(`${Math.round(tokensPerSecond)} tokens/s`);
    return parts.join(', ');
  }
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
