import { constantSchedule, cosineSchedule, linearSchedule, type Schedule } from '../nn/index.ts';
import type { TrainingSettings } from './config.ts';

const SCHEDULES = { constant: constantSchedule, linear: linearSchedule, cosine: cosineSchedule };

/**
 * The learning rate's factor by step, with a warm-up over a share of all steps. The first step of a warm-up would have rate 0 and
 * move nothing: each of its steps gets the rate of the next.
 */
export function makeSchedule(
  { lrSchedulerType, warmupRatio }: Pick<TrainingSettings, 'lrSchedulerType' | 'warmupRatio'>,
  totalSteps: number,
): Schedule {
  const warmupSteps = Math.ceil(warmupRatio * totalSteps);
  const schedule = SCHEDULES[lrSchedulerType]({ warmupSteps, totalSteps });
  return (step) => schedule(step < warmupSteps ? step + 1 : step);
}
