import { describe, expect, it } from 'vitest';
import { errorOf } from '../../tests/support/errors.ts';
import { type ErrorCode, NudgeError } from '../errors.ts';
import { SCHEMAS } from './generated/schemas.ts';
import { Tensor, torch } from './index.ts';
import { native } from './native.ts';
import { choose, compileOverload, noChoices, type OperatorSet } from './overloads.ts';
import { camelCase } from './schema.ts';

/**
 * The overload that a call means, without running it: the addon refuses the freed tensor among its arguments, and names the
 * overload that it was about to run.
 */
function overloadOf(call: (freed: Tensor) => unknown): string | undefined {
  const freed = torch.ones([2, 2]);
  freed.dispose();
  const error = errorOf(() => call(freed));
  return error.code === 'STALE_TENSOR' ? /^aten::([\w.]+):/.exec(error.message)?.[1] : error.code;
}

describe('the overload that a call means', () => {
  it.each<[string, (x: Tensor) => unknown]>([
    // by a tensor or a number
    ['add.Tensor', (x) => x.add(x)],
    ['add.Scalar', (x) => x.add(2)],
    ['add.Scalar', (x) => x.add(2n)],
    ['add.Scalar', (x) => x.add(true)],
    ['add.Scalar', (x) => x.add(torch.float(2))],
    ['add.Scalar', (x) => x.add(torch.complexScalar(0, 1))],
    ['add.Tensor', (x) => torch.add(x, x, { alpha: 2 })],
    ['add.Scalar', (x) => torch.add(x, 1, { alpha: 2 })],
    ['add.Scalar', (x) => torch.add(x, 1, 2)],
    ['pow.Tensor_Scalar', (x) => torch.pow(x, 2)],
    ['pow.Scalar', (x) => torch.pow(2, x)],
    ['pow.Tensor_Tensor', (x) => torch.pow(x, x)],
    ['where.self', (x) => torch.where(x, x, x)],
    ['where.ScalarOther', (x) => torch.where(x, x, 0)],
    ['where.ScalarSelf', (x) => torch.where(x, 0, x)],
    ['where.Scalar', (x) => torch.where(x, 0, 1)],
    ['where', (x) => torch.where(x)],
    ['mul_.Tensor', (x) => x.mul_(x)],
    ['mul_.Scalar', (x) => x.mul_(2)],
    ['fill_.Scalar', (x) => x.fill_(true)],
    ['fill_.Tensor', (x) => x.fill_(x)],
    ['clamp', (x) => x.clamp(0, 1)],
    ['clamp', (x) => x.clamp({ max: 1 })],
    ['clamp', (x) => x.clamp(null, 1)],
    ['clamp.Tensor', (x) => x.clamp(x)],
    ['clamp.Tensor', (x) => x.clamp(null, x)],
    ['clamp.Tensor', (x) => x.clamp({ min: x })],
    ['div.Tensor', (x) => x.div(x)],
    ['div.Tensor_mode', (x) => x.div(x, { roundingMode: 'floor' })],
    ['div.Scalar_mode', (x) => x.div(2, { roundingMode: 'trunc' })],
    // by one integer, a list, or nothing
    ['sum', (x) => x.sum()],
    ['sum', (x) => x.sum({ dtype: 'int64' })],
    ['sum.dim_IntList', (x) => x.sum(0)],
    ['sum.dim_IntList', (x) => x.sum(-1n)],
    ['sum.dim_IntList', (x) => x.sum([0, 1])],
    ['sum.dim_IntList', (x) => x.sum(Int32Array.of(0, 1) as never)],
    ['sum.dim_IntList', (x) => x.sum([])],
    ['sum.dim_IntList', (x) => x.sum(null, true)],
    ['squeeze', (x) => x.squeeze()],
    ['squeeze.dim', (x) => x.squeeze(0)],
    ['squeeze.dims', (x) => x.squeeze([0, 1])],
    ['split.Tensor', (x) => x.split(1)],
    ['split.sizes', (x) => x.split([1, 1])],
    ['max', (x) => x.max()],
    ['max.dim', (x) => x.max(0)],
    ['max.other', (x) => x.max(x)],
    ['all', (x) => x.all()],
    ['all.dim', (x) => x.all(0)],
    ['all.dims', (x) => x.all([0, 1])],
    ['repeat_interleave.self_int', (x) => x.repeatInterleave(2)],
    ['repeat_interleave.self_Tensor', (x) => x.repeatInterleave(x)],
    // by a string, a boolean
    ['view', (x) => x.view([4])],
    ['view.dtype', (x) => x.view('int32')],
    ['std', (x) => x.std()],
    ['std', (x) => x.std(false)],
    ['std.dim', (x) => x.std(0, false)],
    ['std.correction', (x) => x.std({ correction: 0 })],
    ['std.correction', (x) => x.std(0, { correction: 0 })],
    // by options
    ['norm.Scalar', (x) => x.norm()],
    ['norm.ScalarOpt_dim', (x) => x.norm(2, 0)],
    ['norm.ScalarOpt_dim_dtype', (x) => x.norm(2, [0], true, { dtype: 'float64' })],
    ['argmax', (x) => x.argmax({ keepdim: true })],
    ['sort', (x) => x.sort()],
    ['sort', (x) => x.sort(0, true)],
    ['sort.stable', (x) => x.sort({ stable: true })],
    ['sort.stable', (x) => x.sort({ stable: true, dim: 0, descending: true })],
    // by where the result goes
    ['add.out', (x) => torch.add(x, x, { out: x })],
    ['add.Scalar_out', (x) => torch.add(x, 1, { out: x })],
    ['sum.IntList_out', (x) => torch.sum(x, 0, { out: x })],
    ['max.dim_max', (x) => torch.max(x, 0, { max: x, maxValues: x })],
    // by the elements of a list
    ['_foreach_add.Scalar', (x) => torch._foreachAdd([x], 1)],
    ['_foreach_add.ScalarList', (x) => torch._foreachAdd([x], [1])],
    ['_foreach_add.List', (x) => torch._foreachAdd([x], [x])],
    ['_foreach_add.Tensor', (x) => torch._foreachAdd([x], x)],
    ['index.Tensor', (x) => x.index([null, x])],
  ])('%s: %s', (expected, call) => {
    expect(overloadOf(call)).toBe(expected);
  });

  it('is the same for a method, however it was compiled, and for the function', () => {
    // 20,000 errors are made below: without stacks.
    Error.stackTraceLimit = 0;
    native.setErrorFactory((code, message) => new NudgeError(code as ErrorCode, message));
    const freed = torch.ones([1]);
    freed.dispose();
    const named = (call: () => unknown): string => {
      try {
        call();
      } catch (error) {
        return /^aten::[\w.]+:/.exec((error as Error).message)?.[0] ?? 'refused';
      }
      return 'ran';
    };
    const functions = torch as unknown as Record<string, (...args: unknown[]) => unknown>;
    const methods = Tensor.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
    const byHand = /^(data|dim|item|numel|put|requiresGrad_|size|slice|stride|to)$/;
    const differences: string[] = [];
    let compared = 0;
    for (const name of Object.keys(SCHEMAS).map(camelCase)) {
      if (typeof Object.getOwnPropertyDescriptor(methods, name)?.value !== 'function' || byHand.test(name)) continue;
      const forms = [[], [freed], [1], [true], [[0]], [freed, freed], [0, 1]];
      for (const args of forms) {
        // Twice: the first call compiles the method.
        const [first, second] = [0, 1].map(() => named(() => methods[name]?.apply(freed, args)));
        const asFunction = named(() => functions[name]?.(freed, ...args));
        compared++;
        if (first !== second || second !== asFunction)
          differences.push(`${name}(${args}): ${first} ${second} ${asFunction}`);
      }
    }
    Error.stackTraceLimit = 10;
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(5000);
  });
});

