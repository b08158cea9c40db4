/**
 * Stops a run that has gone wrong, and says why: which step, which metric, which rows of the data, and how it was before.
 *
 * A number that is not finite stops it at once, before the weights are updated with it. A metric that explodes stops it when it
 * stays far above its recent median for several steps: a single spike is usual, and clipping takes care of it.
 */
import { NudgeError } from '../errors.ts';
import type { Metrics } from './metrics.ts';
import { median } from './numbers.ts';

/** When a metric counts as exploding. */
export interface Explosion {
  /** It exceeds the median of the last good steps so many times, */
  readonly ratio: number;
  /** and by at least so much. */
  readonly floor: number;
}

export interface GuardOptions {
  /** By metric. Default: loss ten times and 1 nat above its median, gradNorm 1,000 times and 100 above. */
  explosions?: Readonly<Record<string, Explosion>>;
  /** Steps in a row that stop the run. Default 5. */
  patience?: number;
}

/** What a checkpoint keeps of a guard, so that a resumed run judges as the uninterrupted one. */
export interface GuardState {
  readonly recent: Readonly<Record<string, readonly number[]>>;
  readonly bad: Readonly<Record<string, number>>;
}

const EXPLOSIONS: Readonly<Record<string, Explosion>> = {
  loss: { ratio: 10, floor: 1 },
  gradNorm: { ratio: 1000, floor: 100 },
};
const WINDOW = 50;
/** Before so many good steps there is no median to speak of. */
const FEWEST = 10;

export class Guard {
  readonly #explosions: Readonly<Record<string, Explosion>>;
  readonly #patience: number;
  readonly #recent = new Map<string, number[]>();
  readonly #bad = new Map<string, number>();

  constructor(options: GuardOptions = {}) {
    this.#explosions = options.explosions ?? EXPLOSIONS;
    this.#patience = options.patience ?? 5;
  }

  /**
   * Checks a step's metrics. Call it before the optimiser's step.
   *
   * @param rows names the rows of the step's batch, for the message: `rows 17, 4 and 256`.
   * @throws NudgeError TRAINING_DIVERGED.
   */
  check(step: number, metrics: Metrics, rows: () => string): void {
    const broken = Object.entries(metrics).filter(([, value]) => !Number.isFinite(value));
    if (broken.length > 0) throw this.#notFinite(step, broken, rows());
    for (const [name, explosion] of Object.entries(this.#explosions)) {
      const value = metrics[name];
      if (value !== undefined) this.#watch(step, name, value, explosion, rows);
    }
  }

  state(): GuardState {
    return { recent: Object.fromEntries(this.#recent), bad: Object.fromEntries(this.#bad) };
  }

  restore({ recent, bad }: GuardState): void {
    this.#recent.clear();
    this.#bad.clear();
    for (const [name, values] of Object.entries(recent)) this.#recent.set(name, [...values]);
    for (const [name, count] of Object.entries(bad)) this.#bad.set(name, count);
  }

  #watch(step: number, name: string, value: number, { ratio, floor }: Explosion, rows: () => string): void {
    const recent = this.#recent.get(name) ?? [];
    this.#recent.set(name, recent);
    const usual = recent.length >= FEWEST ? median(recent) : null;
    const exploded = usual !== null && value > usual * ratio && value > usual + floor;
    if (!exploded) {
      this.#bad.set(name, 0);
      recent.push(value);
      if (recent.length > WINDOW) recent.shift();
      return;
    }
    const bad = (this.#bad.get(name) ?? 0) + 1;
    this.#bad.set(name, bad);
    if (bad < this.#patience) return;
    throw new NudgeError('TRAINING_DIVERGED', `Training has diverged: ${name} explodes.`, {
      path: `step ${step}, ${rows()}`,
      expected: `${name} near its recent median, ${round(usual)}`,
      received: `${round(value)}; ${bad} steps in a row above ${round(Math.max(usual * ratio, usual + floor))}`,
      remedy:
        'Lower the learning rate, lengthen the warm-up or clip gradients harder; then start in another directory.',
    });
  }

  #notFinite(step: number, broken: readonly (readonly [string, number])[], rows: string): NudgeError {
    const last = Object.keys(this.#explosions).flatMap((name) => {
      const values = this.#recent.get(name)?.slice(-3) ?? [];
      return values.length === 0 ? [] : [`${name} ${values.map(round).join(', ')}`];
    });
    return new NudgeError('TRAINING_DIVERGED', 'Training has diverged: a number is no longer finite.', {
      path: `step ${step}, ${rows}`,
      expected: `finite numbers${last.length === 0 ? '' : `; the last good ones: ${last.join('; ')}`}`,
      received: broken.map(([name, value]) => `${name} ${value}`).join(', '),
      remedy:
        last.length === 0
          ? 'It is so from the beginning: look at these rows, and check that the model itself gives finite numbers.'
          : 'Look at these rows; else lower the learning rate or clip gradients harder, and start in another directory.',
    });
  }
}

const round = (value: number): string => String(Number(value.toPrecision(4)));
