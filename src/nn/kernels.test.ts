import { afterEach, describe, expect, it } from 'vitest';
import '../../tests/support/allClose.ts';
import { type DType, type Tensor, torch } from '../tensor/index.ts';
import { kernels } from './index.ts';

const initial = kernels.selected();
afterEach(() => kernels.select(initial));

/** What this processor can run; `base` runs everywhere. */
const SETS = ['avx512_bf16', 'avx512', 'avx2', 'base'].filter((name) => kernels.select(name));
kernels.select(initial);

const generator = new torch.Generator({ seed: 5 });
const normal = (shape: number[], dtype: DType = 'float32'): Tensor => torch.randn(shape, { generator }).to(dtype);

/** The result with the kernels of one set, and with ATen's operators. */
function both<T>(set: string, work: () => T): [kernel: T, plain: T] {
  kernels.select(set);
  const kernel = torch.inferenceMode(work);
  kernels.select('none');
  return [kernel, torch.inferenceMode(work)];
}

describe.each(SETS)('kernels of %s', (set) => {
  describe.each(['float32', 'bfloat16'] as const)('in %s', (dtype) => {
    const close = (pair: [Tensor, Tensor], ulps = 1): void => {
      const [kernel, plain] = pair;
      // bfloat16 sums of both signs end near 0, where one unit in the last place is next to nothing: see `linear`.
      if (dtype === 'bfloat16') expect(kernel).toBeCloseToTensor(plain, { ulps });
      else expect(kernel).toBeCloseToTensor(plain, { rtol: 1e-5, atol: 1e-5 });
    };

    it.each([
      [1, 64, 64],
      [1, 576, 19],
      [3, 40, 33],
      [5, 7, 3],
      [16, 100, 50],
      [64, 96, 130],
      // More rows than stay in a cache together, and rows so long that they are summed in blocks.
      [90, 1700, 21],
    ])('linear of %i rows, %i to %i', (rows, inputs, outputs) => {
      const [x, weight, bias] = [
        normal([rows, inputs], dtype),
        normal([outputs, inputs], dtype),
        normal([outputs], dtype),
      ];
      // Against the exact result, rounded once.
      const exact = torch.linear(x.double(), weight.double(), bias.double());
      const [kernel] = both(set, () => kernels.linear(x, weight, bias));
      expect(kernel.dtype).toBe(dtype);
      const unit = dtype === 'bfloat16' ? 2 ** -8 : inputs ** 0.5 * 2e-6;
      expect(kernel.double().sub(exact).abs().div(exact.abs().add(1)).max().item()).toBeLessThan(unit);
      const [without] = both(set, () => kernels.linear(x.unsqueeze(0), weight));
      expect(without.shape).toEqual([1, rows, outputs]);
    });

    it.each([100, 576, 1700])('gives a row of %i the same bits whatever the batch', (inputs) => {
      const [x, weight] = [normal([120, inputs], dtype), normal([37, inputs], dtype)];
      kernels.select(set);
      const linear = (rows: number) => torch.inferenceMode(() => kernels.linear(x.narrow(0, 0, rows), weight));
      const all = linear(Math.min(120, kernels.linearRows(dtype)));
      for (const rows of [1, 2, 3, 5, 7, 13]) {
        expect(linear(rows).equal(all.narrow(0, 0, rows))).toBe(true);
      }
    });

    it('rmsNorm', () => {
      const [x, weight] = [normal([3, 5, 83], dtype), normal([83], dtype)];
      close(both(set, () => kernels.rmsNorm(x, weight, 1e-5)));
    });

    it('rope, of all dimensions and of some', () => {
      const x = normal([5, 6, 48], dtype).narrow(1, 1, 3);
      const angles = normal([5, 1, 48]);
      for (const turning of [48, 20]) {
        const [cos, sin] = [angles.cos(), angles.sin()].map((a) => a.to(dtype).narrow(2, 0, turning)) as [
          Tensor,
          Tensor,
        ];
        const [kernel, plain] = both(set, () => kernels.rope(x, cos, sin));
        // The kernel rounds once, ATen after each of two steps.
        if (dtype === 'float32') close([kernel, plain]);
        else expect(kernel.float().sub(plain.float()).abs().max().item()).toBeLessThan(0.04);
      }
    });

    it('swiglu', () => {
      const [gate, up] = [normal([5, 77], dtype).mul(10), normal([5, 77], dtype)];
      const exact = torch.silu(gate.double()).mul(up.double());
      const [kernel] = both(set, () => kernels.swiglu(gate, up));
      const unit = dtype === 'bfloat16' ? 2 ** -8 : 1e-6;
      expect(kernel.double().sub(exact).abs().div(exact.abs().add(1e-3)).max().item()).toBeLessThan(unit);
    });

    it.each([
      [4, 2, 16],
      [9, 3, 64],
      [5, 1, 80],
      [4, 4, 8],
    ])('attention of %i heads over %i in dimension %i to a cache in blocks', (heads, kvHeads, dim) => {
      const lengths = [1, 15, 16, 17, 40];
      const table = torch.tensor([7, 0, 0, 1, 0, 0, 2, 0, 0, 3, 9, 0, 4, 6, 8], { dtype: 'int32' }).view([5, 3]);
      const caches = [0, 1].map(() => torch.full([10, kvHeads, 16, dim], Number.NaN, { dtype })) as [Tensor, Tensor];
      const tables = table.tolist() as number[][];
      const slots = lengths.flatMap((length, row) =>
        Array.from({ length }, (_, t) => tables[row]![Math.floor(t / 16)]! * 16 + (t % 16)),
      );
      const [k, v] = [normal([slots.length, kvHeads, dim], dtype), normal([slots.length, kvHeads, dim], dtype)];
      const q = normal([5, heads, dim], dtype);
      const ends = torch.tensor(lengths, { dtype: 'int32' });
      const [kernel, plain] = both(set, () => {
        const [keys, values] = caches.map((cache) => cache.clone()) as [Tensor, Tensor];
        kernels.cacheAppend_(keys, values, k, v, torch.tensor(slots, { dtype: 'int64' }));
        return kernels.cachedAttention(q, keys, values, table, ends, 0.2);
      });
      if (dtype === 'float32') close([kernel, plain]);
      else expect(kernel.float().sub(plain.float()).abs().max().item()).toBeLessThan(0.03);
    });

    it.each([
      ['greedy', [0, 0, 1, 0]],
      ['all tokens', [0.7, 0, 1, 0]],
      ['top-k', [1, 5, 1, 0]],
      ['top-p', [1.3, 0, 0.8, 0]],
      ['min-p', [1, 0, 1, 0.1]],
      ['everything', [0.9, 40, 0.9, 0.02]],
    ])('choice by %s', (_, parameters) => {
      const logits = normal([40, 1000], dtype).mul(3);
      const draws = torch.rand([40, 1], { generator }).double();
      const choices = torch.cat([torch.tensor(parameters).double().expand([40, 4]), draws], 1);
      const [kernel, plain] = both(set, () => kernels.choose(logits, choices));
      // A draw next to the border of two tokens may fall on either side.
      const same = kernel.tokens.eq(plain.tokens);
      expect(same.sum().item()).toBeGreaterThanOrEqual(39);
      expect(kernel.logprobs.maskedSelect(same)).toBeCloseToTensor(plain.logprobs.maskedSelect(same), {
        rtol: 1e-5,
        atol: 1e-5,
      });
    });
  });
});

