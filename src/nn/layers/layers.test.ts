import { describe, expect, it } from 'vitest';
import '../../../tests/support/allClose.ts';
import { torch } from '../../tensor/index.ts';
import { Dropout } from './dropout.ts';
import { Embedding } from './embedding.ts';
import { Linear } from './linear.ts';
import { LayerNorm, RMSNorm } from './norm.ts';

describe('Linear', () => {
  it("starts with PyTorch's numbers", () => {
    torch.manualSeed(0);
    const linear = new Linear(3, 2);
    // torch.manual_seed(0); torch.nn.Linear(3, 2)
    expect(linear.weight).toBeCloseToTensor([
      [-0.004322518, 0.3097158, -0.4751853],
      [-0.4248946, -0.222369, 0.1548207],
    ]);
    expect(linear.bias).toBeCloseToTensor([-0.01143914, 0.4577749]);
  });

  it('computes x Wᵀ + b over the last dimension', () => {
    const linear = new Linear(2, 3, { init: 'none' });
    linear.loadStateDict(
      new Map([
        [
          'weight',
          torch.tensor([
            [1, 2],
            [3, 4],
            [5, 6],
          ]),
        ],
        ['bias', torch.tensor([0, 10, 20])],
      ]),
    );
    expect(linear.forward(torch.tensor([[[1, 1]]])).tolist()).toEqual([[[3, 17, 31]]]);
  });

  it('may have no bias, another dtype, and its own generator', () => {
    const draw = () =>
      new Linear(4, 4, { bias: false, dtype: 'bfloat16', generator: new torch.Generator({ seed: 1 }) });
    const linear = draw();
    expect(linear.bias).toBeNull();
    expect([...linear.namedParameters()].map(([name]) => name)).toEqual(['weight']);
    expect(linear.weight.dtype).toBe('bfloat16');
    expect(linear.weight.tolist()).toEqual(draw().weight.tolist());
  });
});

describe('Embedding', () => {
  it("looks rows up and starts with PyTorch's numbers", () => {
    torch.manualSeed(1);
    const embedding = new Embedding(3, 2);
    // torch.manual_seed(1); torch.nn.Embedding(3, 2)
    const rows = [
      [0.6613522, 0.2669241],
      [0.06167726, 0.6213173],
      [-0.451906, -0.1661302],
    ];
    expect(embedding.weight).toBeCloseToTensor(rows);
    const ids = torch.tensor([[2, 0]], { dtype: 'int64' });
    expect(embedding.forward(ids)).toBeCloseToTensor([[rows[2]!, rows[0]!]]);
  });

  it('gives gradients to the rows in use only', () => {
    const embedding = new Embedding(3, 1);
    embedding
      .forward(torch.tensor([1, 1], { dtype: 'int64' }))
      .sum()
      .backward();
    expect(embedding.weight.grad?.tolist()).toEqual([[0], [2], [0]]);
  });
});

describe('norms', () => {
  it('RMSNorm divides by the root mean square', () => {
    const norm = new RMSNorm(2, { eps: 0 });
    // rms(3, 4) = √12.5
    expect(norm.forward(torch.tensor([[3, 4]]))).toBeCloseToTensor([[3 / Math.sqrt(12.5), 4 / Math.sqrt(12.5)]]);
  });

  it('LayerNorm shifts to mean 0 and scales to variance 1', () => {
    const norm = new LayerNorm(2, { eps: 0 });
    expect(norm.forward(torch.tensor([[3, 5]]))).toBeCloseToTensor([[-1, 1]]);
    expect(new LayerNorm(2, { bias: false }).bias).toBeNull();
  });

  it('RMSNorm computes in float32 on bfloat16', () => {
    // 300² would lose its low bits in bfloat16, and 4096 squares summed in it would stop growing.
    const x = torch.full([1, 4096], 300, { dtype: 'bfloat16' });
    const y = new RMSNorm(4096, { dtype: 'bfloat16' }).forward(x);
    expect(y.dtype).toBe('bfloat16');
    expect(y.float().sub(1).abs().max().item()).toBe(0);
  });
});

describe('Dropout', () => {
  it('drops while training, and keeps the mean', () => {
    torch.manualSeed(0);
    const y = new Dropout(0.25).forward(torch.ones([10_000]));
    const values = new Set(y.toFloat32Array());
    expect([...values].sort()).toEqual([0, Math.fround(4 / 3)]);
    expect(Math.abs(y.mean().item() - 1)).toBeLessThan(0.02);
  });

  it('does nothing in evaluation', () => {
    const x = torch.ones([3]);
    expect(new Dropout(0.5).eval().forward(x)).toBe(x);
    expect(new Dropout(0).forward(x)).toBe(x);
  });

  it('refuses a probability that leaves nothing', () => {
    expect(() => new Dropout(1)).toThrow(/0 <= p < 1/);
  });
});
