import { describe, expect, it } from 'vitest';
import '../../tests/support/allClose.ts';
import { errorOf } from '../../tests/support/errors.ts';
import { type Tensor, torch } from './index.ts';

const leaf = (values: number[]): Tensor => torch.tensor(values, { requiresGrad: true });
const inScope = (fn: () => void) => () => torch.scope(fn);

describe('x.backward', () => {
  it(
    'takes its options in the place of the gradient, too',
    inScope(() => {
      const x = leaf([1, 2]);
      const loss = x.mul(x).sum();
      loss.backward({ retainGraph: true });
      loss.backward();
      expect(x.grad?.tolist()).toEqual([4, 8]);
    }),
  );

  it(
    'createGraph keeps the graph, and makes the gradient differentiable',
    inScope(() => {
      const x = leaf([3]);
      x.pow(3).sum().backward(null, { createGraph: true });
      const first = x.grad as Tensor;
      expect(first.requiresGrad).toBe(true);
      const [second] = torch.grad(first, [x]);
      expect(second?.item()).toBe(18);
      x.grad = null; // the gradient and x hold each other
    }),
  );

  it.each<[string, unknown]>([
    ['a number', 5],
    ['a string', 'all'],
    ['a function', () => 1],
    ['a list', [torch.ones([])]],
    ['options that there are not', { retain_graph: true }],
    ['something with a handle', { handle: 1 }],
  ])('refuses %s for a gradient', (_, gradient) => {
    torch.scope(() => {
      const x = leaf([1]);
      expect(
        errorOf(() =>
          x
            .mul(2)
            .sum()
            .backward(gradient as never),
        ).code,
      ).toMatch(/^(BAD|OPERATOR)_ARGUMENT$/);
      expect(x.grad).toBeNull();
    });
  });

  it(
    'refuses a gradient of another shape, or a freed one',
    inScope(() => {
      const x = leaf([1, 2]);
      expect(errorOf(() => x.mul(2).backward(torch.ones([3]))).code).toBe('OPERATOR_FAILED');
      const freed = torch.ones([2]);
      freed.dispose();
      expect(errorOf(() => x.mul(2).backward(freed)).code).toBe('STALE_TENSOR');
      expect(x.grad).toBeNull();
    }),
  );

  it(
    'needs a graph',
    inScope(() => {
      expect(errorOf(() => torch.ones([]).backward()).message).toMatch(/does not require grad/);
    }),
  );

  it(
    'does not need the intermediate tensors, which may be freed before',
    inScope(() => {
      const x = leaf([2]);
      const y = x.mul(3);
      const z = y.mul(y);
      y.dispose();
      const loss = z.sum();
      z.dispose();
      loss.backward();
      expect(x.grad?.item()).toBe(36);
    }),
  );

  it(
    'runs through a graph of 20,000 operations, and frees it, without running out of stack',
    inScope(() => {
      const x = leaf([1]);
      let y = x.mul(1);
      for (let i = 0; i < 20_000; i++) {
        const next = y.add(0);
        y.dispose();
        y = next;
      }
      y.backward();
      expect(x.grad?.item()).toBe(1);
    }),
  );
});

describe('torch.backward', () => {
  it(
    'takes one output or a list, and a gradient for each',
    inScope(() => {
      const [x, y] = [leaf([1]), leaf([2])];
      torch.backward(x.mul(2).sum());
      expect(x.grad?.item()).toBe(2);
      torch.backward([x.mul(3), y.mul(4)], [torch.ones([1]), torch.tensor([10])]);
      expect([x.grad?.item(), y.grad?.item()]).toEqual([5, 40]);
      torch.backward(x.mul(1), torch.ones([1]) as never);
      expect(x.grad?.item()).toBe(6);
    }),
  );

  it(
    'walks shared parts of the graph once',
    inScope(() => {
      const x = leaf([1]);
      const shared = x.mul(2);
      torch.backward([shared.mul(3).sum(), shared.mul(4).sum()]);
      expect(x.grad?.item()).toBe(14);
    }),
  );

  it.each<[string, () => unknown]>([
    ['more gradients than outputs', () => torch.backward([leaf([1]).sum()], [null, null])],
    ['a number', () => torch.backward(5 as never)],
    ['a list of numbers', () => torch.backward([5] as never)],
    ['nothing', () => torch.backward(undefined as never)],
    ['a number for a gradient', () => torch.backward([leaf([1]).sum()], [5] as never)],
  ])('refuses %s', (_, call) => {
    torch.scope(() => expect(errorOf(call).code).toMatch(/^(BAD_ARGUMENT|OPERATOR_ARGUMENT)$/));
  });
});

