/**
 * Learning-rate schedules: pure functions from the step (0 for the first) to a multiplier of the base rate.
 *
 * The formulas are those of transformers' `get_*_schedule_with_warmup`. With a warm-up the multiplier of step 0 is 0; the first
 * step then moves nothing (but fills AdamW's moments).
 */
import { NudgeError } from '../../errors.ts';

/** Multiplier of the base learning rate at a step, counted from 0. Fractions of a step are allowed. */
export type Schedule = (step: number) => number;

export interface WarmupOptions {
  /** Steps over which the multiplier rises from 0 to 1 in a straight line. Default 0. */
  warmupSteps?: number;
}

export interface DecayOptions extends WarmupOptions {
  /** The step at which the decay ends, warm-up included. After it the multiplier stays. */
  totalSteps: number;
  /** The multiplier at the end. Default 0. */
  minRatio?: number;
}

/** 1 after the warm-up. */
export function constantSchedule({ warmupSteps = 0 }: WarmupOptions = {}): Schedule {
  checkSteps('constantSchedule.warmupSteps', warmupSteps);
  return (step) => warmup(step, warmupSteps) ?? 1;
}

/** From 1 down to `minRatio` in a straight line. */
export function linearSchedule(options: DecayOptions): Schedule {
  return decay('linearSchedule', options, (progress) => 1 - progress);
}

/** From 1 down to `minRatio` along half a cosine (Loshchilov and Hutter, arXiv 1608.03983, eq. 5, without restarts). */
export function cosineSchedule(options: DecayOptions): Schedule {
  return decay('cosineSchedule', options, (progress) => 0.5 * (1 + Math.cos(Math.PI * progress)));
}

/** Sets every group's learning rate to `base * multiplier`. `base` is one number, or one for each group. */
export function setLr(
  optimizer: { readonly groups: readonly { lr: number }[] },
  base: number | readonly number[],
  multiplier: number,
): void {
  if (typeof base !== 'number' && base.length !== optimizer.groups.length) {
    throw new NudgeError('BAD_ARGUMENT', 'There must be one base rate for each parameter group.', {
      path: 'setLr.base',
      expected: `${optimizer.groups.length} numbers`,
      received: String(base.length),
    });
  }
  for (const [i, group] of optimizer.groups.entries()) {
    group.lr = (typeof base === 'number' ? base : base[i]!) * multiplier;
  }
}

/** @param shape falls from 1 at progress 0 to 0 at progress 1. */
function decay(name: string, options: DecayOptions, shape: (progress: number) => number): Schedule {
  const { warmupSteps = 0, totalSteps, minRatio = 0 } = options;
  checkSteps(`${name}.warmupSteps`, warmupSteps);
  checkSteps(`${name}.totalSteps`, totalSteps);
  if (warmupSteps > totalSteps) {
    throw new NudgeError('BAD_ARGUMENT', 'The warm-up is longer than the whole schedule.', {
      path: `${name}.warmupSteps`,
      expected: `at most totalSteps, ${totalSteps}`,
      received: String(warmupSteps),
    });
  }
  if (!(minRatio >= 0 && minRatio <= 1)) {
    throw new NudgeError('BAD_ARGUMENT', 'The lowest multiplier must lie between 0 and 1.', {
      path: `${name}.minRatio`,
      expected: '0 <= minRatio <= 1',
      received: String(minRatio),
    });
  }
  return (step) => {
    const rising = warmup(step, warmupSteps);
    if (rising !== null) return rising;
    const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
    return minRatio + (1 - minRatio) * shape(progress);
  };
}

/** The multiplier while warming up, null after. */
function warmup(step: number, steps: number): number | null {
  if (!(step >= 0)) {
    throw new NudgeError('BAD_ARGUMENT', 'A schedule counts steps from 0.', {
      path: 'step',
      expected: 'a number >= 0',
      received: String(step),
    });
  }
  return step < steps ? step / Math.max(1, steps) : null;
}

function checkSteps(path: string, steps: number): void {
  if (Number.isInteger(steps) && steps >= 0) return;
  throw new NudgeError('BAD_ARGUMENT', 'A number of steps must be a whole number, 0 or more.', {
    path,
    expected: 'an integer >= 0',
    received: String(steps),
  });
}
