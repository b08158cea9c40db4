import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorOf } from '../../tests/support/errors.ts';
import { type DType, type Scope, type TensorData, torch } from './index.ts';

// Every test in a scope of its own.
let scope: Scope;
beforeEach(() => {
  scope = torch.scope();
});
afterEach(() => scope[Symbol.dispose]());

const untyped = (data: unknown) => data as TensorData;

describe('torch.tensor', () => {
  it.each<[string, TensorData, DType, number[]]>([
    ['a number, integral or not', 2, 'float32', []],
    ['a bigint', 2n, 'int64', []],
    ['a boolean', true, 'bool', []],
    ['numbers', [1, 2.5], 'float32', [2]],
    ['numbers that are all integral', [1, 2], 'float32', [2]],
    ['booleans', [[true], [false]], 'bool', [2, 1]],
    ['bigints', [1n, 2n, 3n], 'int64', [3]],
    ['bigints among numbers', [1n, 2], 'int64', [2]],
    ['booleans among numbers', [true, 2], 'float32', [2]],
    ['nothing', [], 'float32', [0]],
    ['nothing, nested', [[], []], 'float32', [2, 0]],
    ['three dimensions', [[[1, 2]], [[3, 4]]], 'float32', [2, 1, 2]],
    ['a Float64Array', Float64Array.of(1, 2), 'float64', [2]],
    ['a Uint8Array', Uint8Array.of(1), 'uint8', [1]],
    ['a BigInt64Array', BigInt64Array.of(1n), 'int64', [1]],
    ['a list of typed arrays', [Float32Array.of(1, 2), Float32Array.of(3, 4)], 'float32', [2, 2]],
  ])('of %s', (_, data, dtype, shape) => {
    expect(torch.tensor(data)).toMatchObject({ dtype, shape });
  });

  it.each<[string, unknown, RegExp]>([
    ['too short a row', [[1, 2], [3]], /where: {4}data\[1\]\n {2}expected: a list of 2\n {2}received: a list of 1/],
    ['too long a row', [[1], [2, 3]], /received: a list of 2/],
    ['a number for a row', [[1], 2], /where: {4}data\[1\]\n {2}expected: a list of 1\n {2}received: 2/],
    ['a row for a number', [1, [2]], /where: {4}data\[1\]\n {2}expected: a number/],
    ['a row in an empty list', [[], [1]], /received: a list of 1/],
    ['a string', 'abc', /received: string/],
    ['a string inside', [1, 'x'], /where: {4}data\[1\]/],
    ['null', null, /numbers, bigints or booleans/],
    ['undefined', undefined, /numbers, bigints or booleans/],
    ['an object', {}, /numbers, bigints or booleans/],
    ['a Set', new Set([1]), /numbers, bigints or booleans/],
    ['an ArrayBuffer', new ArrayBuffer(8), /numbers, bigints or booleans/],
    ['a hole', Object.assign(Array(3), { 0: 1, 2: 3 }), /where: {4}data\[1\]/],
    ['a tensor inside a list', [torch.ones([1])], /where: {4}data\[0\]/],
    ['a fraction among bigints', [1n, 2.5], /element 1 is no int64[\s\S]*received: 2.5/],
  ])('refuses %s', (_, data, message) => {
    const error = errorOf(() => torch.tensor(untyped(data)));
    expect(error.code).toMatch(/^(SHAPE_MISMATCH|BAD_ARGUMENT|DTYPE_MISMATCH)$/);
    expect(error.message).toMatch(message);
  });

  it('refuses an array that contains itself, or is nested without reason', () => {
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    expect(errorOf(() => torch.tensor(untyped(cyclic))).code).toMatch(/^(SHAPE_MISMATCH|BAD_ARGUMENT)$/);
    const [first, second]: unknown[][] = [[1], [2]];
    second?.push(first, second);
    expect(errorOf(() => torch.tensor(untyped([first, second]))).code).toMatch(/^(SHAPE_MISMATCH|BAD_ARGUMENT)$/);
    let deep: unknown = 1;
    for (let i = 0; i < 10_000; i++) deep = [deep];
    expect(errorOf(() => torch.tensor(untyped(deep))).code).toMatch(/^(SHAPE_MISMATCH|BAD_ARGUMENT)$/);
  });

  it('copies', () => {
    const data = Float32Array.of(1, 2);
    const x = torch.tensor(data);
    data[0] = 9;
    expect(x.tolist()).toEqual([1, 2]);
    const y = torch.tensor(x);
    x.fill_(0);
    expect(y.tolist()).toEqual([1, 2]);
    expect(torch.tensor(torch.ones([1], { requiresGrad: true }))).toMatchObject({ isLeaf: true, requiresGrad: false });
  });

  it('leaves nothing behind but the tensor', () => {
    const before = torch.memory().tensors;
    torch.tensor([1, 2], { dtype: 'bfloat16' });
    torch.tensor(torch.tensor([1, 2]), { dtype: 'int64' });
    torch.tensor(Float32Array.of(1), { dtype: 'float64' });
    expect(torch.memory().tensors - before).toBe(4);
  });

  it('converts to the dtype that is asked for', () => {
    expect(torch.tensor([1, 2], { dtype: 'int64' })).toMatchObject({ dtype: 'int64' });
    expect(torch.tensor([1n, 2n], { dtype: 'float32' }).tolist()).toEqual([1, 2]);
    expect(torch.tensor([0, 0.5, -1, Number.NaN], { dtype: 'bool' }).tolist()).toEqual([false, true, true, true]);
    expect(torch.tensor([true, false], { dtype: 'int8' }).tolist()).toEqual([1, 0]);
    expect(torch.tensor([1, -2], { dtype: 'complex64' }).tolist()).toEqual([
      { re: 1, im: 0 },
      { re: -2, im: 0 },
    ]);
    expect(torch.tensor(Float64Array.of(0.1), { dtype: 'float32' }).item()).toBe(Math.fround(0.1));
  });

  it('keeps the precision of the dtype that is asked for', () => {
    expect(torch.tensor([0.1], { dtype: 'float64' }).item()).toBe(0.1);
    expect(torch.tensor([0.1], { dtype: 'complex128' }).tolist()).toEqual([{ re: 0.1, im: 0 }]);
    expect(torch.tensor([2n ** 53n + 1n], { dtype: 'int64' }).item()).toBe(2n ** 53n + 1n);
    expect(torch.tensor([2n ** 64n - 1n], { dtype: 'uint64' }).item()).toBe(2n ** 64n - 1n);
    expect(torch.tensor([1e-45, 3e38, -0]).toFloat32Array()).toEqual(Float32Array.of(1e-45, 3e38, -0));
  });

  it.each<[DType, number | bigint]>([
    ['uint8', 256],
    ['uint8', -1],
    ['int8', 128],
    ['int8', 1.5],
    ['int16', 32768],
    ['int32', 2 ** 31],
    ['int32', 0.5],
    ['int32', Number.NaN],
    ['uint16', -1],
    ['uint32', 2 ** 32],
    ['int64', 1.5],
    ['int64', Number.POSITIVE_INFINITY],
    ['int64', 2n ** 63n],
    ['int64', 1e19],
    ['uint64', -1n],
    ['uint64', 2n ** 64n],
    ['uint8', 256n],
  ])('%s cannot hold %s, and does not pretend to', (dtype, value) => {
    const error = errorOf(() => torch.tensor([0, value], { dtype }));
    expect(error.code).toBe('DTYPE_MISMATCH');
    expect(error.message).toContain(`element 1 is no ${dtype}`);
    expect(error.received).toBe(String(value));
  });

  it('makes a leaf, of floating dtypes only', () => {
    expect(torch.tensor([1], { requiresGrad: true })).toMatchObject({ requiresGrad: true, isLeaf: true });
    expect(torch.tensor([1], { requiresGrad: true, dtype: 'bfloat16' })).toMatchObject({
      requiresGrad: true,
      isLeaf: true,
    });
    expect(errorOf(() => torch.tensor([1n], { requiresGrad: true })).message).toMatch(/floating point/);
  });

  it('treats options of undefined as left out', () => {
    expect(torch.tensor([1], { dtype: undefined, device: undefined, requiresGrad: undefined } as never)).toMatchObject({
      dtype: 'float32',
      device: 'cpu',
      requiresGrad: false,
    });
  });
});