describe('torch.grad', () => {
  it(
    'takes single tensors in place of lists',
    inScope(() => {
      const gradOf = torch.grad as (outputs: Tensor, inputs: Tensor, options?: { gradOutputs: Tensor }) => Tensor[];
      const x = leaf([1, 2]);
      expect(gradOf(x.pow(2).sum(), x)[0]?.tolist()).toEqual([2, 4]);
      expect(torch.grad([x.mul(3)], [x], { gradOutputs: [torch.tensor([1, 10])] })[0]?.tolist()).toEqual([3, 30]);
      expect(gradOf(x.mul(3), x, { gradOutputs: torch.tensor([1, 10]) })[0]?.tolist()).toEqual([3, 30]);
    }),
  );

  it(
    'gives null for an unused input only where that is allowed',
    inScope(() => {
      const [x, unused] = [leaf([1]), leaf([1])];
      const loss = x.mul(2).sum();
      expect(errorOf(() => torch.grad(loss, [x, unused], { retainGraph: true })).message).toMatch(/allow_unused/);
      const [used, nothing] = torch.grad(loss, [x, unused], { allowUnused: true });
      expect([used?.item(), nothing]).toEqual([2, null]);
    }),
  );

  it.each<[string, () => unknown]>([
    ['no inputs', () => torch.grad(leaf([1]).sum(), [])],
    ['no outputs', () => torch.grad([], [leaf([1])])],
    ['a number as input', () => torch.grad(leaf([1]).sum(), [5] as never)],
    ['too many gradients', () => torch.grad([leaf([1]).sum()], [leaf([1])], { gradOutputs: [null, null] })],
  ])('refuses %s', (_, call) => {
    torch.scope(() => expect(errorOf(call).code).toMatch(/^(BAD_ARGUMENT|OPERATOR_ARGUMENT)$/));
  });

  it(
    'leaves nothing alive when it fails',
    inScope(() => {
      const [x, unused] = [leaf([1]), leaf([1])];
      const loss = x.mul(2).sum();
      const before = torch.memory().tensors;
      errorOf(() => torch.grad(loss, [x, unused], { retainGraph: true }));
      expect(torch.memory().tensors).toBe(before);
    }),
  );
});

describe('x.grad', () => {
  it(
    'is set, added to and cleared',
    inScope(() => {
      const x = leaf([1, 2]);
      x.grad = torch.ones([2]);
      x.mul(2).sum().backward();
      expect(x.grad?.tolist()).toEqual([3, 3]);
      x.grad = null;
      expect(x.grad).toBeNull();
    }),
  );

  it(
    'is the same memory at each read',
    inScope(() => {
      const x = leaf([1]);
      x.mul(5).sum().backward();
      x.grad?.zero_();
      expect(x.grad?.item()).toBe(0);
    }),
  );

  it.each<[string, (x: Tensor) => unknown]>([
    ['of another shape', () => torch.ones([3])],
    ['of another dtype', () => torch.ones([2], { dtype: 'float64' })],
    ['on another device', () => torch.ones([2], { device: 'meta' })],
    ['that is the tensor itself', (x) => x],
    ['that is no tensor', () => 5],
    ['that is an object', () => ({ handle: 1 })],
    ['that is undefined', () => undefined],
  ])('refuses one %s', (_, make) => {
    torch.scope(() => {
      const x = leaf([1, 2]);
      const error = errorOf(() => {
        x.grad = make(x) as never;
      });
      expect(error.code).toMatch(/^(SHAPE_MISMATCH|DTYPE_MISMATCH|BAD_ARGUMENT|OPERATOR_ARGUMENT)$/);
      expect(x.grad).toBeNull();
    });
  });

  it('costs about the same outside every scope as inside, however large it is', () => {
    const x = torch.ones([2 ** 23], { requiresGrad: true }); // 32 MiB
    torch.scope(() => x.sum().backward());
    const read = (): void => {
      for (let i = 0; i < 100; i++) x.grad?.dispose();
    };
    const time = (run: () => void): number => {
      const start = performance.now();
      run();
      return performance.now() - start;
    };
    const [loose, scoped] = [[0], [0]];
    for (let i = 0; i < 5; i++) {
      loose[i] = time(read);
      scoped[i] = time(() => torch.scope(read));
    }
    // Telling the collector of 32 MiB at each read made it 100 times slower.
    expect(Math.min(...loose)).toBeLessThan(20 * Math.min(...scoped));
    x.dispose();
  });
});

describe('requiresGrad', () => {
  it(
    'takes true and false, nothing else',
    inScope(() => {
      const x = torch.ones([1]);
      x.requiresGrad = true;
      expect(x.requiresGrad).toBe(true);
      for (const value of ['yes', 1, null, {}]) {
        expect(
          errorOf(() => {
            x.requiresGrad = value as never;
          }).code,
        ).toMatch(/^(BAD_ARGUMENT|OPERATOR_ARGUMENT)$/);
      }
    }),
  );

  it(
    'cannot be taken from what an operation made: detach() does that',
    inScope(() => {
      const y = leaf([1]).mul(2);
      expect(
        errorOf(() => {
          y.requiresGrad = false;
        }).message,
      ).toMatch(/leaf|detach/);
      y.requiresGrad = true; // is so already
      expect(y.detach().requiresGrad).toBe(false);
    }),
  );

  it(
    'is for floating and complex dtypes',
    inScope(() => {
      expect(errorOf(() => torch.ones([1], { dtype: 'int64' }).requiresGrad_()).message).toMatch(/floating point/);
      expect(torch.ones([1], { dtype: 'complex64' }).requiresGrad_().requiresGrad).toBe(true);
    }),
  );

  it(
    'in-place changes of leaves that require it are refused, save without recording',
    inScope(() => {
      const x = leaf([1]);
      expect(errorOf(() => x.add_(1)).message).toMatch(/leaf Variable that requires grad/);
      expect(torch.noGrad(() => x.add_(1))).toBe(x);
      expect(x.item()).toBe(2);
    }),
  );

  it(
    'an in-place change of what backward needs is noticed',
    inScope(() => {
      const x = leaf([2]);
      const y = x.mul(1);
      const loss = y.mul(y).sum();
      y.add_(1);
      expect(errorOf(() => loss.backward()).message).toMatch(/modified by an inplace operation/);
    }),
  );
});
