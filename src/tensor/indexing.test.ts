/** What reading and writing at indices means beyond the values, which tests/golden/indexing.test.ts compares with PyTorch's. */
import { describe, expect, it } from 'vitest';
import { type Index, slice, torch } from './index.ts';

const ids = (...values: number[]) => torch.tensor(values, { dtype: 'int64' });
const counted = (...shape: number[]) =>
  torch
    .arange(shape.reduce((a, b) => a * b, 1))
    .reshape(shape)
    .float();

describe('at', () => {
  it('gives a view for integers, slices, null and the ellipsis', () => {
    torch.scope(() => {
      const x = torch.zeros([3, 4]);
      x.at(1, slice(1, 3)).fill_(1);
      x.at('...', 0, null).fill_(2);
      expect(x.tolist()).toEqual([
        [2, 0, 0, 0],
        [2, 1, 1, 0],
        [2, 0, 0, 0],
      ]);
      x.at().fill_(7);
      expect(x.at(-1, -1).item()).toBe(7);
    });
  });

  it('gives a copy for tensors of indices and masks', () => {
    torch.scope(() => {
      const x = counted(2, 2);
      x.at(ids(0)).fill_(9);
      x.at(x.gt(2)).fill_(9);
      expect(x.tolist()).toEqual([
        [0, 1],
        [2, 3],
      ]);
    });
  });

  it('lets gradients through', () => {
    torch.scope(() => {
      const x = counted(3, 2).requiresGrad_();
      x.at(slice(1), 0)
        .sum()
        .add(x.at(ids(2, 2)).sum())
        .backward();
      expect(x.grad?.tolist()).toEqual([
        [0, 0],
        [1, 0],
        [3, 2],
      ]);
    });
  });

  it('leaves nothing behind but its result', () => {
    torch.scope(() => {
      const [x, one, flag, rows] = [counted(3, 4), torch.tensor(1n), torch.tensor(true), ids(0, 2)];
      const before = torch.memory();
      x.at(0, slice(1, 3), null).dispose();
      x.at(slice(1), rows, null).dispose();
      x.at(one, rows).dispose();
      x.at(null, flag).dispose();
      x.put(1, slice(0, 2), rows).put(0.5, 0).put(x.at(1), 0);
      expect(() => x.at(slice(1), ids(9))).toThrow();
      expect(torch.memory().tensors).toBeLessThanOrEqual(before.tensors + 2); // x.at(1) and ids(9), the test's own
    });
  });
});

describe('put', () => {
  it('returns its tensor, and writes through views', () => {
    torch.scope(() => {
      const x = torch.zeros([2, 3]);
      expect(x.put(1, 0, slice(null, 2))).toBe(x);
      x.t().put(torch.tensor([5, 6]), 2);
      expect(x.tolist()).toEqual([
        [1, 1, 5],
        [0, 0, 6],
      ]);
    });
  });

  it('lets gradients through to the value, and none to what was overwritten', () => {
    torch.scope(() => {
      const x = torch.ones([3], { requiresGrad: true });
      const value = torch.tensor([2, 3], { requiresGrad: true });
      x.mul(1).put(value, slice(1)).pow(2).sum().backward();
      expect(x.grad?.tolist()).toEqual([2, 0, 0]);
      expect(value.grad?.tolist()).toEqual([4, 6]);
    });
  });
});

describe('what is refused', () => {
  it.each<[string, Index[], RegExp]>([
    ['two ellipses', ['...', 0, '...'], /more than one '\.\.\.'/],
    ['too many indices', [0, 0, 0], /too many indices: 3 for 2 dimensions[\s\S]*float32 \[4, 5\]/],
    ['an index out of range', [4], /out of range|out of bounds/],
    ['a fraction', [0.5], /0\.5/],
    ['a list, which Python takes for a tensor', [[0, 2] as unknown as Index], /torch\.tensor\(\[0, 2\]/],
    ['a truth value', [true as unknown as Index], /true/],
  ])('%s', (_, index, message) => {
    torch.scope(() => {
      expect(() => counted(4, 5).at(...index)).toThrow(message);
      expect(() => counted(4, 5).put(0, ...index)).toThrow(message);
    });
  });

  it('negative steps, naming flip', () => {
    expect(() => slice(null, null, -1)).toThrow(/positive integer[\s\S]*received: -1[\s\S]*x\.flip\(dim\)/);
    expect(() => slice(0, 4, 0)).toThrow(/positive integer/);
    expect(() => slice(0, 4, 1.5)).toThrow(/positive integer/);
  });
});
