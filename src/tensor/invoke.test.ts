import { describe, expect, it } from 'vitest';
import { errorOf } from '../../tests/support/errors.ts';
import { type Tensor, torch } from './index.ts';

const x = torch.tensor([
  [1, 2, 3],
  [4, 5, 6],
]);
const inScope = (fn: () => void) => () => torch.scope(fn);

describe('what an operator writes to', () => {
  it(
    'is returned as the same object, also among several results',
    inScope(() => {
      const [values, indices] = [torch.empty([0]), torch.empty([0], { dtype: 'int64' })];
      const results = torch.max(x, 1, { max: values, maxValues: indices });
      expect(results[0]).toBe(values);
      expect(results[1]).toBe(indices);
      expect([values.tolist(), indices.tolist()]).toEqual([
        [3, 6],
        [2, 2],
      ]);
      const y = x.clone();
      expect(torch.call('aten::add_.Tensor', y, y)).toBe(y);
      expect(torch.transpose_(y, 0, 1)).toBe(y);
    }),
  );

  it.each<[string, (y: Tensor) => unknown, readonly number[]]>([
    ['unsqueeze_', (y) => y.unsqueeze_(0), [1, 2, 3]],
    ['squeeze_', (y) => y.unsqueeze_(0).squeeze_(), [2, 3]],
    ['t_', (y) => y.t_(), [3, 2]],
    ['transpose_', (y) => y.transpose_(0, 1), [3, 2]],
    ['swapdims_', (y) => y.swapdims_(0, 1), [3, 2]],
    ['resize_', (y) => y.resize_([5]), [5]],
    ['resizeAs_', (y) => y.resizeAs_(torch.ones([4])), [4]],
    ['set_', (y) => y.set_(torch.ones([4])), [4]],
    ['set_ to nothing', (y) => y.set_(), [0]],
    ['setData', (y) => y.setData(torch.ones([4])), [4]],
    ['asStrided_', (y) => y.asStrided_([2], [1]), [2]],
    ['detach_', (y) => y.detach_(), [2, 3]],
    ['out', (y) => torch.add(torch.ones([4]), 1, { out: y.resize_([0]) }), [4]],
    ['torch.call', (y) => torch.call('aten::unsqueeze_', y, 0), [1, 2, 3]],
    ['torch.unsqueeze_', (y) => torch.unsqueeze_(y, 0), [1, 2, 3]],
  ])('forgets its shape: %s', (_, change, expected) => {
    torch.scope(() => {
      const y = x.clone();
      expect([...y.shape, y.dtype]).toEqual([2, 3, 'float32']);
      change(y);
      expect(y.shape).toEqual(expected);
      expect(y.toFloat32Array().length).toBe(y.numel());
    });
  });

  it(
    'forgets its dtype where new data brings another',
    inScope(() => {
      const y = x.clone();
      expect(y.dtype).toBe('float32');
      y.setData(torch.ones([2], { dtype: 'int64' }));
      expect([y.dtype, y.tolist()]).toEqual(['int64', [1, 1]]);
    }),
  );

  it(
    'forgets its shape when it is the out of an operator',
    inScope(() => {
      const [out, values, indices] = [torch.empty([0]), torch.empty([0]), torch.empty([0], { dtype: 'int64' })];
      expect([out.shape, values.shape, indices.shape]).toEqual([[0], [0], [0]]);
      torch.add(x, 1, { out });
      torch.max(x, 1, { max: values, maxValues: indices });
      expect([out.shape, values.shape, indices.shape]).toEqual([[2, 3], [2], [2]]);
    }),
  );

  it(
    'forgets its shape also when the call fails after it resized',
    inScope(() => {
      const out = torch.zeros([1]);
      expect(out.shape).toEqual([1]);
      errorOf(() => torch.call('aten::resize_', out, [2 ** 50]));
      expect(out.toFloat32Array().length).toBe(out.numel());
    }),
  );

  it(
    'shows in every Tensor that stands for the same one',
    inScope(() => {
      const y = x.clone();
      const same = y.contiguous();
      expect(same.shape).toEqual([2, 3]);
      y.unsqueeze_(0);
      expect(same.shape).toEqual([1, 2, 3]);

      const leaf = torch.ones([2], { requiresGrad: true });
      leaf.sum().backward();
      const [one, another] = [leaf.grad, leaf.grad] as [Tensor, Tensor];
      expect(one.shape).toEqual([2]);
      another.unsqueeze_(0);
      expect(one.shape).toEqual([1, 2]);
    }),
  );

  it(
    'may not be freed, nor be of the wrong dtype',
    inScope(() => {
      const freed = torch.empty([0]);
      freed.dispose();
      expect(errorOf(() => torch.add(x, 1, { out: freed })).code).toBe('STALE_TENSOR');
      expect(errorOf(() => torch.add(x, 0.5, { out: torch.empty([2, 3], { dtype: 'int64' }) })).code).toBe(
        'OPERATOR_FAILED',
      );
    }),
  );

  it('shape is frozen', () => {
    expect(() => (x.shape as number[]).push(1)).toThrow(TypeError);
  });
});

