/** How long a plan will take and how much memory: said before it begins, from the sizes and this machine's own speed. */
import { torch } from '../tensor/index.ts';
import type { RunConfig } from './config.ts';
import type { Step } from './plan.ts';
import type { ModelFacts } from './stage.ts';

export interface StepEstimate {
  readonly id: string;
  /** 0 for a step that is done. */
  readonly seconds: number;
  /** Peak memory of the process, in bytes. */
  readonly bytes: number;
}

/** What Node and libtorch need before there is a model. */
const PROCESS_BYTES = 350e6;
const SIZE = 1024;

/** Estimates each step; good to about a factor of two: the length of answers is not known before. */
export function estimatePlan(config: RunConfig, steps: readonly Step[], facts: ModelFacts): StepEstimate[] {
  const peak = measurePeak();
  const weights = facts.parameters * facts.bytesPerWeight;
  return steps.map(({ id, stage, state }) => {
    if (state === 'done') return { id, seconds: 0, bytes: 0 };
    const { flops, efficiency, bytes } = stage.estimate(config, facts);
    const computes = flops > 0;
    return {
      id,
      seconds: computes ? flops / (peak * efficiency) : 1,
      bytes: PROCESS_BYTES + bytes + (computes ? weights : 0),
    };
  });
}

/** Multiplications and additions a second of a large float32 matrix product on all threads: the best of a few. */
export function measurePeak(): number {
  return torch.scope(() => {
    const [a, b] = [torch.ones([SIZE, SIZE]), torch.ones([SIZE, SIZE])]; // [1024, 1024]
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 6; i++) {
      const start = performance.now();
      a.matmul(b).dispose();
      best = Math.min(best, performance.now() - start);
    }
    return (2 * SIZE ** 3) / (best / 1000);
  });
}

/** Of `tokens` that go forward through a whole model; a backward pass through frozen weights costs as much once more. */
export function forwardFlops({ parameters }: ModelFacts, tokens: number): number {
  return 2 * parameters * tokens;
}
