/** Matrix products: here libtorch's kernels do the work, and the way to them should not show. */

import { type DType, torch } from '../../src/tensor/index.ts';
import { type Body, type Case, type Group, type Result, timed } from '../case.ts';
import { free } from './bodies.ts';

/** [m, k] times [k, n]. `linear` is x Wᵀ, the weight stored [n, k] as in a model. */
interface Shape {
  kind: 'matmul' | 'linear';
  m: number;
  k: number;
  n: number;
}

const SHAPES: readonly Shape[] = [
  { kind: 'matmul', m: 512, k: 512, n: 512 },
  { kind: 'matmul', m: 1024, k: 1024, n: 1024 },
  { kind: 'matmul', m: 2048, k: 2048, n: 2048 },
  // A language model of 135 million parameters: the wide layer over 1,024 tokens, the vocabulary over 16.
  { kind: 'linear', m: 1024, k: 576, n: 1536 },
  { kind: 'linear', m: 16, k: 576, n: 49152 },
];

/** Large enough to come near the peak: without it in the run, no peak is known. */
const PEAK_SIZE = 2048;

function body({ kind, m, k, n }: Shape, dtype: DType): Body {
  const inputs = torch.scope(() => [
    torch.randn([m, k]).to(dtype), // [m, k]
    torch.randn(kind === 'matmul' ? [k, n] : [n, k]).to(dtype), // [k, n] or [n, k]
  ]);
  for (const input of inputs) input.keep();
  const [x, weight] = inputs as [(typeof inputs)[0], (typeof inputs)[0]];
  const product = kind === 'matmul' ? () => void x.matmul(weight) : () => void torch.linear(x, weight);
  const work = (times: number): void => {
    for (let i = 0; i < times; i++) torch.scope(product);
  };
  return timed(work, { end: () => free(inputs) });
}

/** The highest rate that either side reached with this dtype. */
function peakOf(dtype: string, results: readonly Result[]): number | null {
  const same = results.filter((result) => result.case.name.endsWith(dtype));
  if (!same.some((result) => result.case.name.includes(`${PEAK_SIZE}x${PEAK_SIZE}x${PEAK_SIZE}`))) return null;
  return Math.max(...same.flatMap(({ nudge, peer }) => [nudge, peer ?? 0]));
}

function productCase(shape: Shape, dtype: 'float32' | 'bfloat16'): Case {
  const { kind, m, k, n } = shape;
  return {
    name: `${kind} ${m}x${k}x${n} ${dtype}`,
    metric: 'rate',
    unit: 'GFLOP/s',
    better: 'higher',
    value: (seconds) => (2 * m * k * n) / seconds / 1e9,
    nudge: () => body(shape, dtype),
    peer: { work: kind, arguments: { m, k, n, dtype } },
    limit: { among: (results) => peakOf(dtype, results) },
  };
}

export const products: Group = {
  title: 'Matrix products',
  cases: (['float32', 'bfloat16'] as const).flatMap((dtype) => SHAPES.map((shape) => productCase(shape, dtype))),
};