describe('the overloads that were chosen before', () => {
  /** Numbers that look random and are the same in every run. */
  const random = (() => {
    let state = 1;
    return (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
  })();

  it('are those that a search would find, for arguments of any types', () => {
    const x = torch.ones([2]);
    const values: unknown[] = [
      x,
      1,
      0,
      -0,
      2.5,
      Number.NaN,
      2 ** 53,
      true,
      'sum',
      3n,
      null,
      undefined,
      [],
      [1, 2],
      [1.5],
      [Number.NaN],
    ];
    values.push(
      [x],
      [x, x],
      [x, null],
      [null, x],
      [true],
      ['a'],
      [1n],
      [1, 2n],
      [1, undefined],
      Int32Array.of(1),
      torch.float(2),
    );
    values.push(new torch.Generator(), Symbol('s'), new Map());
    const sets = Object.entries(SCHEMAS)
      .map(([name, texts]) => ({ name, overloads: texts.map(compileOverload), chosen: noChoices() }))
      .filter(({ overloads }) => overloads.length > 1);
    const names = ['dim', 'keepdim', 'dtype', 'alpha', 'other', 'out', 'correction', 'generator', 'nonsense'];
    const value = (): unknown => values[random(values.length)];
    const differences: string[] = [];
    for (let i = 0; i < 60_000; i++) {
      const set = sets[random(sets.length)] as OperatorSet;
      const args = [x, ...Array.from({ length: random(4) }, value)];
      const named = Array.from({ length: random(3) }, () => [names[random(names.length)] as string, value()] as const);
      const options = named.length === 0 ? undefined : Object.fromEntries(named);
      const remembered = choose(set, args, args.length, options);
      const searched = choose({ ...set, chosen: noChoices() }, args, args.length, options);
      if (remembered !== searched) differences.push(`${set.name}(${args.map(String)}, ${JSON.stringify(options)})`);
    }
    expect(differences).toEqual([]);
    x.dispose();
  });
});

describe('options whose names are made up', () => {
  it('are refused without being remembered: names may come from anywhere', () => {
    const x = torch.ones([2]);
    const set: OperatorSet = { name: 'sum', overloads: (SCHEMAS.sum ?? []).map(compileOverload), chosen: noChoices() };
    for (let i = 0; i < 100; i++) expect(choose(set, [x], 1, { [`option${i}`]: 1 })).toBeUndefined();
    expect(set.chosen.next.size).toBe(0);
    expect(choose(set, [x], 1, { dtype: 'int64' })?.schema.qualifiedName).toBe('aten::sum');
    x.dispose();
  });
});

describe('numbers', () => {
  const ints = torch.tensor([1, 2], { dtype: 'int64' });

  it('integral ones keep integers, others make floats', () => {
    torch.scope(() => {
      expect(ints.add(2).dtype).toBe('int64');
      expect(ints.add(2.5).dtype).toBe('float32');
      expect(ints.add(torch.float(2)).dtype).toBe('float32');
      expect(ints.add(torch.complexScalar(0, 1)).dtype).toBe('complex64');
      expect(ints.mul(true).dtype).toBe('int64');
    });
  });

  it('bigints are exact', () => {
    torch.scope(() => {
      expect(ints.add(2n ** 62n).tolist()).toEqual([2n ** 62n + 1n, 2n ** 62n + 2n]);
      expect(torch.arange(3n).tolist()).toEqual([0, 1, 2]);
      expect(torch.zeros([2n, 3n] as never).shape).toEqual([2, 3]);
      expect(errorOf(() => ints.add(2n ** 63n)).message).toMatch(/does not fit into 64 bits/);
      expect(errorOf(() => torch.zeros([2n ** 64n] as never)).message).toMatch(/does not fit into 64 bits/);
    });
  });

  it('NaN, the infinities and -0 arrive as they are', () => {
    torch.scope(() => {
      const x = torch.ones([1]);
      expect(x.mul(Number.NaN).item()).toBeNaN();
      expect(x.mul(Number.NEGATIVE_INFINITY).item()).toBe(Number.NEGATIVE_INFINITY);
      expect(Object.is(x.mul(-0).item(), -0)).toBe(true);
      expect(x.mul(Number.MIN_VALUE * 0).item()).toBe(0);
      expect(x.double().mul(Number.MAX_SAFE_INTEGER).item()).toBe(Number.MAX_SAFE_INTEGER);
      expect(x.double().mul(1e300).item()).toBe(1e300);
    });
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 1.5, '2', null, true, {}])('%s is no size', (size) => {
    expect(errorOf(() => torch.zeros([size] as never)).code).toBe('OPERATOR_ARGUMENT');
  });

  it.each([-1, 2 ** 53, 2 ** 53 + 2, 1e300])('%s is no size that any machine has', (size) => {
    expect(errorOf(() => torch.zeros([size])).code).toMatch(/^OPERATOR_(ARGUMENT|FAILED)$/);
  });

  it('one may stand for a list where ATen says so, and only there', () => {
    torch.scope(() => {
      expect(torch.ones([2, 3]).sum(1).tolist()).toEqual([3, 3]);
      expect(torch.ones([1, 1, 4, 4]).avgPool2d(2).shape).toEqual([1, 1, 2, 2]);
      expect(torch.ones([1, 1, 4, 4]).avgPool2d([2]).shape).toEqual([1, 1, 2, 2]);
    });
  });
});

describe('integers that come without brackets', () => {
  const x = torch.arange(6);

  it('make the list of an operator that takes one list of integers and nothing else', () => {
    torch.scope(() => {
      expect(torch.zeros(2, 3).shape).toEqual([2, 3]);
      expect(torch.zeros(2).shape).toEqual([2]);
      expect(torch.rand(...[2, 3], { dtype: 'float64' } as never)).toMatchObject({ shape: [2, 3], dtype: 'float64' });
      expect(x.view(2, -1).shape).toEqual([2, 3]);
      expect(x.view(2, -1).permute(1, 0).shape).toEqual([3, 2]);
      expect(x.repeat(2, 1).shape).toEqual([2, 6]);
    });
  });

  it('mean nothing else than before where an operator takes integers', () => {
    torch.scope(() => {
      const y = x.view([2, 3]);
      expect(y.transpose(0, 1).shape).toEqual([3, 2]);
      expect(y.flatten(0, 1).shape).toEqual([6]);
      expect(y.sum(0, true).shape).toEqual([1, 3]);
      expect(torch.arange(2, 5).tolist()).toEqual([2, 3, 4]);
      expect(torch.randint(3, [2]).shape).toEqual([2]);
      expect(errorOf(() => y.matmul(...([2, 3] as never as [Tensor]))).code).toBe('OPERATOR_ARGUMENT');
      expect(errorOf(() => torch.zeros(2, 'three' as never)).code).toBe('OPERATOR_ARGUMENT');
      expect(errorOf(() => torch.zeros(2, 1.5)).code).toBe('OPERATOR_ARGUMENT');
    });
  });
});

describe('what was left out', () => {
  const x = torch.tensor([
    [1, 2],
    [3, 4],
  ]);

  it('undefined at the end is as good as nothing', () => {
    torch.scope(() => {
      const nothing = [undefined] as unknown as []; // what plain JavaScript may pass
      expect(x.sum(...nothing, ...nothing).item()).toBe(10);
      expect(x.sum(0, undefined).tolist()).toEqual([4, 6]);
      expect(x.add(1, undefined).sum().item()).toBe(14);
      expect(x.clamp(...nothing, { max: 2 }).tolist()).toEqual([
        [1, 2],
        [2, 2],
      ]);
    });
  });

  it('undefined in the middle takes the default', () => {
    torch.scope(() => {
      expect(x.cumsum(0, undefined).tolist()).toEqual([
        [1, 2],
        [4, 6],
      ]);
      expect(x.argmax(undefined, true).tolist()).toEqual([[3]]);
      expect(x.sort(undefined, true)[0].tolist()).toEqual([
        [2, 1],
        [4, 3],
      ]);
    });
  });

  it('null is a value of its own where ATen knows None', () => {
    torch.scope(() => {
      expect(x.sum(null, true).shape).toEqual([1, 1]);
      expect(x.clamp(null, 2).tolist()).toEqual([
        [1, 2],
        [2, 2],
      ]);
      expect(errorOf(() => x.add(null as never)).code).toBe('OPERATOR_ARGUMENT');
    });
  });

  it('an option of undefined takes the default', () => {
    torch.scope(() => {
      expect(x.sum(0, { keepdim: undefined, dtype: undefined } as never).tolist()).toEqual([4, 6]);
      expect(torch.ones([1], { dtype: undefined, device: undefined } as never).dtype).toBe('float32');
    });
  });
});

describe('options', () => {
  const x = torch.tensor([
    [1, 2],
    [3, 4],
  ]);

  it('name any argument that has a default, also behind arguments in their place', () => {
    torch.scope(() => {
      const q = torch.ones([1, 1, 2, 4]);
      expect(x.softmax(1, { dtype: 'float64' }).dtype).toBe('float64');
      expect(torch.conv1d(torch.ones([1, 1, 5]), torch.ones([1, 1, 2]), { stride: 2, padding: [1] }).shape).toEqual([
        1, 1, 3,
      ]);
      expect(torch.conv1d(torch.ones([1, 1, 5]), torch.ones([1, 1, 2]), null, { stride: 3 }).shape).toEqual([1, 1, 2]);
      expect(torch.scaledDotProductAttention(q, q, q, { isCausal: true, scale: 0.5 }).shape).toEqual([1, 1, 2, 4]);
    });
  });

  it('make a leaf where a new tensor is made', () => {
    torch.scope(() => {
      expect(torch.rand([2], { requiresGrad: true })).toMatchObject({ requiresGrad: true, isLeaf: true });
      expect(torch.zerosLike(x, { requiresGrad: true }).requiresGrad).toBe(true);
      expect(torch.rand([2], { requiresGrad: false }).requiresGrad).toBe(false);
      expect(errorOf(() => torch.exp(x, { requiresGrad: true } as never)).code).toBe('OPERATOR_ARGUMENT');
      expect(errorOf(() => torch.zeros([1], { requiresGrad: 'yes' } as never)).code).toMatch(
        /^(BAD|OPERATOR)_ARGUMENT$/,
      );
    });
  });

  it.each<[string, () => unknown]>([
    ['keepDim', () => x.sum(0, { keepDim: true } as never)],
    ['keep_dim', () => torch.sum(x, 0, { keep_dim: true } as never)],
    ['aplha', () => x.add(x, { aplha: 2 } as never)],
    ['toString', () => x.add(x, { toString: 1 } as never)],
    ['device', () => x.exp({ device: 'cpu' } as never)],
    ['spelled', () => torch.zeros([1], { spelled: undefined } as never)],
  ])('of an unknown name are refused, and the error names it: %s', (name, call) => {
    const error = errorOf(call);
    expect(error.code).toBe('OPERATOR_ARGUMENT');
    expect(error.message).toContain(name);
  });

  it('may not say again what stands in its place', () => {
    expect(errorOf(() => x.sum(0, { dim: 1 } as never)).code).toBe('OPERATOR_ARGUMENT');
    expect(errorOf(() => x.add(x, { other: x } as never)).code).toBe('OPERATOR_ARGUMENT');
  });

  it('may come from JSON parsers and query strings: an object without a prototype', () => {
    torch.scope(() => {
      const options: { keepdim: boolean } = Object.assign(Object.create(null), { keepdim: true });
      expect(x.sum(0, options).shape).toEqual([1, 2]);
    });
  });

  it('are no instances of classes', () => {
    class Options {
      keepdim = true;
    }
    expect(errorOf(() => x.sum(0, new Options())).message).toContain('received: sum(float32 [2, 2] on cpu, 0, ');
  });

  it('an empty object changes nothing', () => {
    torch.scope(() => {
      expect(x.sum({}).item()).toBe(10);
      expect(x.exp({} as never).shape).toEqual([2, 2]);
      expect(x.add(1, {}).at(0, 0).item()).toBe(2);
    });
  });
});
