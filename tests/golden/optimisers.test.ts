/** src/nn's optimisers, clipping and schedules against torch.optim, torch.nn.utils and transformers' formulas. */
import { describe, expect, test } from 'vitest';
import {
  AdamW,
  type AdamWConfig,
  clipGradNorm,
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Parameter,
  parameter,
  SGD,
  type SGDConfig,
  setLr,
} from '../../src/nn/index.ts';
import { type DType, type Tensor, torch } from '../../src/tensor/index.ts';
import type { Tolerance } from '../support/allClose.ts';
import { uniform } from './hashing.ts';
import { decode, decodeTensor, type Encoded, type EncodedTensor, expectGolden, loadCases } from './load.ts';

interface OptimiserCase {
  name: string;
  optimiser: 'AdamW' | 'SGD';
  dtype: DType;
  options: AdamWConfig & SGDConfig;
  /** One a parameter. */
  groups?: (AdamWConfig & SGDConfig)[];
  /** [step, parameter] pairs without a gradient. */
  missing: [number, number][];
  scheduled: boolean;
  /** The parameters after these steps. */
  after: Record<string, EncodedTensor[]>;
}

const STEPS = 50;
const SHAPES = [[5, 3], [7], [2, 2]];

/**
 * 50 steps of some ten roundings each. The 16-bit weights are rounded from a float32 that the reference computes by the paper's formula and
 * libtorch's kernel in another order: where it lies half-way between two, they may take different neighbours.
 */
const TOLERANCE: Partial<Record<DType, Tolerance>> = {
  float32: { rtol: 1e-5, atol: 1e-5 },
  float64: { rtol: 1e-12, atol: 1e-12 },
  bfloat16: { ulps: 1 },
};

describe('optimisers over 50 steps', () => {
  test.each(loadCases<OptimiserCase>('optimisers'))('$name', (golden) => {
    torch.scope(() => {
      const weights = SHAPES.map((shape, number) => parameter(uniform(number, ...shape).to(golden.dtype)));
      const groups = golden.groups?.map((group, number) => ({ parameters: [weights[number]!], ...group }));
      using optimiser = new { AdamW, SGD }[golden.optimiser](groups ?? weights, golden.options);
      const rates = optimiser.groups.map(({ lr }) => lr);
      const schedule = linearSchedule({ warmupSteps: 5, totalSteps: STEPS });
      for (let step = 1; step <= STEPS; step++) {
        if (golden.scheduled) setLr(optimiser, rates, schedule(step - 1));
        for (const [number, weight] of weights.entries()) weight.grad = gradient(golden, step, number);
        optimiser.step();
        const expected = golden.after[step];
        if (expected !== undefined) expectAll(weights, expected, TOLERANCE[golden.dtype]!);
      }
      for (const weight of weights) weight.dispose();
    });
  });
});

function gradient({ missing, dtype }: OptimiserCase, step: number, number: number): Tensor | null {
  const absent = missing.some(([at, which]) => at === step && which === number);
  return absent ? null : uniform(1000 * step + number, ...SHAPES[number]!).to(dtype);
}

function expectAll(weights: Parameter[], expected: EncodedTensor[], tolerance: Tolerance): void {
  for (const [i, weight] of weights.entries()) expectGolden(weight, expected[i]!, tolerance);
}

interface ClippingCase {
  name: string;
  gradients: (EncodedTensor | null)[];
  maxNorm: number;
  norm: Encoded;
  clipped: (EncodedTensor | null)[];
}

describe('clipping by the norm', () => {
  test.each(loadCases<ClippingCase>('clipping'))('$name', ({ gradients, maxNorm, norm, clipped }) => {
    torch.scope(() => {
      const weights = gradients.map((given) => {
        const gradient = decodeTensor(given ?? { tensor: 'float32', shape: [1], bytes: 'AAAAAA==' });
        const weight = parameter(torch.zerosLike(gradient));
        weight.grad = given === null ? null : gradient;
        return weight;
      });
      const measured = torch.tensor(clipGradNorm(weights, maxNorm), { dtype: 'float64' });
      expect(measured).toBeCloseToTensor(Number(decodedNumber(norm)), { rtol: 2e-7, atol: 0 });
      for (const [i, weight] of weights.entries()) {
        const expected = clipped[i]!;
        if (expected === null) expect(weight.grad).toBeNull();
        else expectGolden(weight.grad, expected, {});
        weight.dispose();
      }
    });
  });
});

function decodedNumber(value: Encoded): number {
  const decoded = decode(value);
  return typeof decoded === 'object' ? (decoded as { float: number }).float : (decoded as number);
}

interface ScheduleCase {
  name: 'constant' | 'linear' | 'cosine';
  warmupSteps: number;
  totalSteps: number;
  minRatio: number;
  values: Encoded[];
}

describe('schedules', () => {
  const makers = { constant: constantSchedule, linear: linearSchedule, cosine: cosineSchedule };
  test.each(loadCases<ScheduleCase>('schedules'))(
    '$name, $warmupSteps of $totalSteps, to $minRatio',
    ({ name, values, ...options }) => {
      const schedule = makers[name](options);
      const multipliers = values.map((_, step) => schedule(step));
      const measured = torch.tensor(multipliers, { dtype: 'float64' });
      expect(measured).toBeCloseToTensor(values.map(decodedNumber), { rtol: 1e-14, atol: 1e-14 });
    },
  );
});
