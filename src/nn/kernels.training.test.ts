import { afterEach, describe, expect, it } from 'vitest';
import '../../tests/support/allClose.ts';
import { type DType, type Tensor, torch } from '../tensor/index.ts';
import { kernels } from './index.ts';

const initial = kernels.selected();
afterEach(() => kernels.select(initial));

const SETS = ['avx512_bf16', 'avx512', 'avx2', 'base'].filter((name) => kernels.select(name));
kernels.select(initial);

const generator = new torch.Generator({ seed: 7 });
const normal = (shape: number[], dtype: DType = 'float32'): Tensor => torch.randn(shape, { generator }).to(dtype);

/** A dtype's rounding step, and what float32 sums in another order may differ by. */
const STEP = { bfloat16: 2 ** -8, float32: 1e-5 } as const;

/** Largest difference from the exact result, relative where that is above 1. */
function error(actual: Tensor, exact: Tensor): number {
  return actual.double().sub(exact).abs().div(exact.abs().add(1)).max().item() as number;
}

/** The result, and the gradients of Σ result · upstream for each argument. */
function withGradients(fn: (leaves: Tensor[]) => Tensor, values: readonly Tensor[], upstream: Tensor): Tensor[] {
  const leaves = values.map((value) => value.detach().clone().requiresGrad_());
  const result = fn(leaves);
  return [result, ...torch.grad(result, leaves, { gradOutputs: upstream.to(result.dtype) })];
}

const doubles = (values: readonly Tensor[]): Tensor[] => values.map((value) => value.double());

