import { describe, expect, it } from 'vitest';
import '../../tests/support/allClose.ts';
import { errorOf, messageOf } from '../../tests/support/errors.ts';
import { runProgram } from '../../tests/support/program.ts';
import { Tensor, torch } from './index.ts';

const x = torch.tensor([
  [1, 2, 3],
  [4, 5, 6],
]);
const inScope = (fn: () => void) => () => torch.scope(fn);

describe('an error', () => {
  it('of libtorch comes with the operator, each argument and the line of the call', () => {
    expect(messageOf(() => x.matmul(x))).toMatchInlineSnapshot(`
      "aten::matmul: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)
        self: float32 [2, 3] on cpu
        other: float32 [2, 3] on cpu
        called at operators.test.ts:<line>"
    `);
    expect(messageOf(() => torch.cat([x, torch.ones([7])], 1))).toMatchInlineSnapshot(`
      "aten::cat: Tensors must have same number of dimensions: got 2 and 1
        tensors: [float32 [2, 3] on cpu, float32 [7] on cpu]
        dim: 1
        called at operators.test.ts:<line>"
    `);
    expect(messageOf(() => x.index([null, torch.tensor([9], { dtype: 'int64' })]))).toMatchInlineSnapshot(`
      "aten::index.Tensor: index 9 is out of bounds for dimension 0 with size 3
        self: float32 [2, 3] on cpu
        indices: [null, int64 [1] on cpu]
        called at operators.test.ts:<line>"
    `);
    expect(messageOf(() => x.to('int64').add_(torch.ones([1], { requiresGrad: true })))).toMatchInlineSnapshot(`
      "aten::add_.Tensor: result type Float can't be cast to the desired output type Long
        self: int64 [2, 3] on cpu
        other: float32 [1] on cpu
        alpha: 1
        called at operators.test.ts:<line>"
    `);
    expect(messageOf(() => torch.einsum('ij,jk->ik', [x, x]))).toMatchInlineSnapshot(`
      "aten::einsum: einsum(): subscript j has size 2 for operand 1 which does not broadcast with previously seen size 3
        equation: 'ij,jk->ik'
        tensors: [float32 [2, 3] on cpu, float32 [2, 3] on cpu]
        path: null
        called at operators.test.ts:<line>"
    `);
  });

  it('of a call that no overload takes shows what was given and what could be', () => {
    expect(messageOf(() => x.matmul(2 as never))).toMatchInlineSnapshot(`
      "no form of matmul takes these arguments
        expected: matmul(self: tensor, other: tensor)
        received: matmul(float32 [2, 3] on cpu, 2)
        called at operators.test.ts:<line>"
    `);
    expect(messageOf(() => x.softmax('rows' as never))).toMatchInlineSnapshot(`
      "no form of softmax takes these arguments
        expected: softmax(self: tensor, dim: int, dtype: dtype | null = None)
        received: softmax(float32 [2, 3] on cpu, "rows")
        called at operators.test.ts:<line>"
    `);
    expect(messageOf(() => x.add(x, { aplha: 2 } as never))).toMatchInlineSnapshot(`
      "no form of add takes these arguments
        expected: add(self: tensor, other: scalar, alpha: scalar = 1)
                  add(self: tensor, other: tensor, { alpha: scalar = 1 })
        received: add(float32 [2, 3] on cpu, float32 [2, 3] on cpu, { aplha: 2 })
        remedy:   There is no option 'aplha'.
        called at operators.test.ts:<line>"
    `);
    expect(messageOf(() => torch.logicalNot(x, 1 as never))).toMatchInlineSnapshot(`
      "no form of logicalNot takes these arguments
        expected: logicalNot(self: tensor)
        received: logicalNot(float32 [2, 3] on cpu, 1)
        called at operators.test.ts:<line>"
    `);
    expect(messageOf(() => torch.cat([x, 5] as never))).toMatchInlineSnapshot(`
      "no form of cat takes these arguments
        expected: cat(tensors: tensors, dim: int = 0)
        received: cat([float32 [2, 3] on cpu, 5])
        called at operators.test.ts:<line>"
    `);
  });

  it('of a freed tensor says which operator met it', () => {
    const freed = torch.ones([1]);
    freed.dispose();
    expect(messageOf(() => x.mul(freed))).toMatchInlineSnapshot(`
      "aten::mul.Tensor: this tensor was freed already: by dispose(), at the end of the scope in which it was made, or by release(). Return it from the scope, or keep() it
        called at operators.test.ts:<line>"
    `);
    expect(messageOf(() => torch.stack([x, freed]))).toMatch(/^aten::stack: this tensor was freed already/);
  });

  it('of an unknown dtype, layout or device names what was meant, the operator and the line', () => {
    expect(errorOf(() => x.sum({ dtype: 'float' as never })).message).toMatch(
      /unknown dtype "float"[\s\S]*Write 'float32'/,
    );
    for (const call of [
      () => x.sum({ dtype: 'float' as never }),
      () => torch.zeros([1], { layout: 'diagonal' as never }),
      () => x.contiguous({ memoryFormat: 'rowMajor' as never }),
      () => torch.zeros([1], { device: 'abacus' }),
    ]) {
      expect(messageOf(call)).toMatch(/\b(sum|zeros|contiguous)\b/);
      expect(messageOf(call)).toMatch(/called at operators\.test\.ts:<line>$/m);
    }
  });

  it('names the line of the call: this one', () => {
    const here = Number(/operators\.test\.ts:(\d+)/.exec(new Error('here').stack as string)?.[1]);
    const error = errorOf(() => x.add(torch.ones([7])));
    expect(error.message).toContain(`operators.test.ts:${here + 1}:`);
    expect(error.stack).toContain(`operators.test.ts:${here + 1}:`);
  });

  it('stays short, however large the arguments', () => {
    const limit = 5000;
    expect(messageOf(() => torch.zeros(Array<number>(9000).fill(2))).length).toBeLessThan(limit);
    expect(messageOf(() => x.add('x'.repeat(1e6) as never)).length).toBeLessThan(limit);
    const indices = torch.full([100_000], 99, { dtype: 'int64' });
    expect(messageOf(() => x.index([indices])).length).toBeLessThan(limit);
    const many = Array.from({ length: 5000 }, () => torch.ones([1]));
    expect(messageOf(() => torch.cat([...many, x])).length).toBeLessThan(limit);
    expect(messageOf(() => x.add(many as never)).length).toBeLessThan(limit);
    expect(messageOf(() => x.add((() => 'a function '.repeat(1000)) as never)).length).toBeLessThan(limit);
  });

  it.each<[string, unknown]>([
    ['a symbol', Symbol('s')],
    ['a function', () => 1],
    ['a date', new Date(0)],
    ['an object without a prototype', Object.create(null)],
    ['a Proxy', new Proxy({}, {})],
    [
      'an object whose constructor throws',
      Object.defineProperty(new Date(0), 'constructor', {
        get() {
          throw new Error('hostile');
        },
      }),
    ],
    [
      'a cyclic array',
      (() => {
        const a: unknown[] = [];
        a.push(a);
        return a;
      })(),
    ],
    ['a class', class {}],
    ['an iterator', [1].values()],
    ['a Map', new Map()],
    ['a string', '1'],
    ['NaN in a list', [Number.NaN]],
    ['a hole in a list', Object.assign(Array(3), { 0: 1, 2: 2 })],
  ])('about %s is an OPERATOR_ARGUMENT', (_, value) => {
    expect(errorOf(() => x.matmul(value as never)).code).toBe('OPERATOR_ARGUMENT');
    expect(errorOf(() => torch.cat(value as never)).code).toBe('OPERATOR_ARGUMENT');
    expect(errorOf(() => x.permute(value as never)).code).toBe('OPERATOR_ARGUMENT');
  });

  it('leaves nothing alive, and the next call works', () => {
    const before = torch.memory().tensors;
    for (let i = 0; i < 100; i++) {
      errorOf(() => x.matmul(x));
      errorOf(() => x.add('1' as never));
      errorOf(() => x.max(7));
      errorOf(() => torch.call('aten::max.dim', x, 7));
    }
    expect(torch.memory().tensors).toBe(before);
    torch.scope(() => expect(x.add(1).sum().item()).toBe(27));
  });
});

