import { describe, expect, it } from 'vitest';
import '../../../tests/support/allClose.ts';
import { type DType, torch } from '../../tensor/index.ts';
import { type Parameter, parameter } from '../parameter.ts';
import { clipGradNorm, gradNorm } from './clip.ts';

function withGradient(values: number[] | null, dtype: DType = 'float32'): Parameter {
  const tensor = parameter(torch.zeros([values?.length ?? 1], { dtype }));
  tensor.grad = values === null ? null : torch.tensor(values, { dtype });
  return tensor;
}

describe('clipGradNorm', () => {
  it('returns the norm over all gradients and scales them to the maximum', () => {
    const [a, b, none] = [withGradient([3]), withGradient([0, 4]), withGradient(null)];
    expect(gradNorm([a, b, none])).toBe(5);
    expect(clipGradNorm([a, b, none], 1)).toBe(5);
    expect(a.grad).toBeCloseToTensor([0.6]);
    expect(b.grad).toBeCloseToTensor([0, 0.8]);
    expect(none.grad).toBeNull();
  });

  it('never scales up', () => {
    const a = withGradient([3, 4]);
    expect(clipGradNorm([a], 6)).toBe(5);
    expect(a.grad!.tolist()).toEqual([3, 4]);
  });

  it('is 0 where there is no gradient', () => {
    expect(clipGradNorm([withGradient(null)], 1)).toBe(0);
    expect(gradNorm([])).toBe(0);
  });

  it('takes the norm of bfloat16 gradients in float32', () => {
    // 1000 ones: √1000 = 31.6228, which bfloat16 would round to 31.625.
    const a = withGradient(Array<number>(1000).fill(1), 'bfloat16');
    expect(gradNorm([a])).toBeCloseTo(Math.sqrt(1000), 4);
    clipGradNorm([a, withGradient([0])], 1);
    expect(a.grad!.dtype).toBe('bfloat16');
    expect(gradNorm([a])).toBeCloseTo(1, 2);
  });

  it('can refuse a norm that is not finite, before touching anything', () => {
    const [a, b] = [withGradient([1]), withGradient([Number.POSITIVE_INFINITY])];
    expect(() => clipGradNorm([a, b], 0.5, { errorIfNonFinite: true })).toThrow(/received: Infinity/);
    expect(a.grad!.item()).toBe(1);
    // As PyTorch does: 1 / ∞ = 0 on finite gradients, 0 · ∞ = NaN on the others.
    expect(clipGradNorm([a, b], 0.5)).toBe(Number.POSITIVE_INFINITY);
    expect([a.grad!.item(), b.grad!.item()]).toEqual([0, Number.NaN]);
  });

  it('leaves no tensor behind', () => {
    const a = withGradient([3, 4]);
    const before = torch.memory().tensors;
    clipGradNorm([a], 1);
    expect(torch.memory().tensors).toBe(before);
    expect(() => clipGradNorm([a], 0)).toThrow(/maxNorm/);
  });
});