describe('torch.full', () => {
  it('takes its dtype from the type of the value, as torch.tensor does', () => {
    expect(torch.full([2], 3)).toMatchObject({ dtype: 'float32', shape: [2] });
    expect(torch.full([], true).dtype).toBe('bool');
    expect(torch.full([], 3n).dtype).toBe('int64');
    expect(torch.full([2], 3, { dtype: 'int32' }).tolist()).toEqual([3, 3]);
    expect(torch.full([2], 3, { dtype: undefined } as never).dtype).toBe('float32');
    expect(torch.full([2], 3, { requiresGrad: true }).requiresGrad).toBe(true);
  });
});

describe('torch.fromBytes and torch.fromTypedArray', () => {
  it('copy raw memory', () => {
    const bytes = Uint8Array.of(0, 0, 128, 63, 0, 0, 0, 192);
    const x = torch.fromBytes(bytes, [2, 1], 'float32');
    bytes.fill(0);
    expect(x.tolist()).toEqual([[1], [-2]]);
    expect(torch.fromTypedArray(Uint16Array.of(0x3f80), [1], 'bfloat16').item()).toBe(1);
    expect(torch.fromTypedArray(Int16Array.of(1, 2, 3, 4), [2, 2]).tolist()).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  it('see exactly the part of a buffer that an array stands for', () => {
    const whole = Float32Array.of(0, 1, 2, 3);
    expect(torch.fromTypedArray(whole.subarray(1, 3)).tolist()).toEqual([1, 2]);
    expect(torch.fromBytes(new Uint8Array(whole.buffer, 8, 4), [1], 'float32').item()).toBe(2);
    expect(torch.fromBytes(Buffer.from([7, 8]), [2], 'uint8').tolist()).toEqual([7, 8]);
    expect(torch.fromBytes(new Uint8Array(new SharedArrayBuffer(4)), [1], 'float32').item()).toBe(0);
  });

  it('take any byte but 0 for true', () => {
    const x = torch.fromBytes(Uint8Array.of(0, 1, 255), [3], 'bool');
    expect(x.tolist()).toEqual([false, true, true]);
    expect(x.sum().item()).toBe(2);
  });

  it.each<[string, () => unknown, string]>([
    ['too few bytes', () => torch.fromBytes(new Uint8Array(7), [2], 'float32'), 'SHAPE_MISMATCH'],
    ['too many bytes', () => torch.fromBytes(new Uint8Array(9), [2], 'float32'), 'SHAPE_MISMATCH'],
    ['a negative size', () => torch.fromBytes(new Uint8Array(0), [-1], 'float32'), 'SHAPE_MISMATCH'],
    ['a fraction', () => torch.fromBytes(new Uint8Array(4), [1.5], 'float32'), 'OPERATOR_ARGUMENT'],
    ['NaN', () => torch.fromBytes(new Uint8Array(4), [Number.NaN], 'float32'), 'OPERATOR_ARGUMENT'],
    ['a size beyond all memory', () => torch.fromBytes(new Uint8Array(4), [2 ** 50], 'float32'), 'SHAPE_MISMATCH'],
    [
      'sizes whose product overflows',
      () => torch.fromBytes(new Uint8Array(0), [2 ** 32, 2 ** 32], 'uint8'),
      'SHAPE_MISMATCH',
    ],
    [
      'sizes whose product overflows, though one is 0',
      () => torch.fromBytes(new Uint8Array(0), [2 ** 40, 2 ** 40, 0], 'uint8'),
      'SHAPE_MISMATCH',
    ],
    ['an unknown dtype', () => torch.fromBytes(new Uint8Array(4), [1], 'float31' as never), 'DTYPE_MISMATCH'],
    ['a shape that is no list', () => torch.fromBytes(new Uint8Array(4), 1 as never, 'float32'), 'BAD_ARGUMENT'],
    ['an ArrayBuffer', () => torch.fromBytes(new ArrayBuffer(4) as never, [1], 'float32'), 'BAD_ARGUMENT'],
    ['an array', () => torch.fromBytes([0, 0, 0, 0] as never, [1], 'float32'), 'BAD_ARGUMENT'],
    ['a Float32Array for bytes', () => torch.fromBytes(new Float32Array(1) as never, [1], 'float32'), 'BAD_ARGUMENT'],
    ['nothing', () => torch.fromBytes(undefined as never, [0], 'float32'), 'BAD_ARGUMENT'],
  ])('refuse %s', (_, call, code) => {
    const before = torch.memory().tensors;
    expect(errorOf(call).code).toBe(code);
    expect(torch.memory().tensors).toBe(before);
  });
});

describe('options that there are not', () => {
  it.each<[string, () => unknown, RegExp]>([
    ['torch.tensor', () => torch.tensor([1], { dType: 'int64' } as never), /'dType'[\s\S]*Write 'dtype'/],
    ['torch.full', () => torch.full([1], 1, { require_grad: true } as never), /require_grad/],
    ['to', () => torch.ones([1]).to({ dtpye: 'int64' } as never), /'dtpye'/],
    ['torch.autocast', () => torch.autocast({ device_type: 'cpu' } as never, () => 1), /'device_type'/],
    ['Generator', () => new torch.Generator({ sede: 1 } as never), /'sede'/],
    [
      'torch.grad',
      () => torch.grad([], [], { allow_unused: true } as never),
      /'allow_unused'[\s\S]*Write 'allowUnused'/,
    ],
    ['torch.backward', () => torch.backward([], [], { retain_graph: true } as never), /Write 'retainGraph'/],
  ])('are refused by what is no operator, too: %s', (_, call, message) => {
    const error = errorOf(call);
    expect(error.code).toMatch(/^(BAD|OPERATOR)_ARGUMENT$/);
    expect(error.message).toMatch(message);
  });
});

describe('toFloat32Array', () => {
  it('converts from any dtype, and leaves nothing behind', () => {
    const x = torch.tensor([1, -2], { dtype: 'bfloat16', requiresGrad: true });
    const before = torch.memory().tensors;
    expect(x.toFloat32Array()).toEqual(Float32Array.of(1, -2));
    expect(torch.memory().tensors).toBe(before);
  });
});

describe('conversion with to', () => {
  it('refuses what is neither dtype, device nor tensor', () => {
    const x = torch.ones([1]);
    expect(errorOf(() => x.to('nonsense')).message).toMatch(/'nonsense'/);
    for (const target of [null, 5, true]) expect(errorOf(() => x.to(target as never)).code).toBe('BAD_ARGUMENT');
    expect(errorOf(() => x.to({ dtype: 'float' as never })).remedy).toBe("Write 'float32'.");
  });

  it('lets gradients through', () => {
    const x = torch.ones([2], { requiresGrad: true });
    x.to('float64').mul(3).sum().backward();
    expect(x.grad).toMatchObject({ dtype: 'float32' });
    expect(x.grad?.tolist()).toEqual([3, 3]);
  });
});