describe.each(SETS)('kernels of %s outside inference mode', (set) => {
  describe.each(['float32', 'bfloat16'] as const)('in %s', (dtype) => {
    it.each([
      [5, 7, 3],
      [33, 64, 100],
      // So many outputs that they are computed in blocks where weights are widened.
      [300, 64, 4100],
    ])('linear of %i rows, %i to %i, and its gradients', (rows, inputs, outputs) => {
      kernels.select(set);
      const values = [
        normal([rows, inputs], dtype),
        normal([outputs, inputs], dtype).mul(inputs ** -0.5),
        normal([outputs], dtype),
      ];
      const upstream = normal([rows, outputs], dtype).mul(outputs ** -0.5);
      const actual = withGradients(([x, w, b]) => kernels.linear(x!, w!, b!), values, upstream);
      const exact = withGradients(([x, w, b]) => torch.linear(x!, w!, b!), doubles(values), upstream);
      for (const [i, tensor] of actual.entries()) {
        expect(tensor.dtype).toBe(dtype);
        // Once rounded results; the sum over rows for a bias may be ATen's own, rounded on the way.
        expect(error(tensor, exact[i]!)).toBeLessThan(STEP[dtype] * (i === 3 ? 4 : 1));
      }
    });

    it.each(['float32', 'bfloat16'] as const)('loraLinear with an adapter in %s, and its gradients', (adapter) => {
      kernels.select(set);
      const values = [
        normal([40, 48], dtype),
        normal([70, 48], dtype).mul(0.2),
        normal([70], dtype),
        normal([8, 48], adapter).mul(0.2),
        normal([70, 8], adapter).mul(0.2),
      ];
      const upstream = normal([40, 70], dtype).mul(0.1);
      const lora = ([x, w, bias, a, b]: Tensor[]) => kernels.loraLinear(x!, w!, bias!, a!, b!, 2);
      const actual = withGradients(lora, values, upstream);
      const exact = withGradients(
        ([x, w, bias, a, b]) => torch.linear(x!, w!, bias!).add(x!.matmul(a!.t()).matmul(b!.t()).mul(2)),
        doubles(values),
        upstream,
      );
      const coarse = dtype === 'bfloat16' || adapter === 'bfloat16';
      for (const [i, tensor] of actual.entries()) {
        expect(tensor.dtype).toBe(i < 4 ? dtype : adapter);
        // The plain operators round several times.
        expect(error(tensor, exact[i]!)).toBeLessThan(coarse ? 4 * STEP.bfloat16 : STEP.float32);
      }
    });

    it('rmsNorm, and its gradients', () => {
      kernels.select(set);
      // More rows than parts in which the weight's gradient is summed, and a width that fills no register.
      const values = [normal([7, 5, 83], dtype), normal([83], dtype)];
      const upstream = normal([7, 5, 83]).mul(0.3);
      const actual = withGradients(([x, w]) => kernels.rmsNorm(x!, w!, 1e-5), values, upstream);
      const exact = withGradients(([x, w]) => torch.rmsNorm(x!, [83], w!, 1e-5), doubles(values), upstream.to(dtype));
      for (const [i, tensor] of actual.entries()) expect(error(tensor, exact[i]!)).toBeLessThan(STEP[dtype]);
    });

    it.each([48, 20])('rope of %i dimensions, and its gradient', (turning) => {
      kernels.select(set);
      const angles = normal([5, 1, 48]);
      const [cos, sin] = [angles.cos(), angles.sin()].map((a) => a.to(dtype).narrow(2, 0, turning)) as [Tensor, Tensor];
      const upstream = normal([5, 3, 48]);
      // Heads that stand apart, as those of queries do beside keys and values.
      const rotate = (x: Tensor, cos: Tensor, sin: Tensor) => kernels.rope(x.narrow(1, 1, 3), cos, sin);
      const values = [normal([5, 6, 48], dtype)];
      const actual = withGradients(([x]) => rotate(x!, cos, sin), values, upstream);
      const exact = withGradients(
        ([x]) => rotate(x!, cos.double(), sin.double()),
        doubles(values),
        upstream.to(dtype).double(),
      );
      for (const [i, tensor] of actual.entries()) expect(error(tensor, exact[i]!)).toBeLessThan(STEP[dtype]);
    });

    it('swiglu, and its gradients', () => {
      kernels.select(set);
      const values = [normal([5, 77], dtype).mul(5), normal([5, 77], dtype)];
      const upstream = normal([5, 77]);
      const actual = withGradients(([g, u]) => kernels.swiglu(g!, u!), values, upstream);
      const exact = withGradients(([g, u]) => torch.silu(g!).mul(u!), doubles(values), upstream.to(dtype));
      for (const [i, tensor] of actual.entries()) expect(error(tensor, exact[i]!)).toBeLessThan(STEP[dtype]);
    });

    it('rmsNorm, rope and swiglu give the same bits with and without a graph, and frozen weights no gradient', () => {
      kernels.select(set);
      const [x, weight] = [normal([6, 2, 32], dtype).requiresGrad_(), normal([32], dtype)];
      const angles = normal([6, 1, 32], dtype);
      const layer = () => {
        const normed = kernels.rmsNorm(x, weight, 1e-6);
        return kernels.swiglu(kernels.rope(normed, angles.cos(), angles.sin()), normed);
      };
      const recorded = layer();
      expect(torch.noGrad(layer).equal(recorded)).toBe(true);
      expect(torch.inferenceMode(() => layer().equal(recorded))).toBe(true);
      recorded.float().sum().backward();
      expect(weight.grad).toBe(null);
      expect(x.grad!.shape).toEqual([6, 2, 32]);
    });

    it('gives frozen weights no gradient, and the same bits with and without a graph', () => {
      kernels.select(set);
      const [x, weight, a, b] = [
        normal([6, 32], dtype),
        normal([20, 32], dtype),
        normal([4, 32], dtype),
        normal([20, 4], dtype),
      ];
      a.requiresGrad_();
      const recorded = kernels.loraLinear(x, weight, null, a, b, 0.5);
      recorded.float().sum().backward();
      expect([x.grad, weight.grad, b.grad]).toEqual([null, null, null]);
      expect(a.grad!.shape).toEqual([4, 32]);
      const scored = torch.noGrad(() => kernels.loraLinear(x, weight, null, a, b, 0.5));
      expect(scored.requiresGrad).toBe(false);
      expect(scored.equal(recorded)).toBe(true);
      const linear = kernels.linear(x, weight.detach().requiresGrad_());
      expect(torch.noGrad(() => kernels.linear(x, weight)).equal(linear)).toBe(true);
    });

    it.each([1, 0.7])('tokenLogProbs at temperature %d, and their gradient', (temperature) => {
      kernels.select(set);
      const logits = normal([9, 83], dtype).mul(4);
      const tokens = torch.randint(0, 83, [9], { generator, dtype: 'int64' });
      const upstream = normal([9]);
      const actual = withGradients(([x]) => kernels.tokenLogProbs(x!, tokens, temperature), [logits], upstream);
      const exact = withGradients(
        ([x]) => x!.div(temperature).logSoftmax(-1).gather(1, tokens.unsqueeze(1)).squeeze(1),
        [logits.double()],
        upstream,
      );
      expect(actual[0]!.dtype).toBe('float32');
      expect(error(actual[0]!, exact[0]!)).toBeLessThan(1e-5);
      expect(actual[1]!.dtype).toBe(dtype);
      expect(error(actual[1]!, exact[1]!)).toBeLessThan(STEP[dtype]);
      const scored = torch.noGrad(() => kernels.tokenLogProbs(logits, tokens, temperature));
      expect(scored.equal(actual[0]!)).toBe(true);
    });

    it('tokenLogProbs keeps what cannot be drawn apart, and NaN a NaN', () => {
      kernels.select(set);
      const masked = Array.from({ length: 40 }, (_, i) => (i % 3 === 0 ? Number.NEGATIVE_INFINITY : i / 10));
      const rows = [masked, masked, masked.map((x, i) => (i === 5 ? Number.NaN : x)), masked.map(() => -Infinity)];
      const logits = torch.tensor(rows).to(dtype).requiresGrad_();
      const tokens = torch.tensor([1, 3, 1, 1], { dtype: 'int64' });
      const logProbs = kernels.tokenLogProbs(logits, tokens);
      const [drawable, masked3, poisoned, empty] = logProbs.tolist() as number[];
      const exact = torch.tensor([masked]).to(dtype).double().logSoftmax(-1).tolist() as number[][];
      expect(drawable).toBeCloseTo(exact[0]![1]!, 5);
      expect([masked3, poisoned, empty]).toEqual([Number.NEGATIVE_INFINITY, Number.NaN, Number.NaN]);
      const [gradient] = torch.grad(logProbs.sum(), [logits]);
      const numbers = gradient!.tolist() as number[][];
      expect(numbers[0]![0]).toBe(-0);
      expect(numbers[0]!.reduce((sum, x) => sum + x, 0)).toBeCloseTo(0, dtype === 'float32' ? 5 : 1);
      expect(numbers[2]!.every(Number.isNaN)).toBe(true);
    });
  });
});