describe('calls that fail', () => {
  it('leave no tensor and no native memory behind, of whatever kind', async () => {
    const { code, stdout, stderr } = await runProgram('failing-calls.ts', { flags: ['--expose-gc'] });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { failed, tensors, bytesPerCall } = JSON.parse(stdout);
    expect({ failed, tensors }).toEqual({ failed: 18_000, tensors: 0 });
    expect(bytesPerCall).toBeLessThan(100);
  });

  it('fail with a code, whatever operator is called with whatever', async () => {
    const { code, signal, stdout } = await runProgram('nonsense.ts');
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    const { methods, calls, strange, tensors } = JSON.parse(stdout);
    expect(methods).toBeGreaterThan(1000);
    expect(calls).toBe(methods * 21);
    expect(strange).toEqual([]);
    expect(tensors).toBe(0);
  });
});

describe('odd things that stand in for a tensor', () => {
  it(
    'a Proxy of a tensor, and an object that inherits from one, are as good',
    inScope(() => {
      expect(x.add(new Proxy(x, {})).at(0, 0).item()).toBe(2);
      expect(new Proxy(x, {}).add(1).at(0, 0).item()).toBe(2);
      expect((Object.create(x) as Tensor).add(1).at(0, 0).item()).toBe(2);
    }),
  );

  it('anything else is refused', () => {
    const call = (method: unknown, self: unknown, ...args: unknown[]) =>
      Reflect.apply(method as () => void, self, args);
    expect(errorOf(() => call(Tensor.prototype.exp, {})).code).toMatch(/^(STALE_TENSOR|OPERATOR_ARGUMENT)$/);
    expect(errorOf(() => call(Tensor.prototype.add, { handle: 1 }, 1)).code).toBe('STALE_TENSOR');
    expect(errorOf(() => Tensor.prototype.shape).code).toBe('OPERATOR_ARGUMENT');
    expect(errorOf(() => x.add({ handle: x.handle } as never)).code).toBe('OPERATOR_ARGUMENT');
  });

  it('JavaScript operators are refused with the way out', () => {
    const untyped = x as unknown as number;
    expect(errorOf(() => untyped + 1).remedy).toMatch(/a\.add\(b\)/);
    // biome-ignore lint/suspicious/noDoubleEquals: what a user would write
    expect(errorOf(() => untyped == 1).code).toBe('BAD_ARGUMENT');
    expect(+(torch.tensor(2.5) as unknown as number)).toBe(2.5);
  });

  it('a tensor is no promise, and no structured clone', async () => {
    expect(await x).toBe(x);
    // A clone would be a bare number that another thread might mistake for the tensor. release() and adopt() hand one over.
    expect(() => structuredClone(x)).toThrow(expect.objectContaining({ name: 'DataCloneError' }));
  });

  it('in JSON it is described, not written out', () => {
    expect(JSON.parse(JSON.stringify({ x }))).toEqual({ x: { shape: [2, 3], dtype: 'float32', device: 'cpu' } });
  });
});