describe('lists', () => {
  // 8,192 numbers fit into the memory that both sides see; longer lists travel as arrays.
  it.each([1, 8190, 8191, 8192, 10_000])('of %i tensors', (length) => {
    torch.scope(() => {
      const tensors = Array.from({ length }, (_, i) => torch.full([1], i % 7));
      expect(torch.cat(tensors).toFloat32Array()).toEqual(Float32Array.from({ length }, (_, i) => i % 7));
      torch._foreachAdd_(tensors, 1);
      expect(tensors.at(-1)?.item()).toBe(((length - 1) % 7) + 1);
    });
  });

  it.each([100, 8192])('of %i tensors, one of them freed', (length) => {
    torch.scope(() => {
      const tensors = Array.from({ length }, () => torch.ones([1]));
      tensors[length - 1]?.dispose();
      expect(errorOf(() => torch.cat(tensors)).code).toBe('STALE_TENSOR');
      expect(errorOf(() => torch.ones([1]).index([tensors[length - 1] as Tensor])).code).toBe('STALE_TENSOR');
    });
  });

  it(
    'of 9,000 numbers',
    inScope(() => {
      const sizes = Array<number>(9000).fill(1);
      expect(torch.ones([9000]).split(sizes).length).toBe(9000);
      expect(torch._foreachMul([torch.ones([1])], [2.5])[0]?.item()).toBe(2.5);
      const scalars = Array.from({ length: 9000 }, (_, i) => i);
      const products = torch._foreachMul(
        scalars.map(() => torch.ones([1])),
        scalars,
      );
      expect(products[8999]?.item()).toBe(8999);
    }),
  );

  it(
    'several in one call',
    inScope(() => {
      const pads = torch.ones([2, 2]).constantPadNd([1, 1, 2, 0], 9);
      expect(pads.shape).toEqual([4, 4]);
      expect(
        torch.conv2d(torch.ones([1, 1, 5, 5]), torch.ones([1, 1, 2, 2]), null, [1, 2], [0, 1], [2, 1]).shape,
      ).toEqual([1, 1, 3, 3]);
    }),
  );

  it(
    'without elements',
    inScope(() => {
      expect(torch.zeros([]).shape).toEqual([]);
      expect(x.sum([]).item()).toBe(21);
      expect(errorOf(() => torch.cat([])).code).toBe('OPERATOR_FAILED');
      expect(errorOf(() => torch._foreachAdd([], 1)).message).toContain('self: []');
    }),
  );

  it(
    'as typed arrays',
    inScope(() => {
      expect(torch.zeros(Int32Array.of(2, 3) as never).shape).toEqual([2, 3]);
      expect(torch.zeros(BigInt64Array.of(2n, 3n) as never).shape).toEqual([2, 3]);
      expect(errorOf(() => torch.zeros(Float32Array.of(2.5) as never)).code).toBe('OPERATOR_ARGUMENT');
    }),
  );
});

describe('JavaScript that runs while arguments are read', () => {
  /** A list whose last element comes from a getter that itself calls operators. */
  const meddling = <T>(list: T[], last: T): T[] =>
    Object.defineProperty([...list, last], list.length, {
      enumerable: true,
      get() {
        torch.scope(() => torch.zeros([9, 8, 7]).sum([0, 1]));
        return last;
      },
    });

  it(
    'may call operators: getters in lists of sizes',
    inScope(() => {
      expect(torch.zeros(meddling([3], 4)).shape).toEqual([3, 4]);
      expect(x.permute(meddling([1], 0)).shape).toEqual([3, 2]);
      expect(
        torch.zeros(
          new Proxy([3, 4], {
            get: (list, key) => {
              torch.scope(() => torch.zeros([9]));
              return Reflect.get(list, key);
            },
          }),
        ).shape,
      ).toEqual([3, 4]);
    }),
  );

  it(
    'may call operators: getters in lists of tensors, scalars, booleans',
    inScope(() => {
      expect(torch.cat(meddling([x], x)).shape).toEqual([4, 3]);
      const [a, b] = torch._foreachMul([torch.ones([1]), torch.ones([1])], meddling([2], 3)) as [Tensor, Tensor];
      expect([a.item(), b.item()]).toEqual([2, 3]);
    }),
  );

  it(
    'may call operators: getters in the options',
    inScope(() => {
      const options = {
        get dtype() {
          torch.scope(() => torch.ones([7, 7]));
          return 'float64' as const;
        },
      };
      expect(x.sum([0, 1], options).item()).toBe(21);
      expect(x.sum([0, 1], new Proxy(options, {})).dtype).toBe('float64');
    }),
  );

  it(
    'may call operators: a getter on a scalar',
    inScope(() => {
      const two = Object.defineProperty(torch.float(0), 'float', {
        get: () => torch.scope(() => torch.full([1], 2).item()),
      });
      expect(x.mul(two).at(0, 0).item()).toBe(2);
    }),
  );

  it(
    'may throw: the error comes out as it is, and the next call works',
    inScope(() => {
      const error = new RangeError('from a getter');
      const list = Object.defineProperty([1, 2], 1, {
        enumerable: true,
        get() {
          throw error;
        },
      });
      expect(() => torch.zeros(list)).toThrow(error);
      expect(() =>
        x.sum(0, {
          get keepdim(): boolean {
            throw error;
          },
        }),
      ).toThrow(error);
      expect(torch.zeros([2, 3]).shape).toEqual([2, 3]);
    }),
  );

  it(
    'may free the tensor that is about to be used',
    inScope(() => {
      const y = x.clone();
      const options = {
        get keepdim() {
          y.dispose();
          return true;
        },
      };
      expect(errorOf(() => y.sum(0, options)).code).toBe('STALE_TENSOR');
    }),
  );
});