describe('gradients of gradients', () => {
  /** The gradients of the squared norm of all gradients of Σ fn. */
  const penalty = (fn: (leaves: Tensor[]) => Tensor, leaves: Tensor[]): Tensor[] => {
    const first = torch.grad(fn(leaves).sum(), leaves, { createGraph: true });
    return torch.grad(
      first.reduce((sum, gradient) => sum.add(gradient.square().sum()), torch.zeros([], { dtype: leaves[0]!.dtype })),
      leaves,
    );
  };
  const leavesOf = (values: readonly Tensor[], dtype: DType) =>
    values.map((value) => value.detach().to(dtype).requiresGrad_());

  it.each([...SETS, 'none'])('go through linear, loraLinear and tokenLogProbs with %s', (set) => {
    kernels.select(set);
    const values = [normal([3, 5]), normal([4, 5]), normal([2, 5]), normal([4, 2])];
    const tokens = torch.tensor([0, 3, 1], { dtype: 'int64' });
    const actual = penalty(
      ([x, w, a, b]) => kernels.tokenLogProbs(kernels.loraLinear(x!, w!, null, a!, b!, 0.5), tokens),
      leavesOf(values, 'float32'),
    );
    const exact = penalty(
      ([x, w, a, b]) => {
        const logits = x!.matmul(w!.t()).add(x!.matmul(a!.t()).matmul(b!.t()).mul(0.5));
        return logits.logSoftmax(-1).gather(1, tokens.unsqueeze(1)).squeeze(1);
      },
      leavesOf(values, 'float64'),
    );
    for (const [i, gradient] of actual.entries()) expect(error(gradient, exact[i]!)).toBeLessThan(1e-4);
  });

  it.each([...SETS, 'none'])('go through rmsNorm, rope and swiglu with %s', (set) => {
    kernels.select(set);
    const values = [normal([3, 2, 6]), normal([6]), normal([3, 2, 6])];
    const angles = normal([3, 1, 6]);
    const actual = penalty(
      ([x, w, u]) => kernels.swiglu(kernels.rope(kernels.rmsNorm(x!, w!, 1e-5), angles.cos(), angles.sin()), u!),
      leavesOf(values, 'float32'),
    );
    const [cos, sin] = [angles.double().cos(), angles.double().sin()];
    const exact = penalty(
      ([x, w, u]) => {
        const normed = torch.rmsNorm(x!, [6], w!, 1e-5);
        return torch.silu(normed.mul(cos).add(normed.roll(3, -1).mul(sin))).mul(u!);
      },
      leavesOf(values, 'float64'),
    );
    for (const [i, gradient] of actual.entries()) expect(error(gradient, exact[i]!)).toBeLessThan(1e-4);
  });
});