describe('torch.call', () => {
  it(
    'reaches any operator by its exact name, arguments in the order of the schema',
    inScope(() => {
      expect(torch.call('aten::add.Tensor', x, x)).toBeCloseToTensor(x.mul(2));
      expect(torch.call('aten::add.Tensor', x, x, 2)).toBeCloseToTensor(x.mul(3));
      expect((torch.call('aten::max.dim', x, 1) as Tensor[]).map((result) => result.tolist())).toEqual([
        [3, 6],
        [2, 2],
      ]);
      expect(torch.call('aten::sym_size.int', x, 1)).toBe(3);
      expect(torch.call('aten::is_nonzero', torch.ones([1]))).toBe(true);
      expect(torch.call('aten::set_data', x.clone(), x)).toBeUndefined();
      expect((torch.call('aten::sum.dim_IntList', x, [0], true, 'float64') as Tensor).dtype).toBe('float64');
    }),
  );

  it(
    'takes null and undefined for defaults',
    inScope(() => {
      expect((torch.call('aten::sum', x, null) as Tensor).item()).toBe(21);
      expect((torch.call('aten::add.Tensor', x, x, undefined) as Tensor).at(0, 0).item()).toBe(2);
    }),
  );

  it.each<[string, () => unknown, RegExp]>([
    ['an unknown name', () => torch.call('aten::nope'), /no operator named aten::nope/],
    ['an unknown overload', () => torch.call('aten::add.Nope', x), /no operator named aten::add\.Nope/],
    ['an empty name', () => torch.call(''), /no operator named/],
    ['no string', () => torch.call(5 as never), /5/],
    ['too few arguments', () => torch.call('aten::add.Tensor', x), /aten::add\.Tensor/],
    ['too many arguments', () => torch.call('aten::add.Tensor', x, x, 1, 1), /aten::add\.Tensor/],
    ['a hundred arguments', () => torch.call('aten::add.Tensor', ...Array(100).fill(x)), /aten::add\.Tensor/],
    ['options', () => torch.call('aten::add.Tensor', x, x, { alpha: 1 }), /aten::add\.Tensor/],
    ['a wrong type', () => torch.call('aten::add.Tensor', x, 1), /aten::add\.Tensor/],
  ])('refuses %s', (_, call, message) => {
    const error = errorOf(call);
    expect(error.code).toMatch(/^(BAD_ARGUMENT|OPERATOR_ARGUMENT)$/);
    expect(error.message).toMatch(message);
  });
});