describe('operators over the kernels', () => {
  it('run in inference mode only', () => {
    const [x, weight] = [normal([3, 100]), normal([7, 100])];
    const plain = torch.noGrad(() => kernels.linear(x, weight));
    expect(plain.equal(torch.linear(x, weight))).toBe(true);
    if (initial !== 'none') expect(torch.inferenceMode(() => kernels.linear(x, weight)).equal(plain)).toBe(false);
  });

  it('record gradients', () => {
    const weight = normal([4, 8]).requiresGrad_();
    const x = normal([2, 8]);
    kernels.linear(x, weight).sum().backward();
    expect(weight.grad!).toBeCloseToTensor(x.sum(0).expand([4, 8]));
    const norm = torch.ones([8], { requiresGrad: true });
    kernels.rmsNorm(x, norm, 1e-6).sum().backward();
    expect(norm.grad!.shape).toEqual([8]);
  });

  it('refuse slots, blocks and lengths outside the cache', () => {
    const cache = torch.zeros([2, 1, 16, 16]);
    const one = torch.zeros([1, 1, 16]);
    const ints = (...values: number[]) => torch.tensor(values, { dtype: 'int32' });
    const slot = (value: number) => torch.tensor([value], { dtype: 'int64' });
    expect(() => kernels.cacheAppend_(cache, cache.clone(), one, one, slot(32))).toThrow(/\[0, 31\], got 32/);
    expect(() => kernels.cacheAppend_(cache, cache.clone(), one, one, slot(-1))).toThrow(/got -1/);
    const attend = (block: number, length: number) =>
      kernels.cachedAttention(one, cache, cache, ints(block).view([1, 1]), ints(length), 1);
    expect(() => attend(2, 1)).toThrow(/blocks/);
    expect(() => attend(0, 17)).toThrow(/length/);
    expect(() => attend(0, 0)).toThrow(/length/);
  });

  it('draw from the distribution', () => {
    const logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand([4000, 4]).contiguous();
    const draws = torch.rand([4000, 1], { generator }).double();
    const choices = torch.cat([torch.tensor([1, 0, 1, 0]).double().expand([4000, 4]), draws], 1);
    const counts = torch.bincount(kernels.choose(logits, choices).tokens).div(4000).tolist() as number[];
    [0.5, 0.3, 0.15, 0.05].forEach((share, token) => {
      expect(Math.abs(counts[token]! - share)).toBeLessThan(0.03);
    });
  });

  it('name what the processor lacks', () => {
    expect(kernels.select('neon512')).toBe(false);
    expect(kernels.selected()).toBe(initial);
  });
});
