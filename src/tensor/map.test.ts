import { describe, expect, it } from 'vitest';
import { errorOf } from '../../tests/support/errors.ts';
import { runProgram } from '../../tests/support/program.ts';
import { torch } from './index.ts';

const inScope = (fn: () => void) => () => torch.scope(fn);

describe('x.map()', () => {
  it(
    'is the memory of the tensor itself, both ways',
    inScope(() => {
      const x = torch.ones([2, 2]);
      const memory = x.map();
      memory[1] = 5;
      x.at(1, 1).fill_(7);
      expect(x.tolist()).toEqual([
        [1, 5],
        [1, 7],
      ]);
      expect([...(memory as Float32Array)]).toEqual([1, 5, 1, 7]);
    }),
  );

  it(
    'may be taken twice, and of a view',
    inScope(() => {
      const x = torch.arange(6);
      const [whole, again, part] = [x.map(), x.map(), x.narrow(0, 2, 3).map()];
      whole[2] = 20n;
      expect(again[2]).toBe(20n);
      expect([...(part as BigInt64Array)]).toEqual([20n, 3n, 4n]);
    }),
  );

  it('keeps the memory alive after the tensor is gone', () => {
    const memory = torch.scope(() => torch.full([1000], 3).map()) as Float32Array;
    for (let i = 0; i < 100; i++) torch.scope(() => torch.zeros([1000]));
    expect(memory.every((value) => value === 3)).toBe(true);
  });

  it(
    'stays what it was when the tensor gets other memory',
    inScope(() => {
      const x = torch.ones([2]);
      const memory = x.map();
      x.set_(torch.zeros([3]));
      expect([...(memory as Float32Array)]).toEqual([1, 1]);
      memory[0] = 9;
      expect(x.tolist()).toEqual([0, 0, 0]);

      const y = torch.ones([2]);
      const its = y.map();
      y.setData(torch.zeros([3]));
      its[0] = 9;
      expect(y.tolist()).toEqual([0, 0, 0]);
    }),
  );

  it(
    'is empty for a tensor without elements',
    inScope(() => {
      expect(torch.ones([0, 3]).map().length).toBe(0);
    }),
  );

  it(
    'cannot be transferred to a thread that would free it',
    inScope(() => {
      const memory = torch.ones([4]).map();
      expect(() => structuredClone(memory, { transfer: [memory.buffer as ArrayBuffer] })).toThrow(
        expect.objectContaining({ name: 'DataCloneError' }),
      );
      expect(memory.length).toBe(4);
    }),
  );

  it(
    'survives ArrayBuffer.transfer, which takes it from its owner',
    inScope(() => {
      const x = torch.ones([4]);
      const moved = (x.map().buffer as ArrayBuffer).transfer(8);
      expect(moved.byteLength).toBe(8);
      expect(x.tolist()).toEqual([1, 1, 1, 1]);
    }),
  );

  it.each<[string, () => unknown]>([
    ['not contiguous', () => torch.ones([2, 3]).t().map()],
    ['expanded', () => torch.ones([1]).expand([4]).map()],
    ['of no device memory', () => torch.ones([1], { device: 'meta' }).map()],
    ['sparse', () => torch.eye(2).toSparse().map()],
    ['opaque', () => torch.eye(2).toMkldnn().map()],
    ['lazily conjugated', () => torch.ones([1], { dtype: 'complex64' }).conj().map()],
  ])('refuses a tensor that is %s', (_, call) => {
    torch.scope(() => expect(errorOf(call).code).toMatch(/^(BAD_ARGUMENT|OPERATOR_FAILED)$/));
  });

  it('a mapped tensor can no longer be resized, and a failed resizing never reaches beyond its memory', async () => {
    const { code, signal, stdout } = await runProgram('resizing.ts');
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    const sound = { outcome: 'OPERATOR_FAILED', fits: true, sum: true };
    expect(JSON.parse(stdout)).toEqual(
      ['no memory', 'mapped, resize_', 'mapped, resizeAs_', 'mapped, out', 'mapped, torch.call'].map((name) => ({
        name,
        ...sound,
        view: expect.any(Array),
      })),
    );
  });
});

describe('reading a tensor without plain memory', () => {
  it.each<[string, () => unknown]>([
    ['sparse', () => torch.eye(2).toSparse().tolist()],
    ['opaque', () => torch.eye(2).toMkldnn().tolist()],
    ['meta', () => torch.ones([2], { device: 'meta' }).tolist()],
    ['meta, one element', () => torch.ones([], { device: 'meta' }).item()],
  ])('is an error: %s', (_, call) => {
    torch.scope(() => expect(errorOf(call).code).toBe('OPERATOR_FAILED'));
  });

  it(
    'still prints',
    inScope(() => {
      for (const x of [torch.eye(2).toSparse(), torch.eye(2).toMkldnn(), torch.ones([2], { device: 'meta' })]) {
        expect(String(x)).toMatch(/^tensor\(/);
        expect(x.shape.length).toBeGreaterThan(0);
      }
    }),
  );

  it(
    'lazy conjugates and negatives are resolved',
    inScope(() => {
      const x = torch.viewAsComplex(torch.tensor([[1, 2]]));
      expect(x.conj().tolist()).toEqual([{ re: 1, im: -2 }]);
      expect(torch.imag(x.conj()).tolist()).toEqual([-2]);
    }),
  );
});

describe('a tensor without data', () => {
  it('reads as the zeros that it stands for, and cannot be mapped', async () => {
    const { code, signal, stdout } = await runProgram('without-data.ts');
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(JSON.parse(stdout)).toEqual({
      list: [0, 0],
      bytes: 8,
      text: 'tensor([0., 0.])',
      sum: [1, 1],
      map: 'BAD_ARGUMENT',
    });
  });
});

describe('bytes', () => {
  it(
    'may be written into memory of the caller, of just their size',
    inScope(() => {
      const x = torch.tensor([1, 2]);
      const into = new Uint8Array(8);
      expect(x.bytes(into)).toBe(into);
      expect(into).toEqual(x.bytes());
      const pooled = new Uint8Array(new ArrayBuffer(16), 4, 8);
      expect(x.t().bytes(pooled)).toEqual(into);
      expect(new Uint8Array(pooled.buffer)).toEqual(Uint8Array.of(0, 0, 0, 0, ...into, 0, 0, 0, 0));
    }),
  );

  it.each<[string, () => unknown]>([
    ['too small', () => new Uint8Array(7)],
    ['too large', () => new Uint8Array(9)],
    ['of another type', () => new Float32Array(2)],
    ['no typed array', () => [0, 0, 0, 0, 0, 0, 0, 0]],
    [
      'detached',
      () => {
        const array = new Uint8Array(8);
        structuredClone(array, { transfer: [array.buffer] });
        return array;
      },
    ],
  ])('refuses memory that is %s', (_, make) => {
    torch.scope(() => expect(errorOf(() => torch.tensor([1, 2]).bytes(make() as never)).code).toBe('BAD_ARGUMENT'));
  });

  // Large pieces are copied by several threads.
  it.each([1000, 1_000_000])(
    'of %i elements are right even when the memory is that of the tensor, shifted',
    (length) => {
      torch.scope(() => {
        const memory = torch.arange(length, { dtype: 'int32' }).map() as Int32Array;
        const x = torch.fromTypedArray(memory).narrow(0, 0, length - 1);
        const mapped = x.map() as Int32Array;
        const expected = x.bytes();
        const shifted = new Uint8Array(mapped.buffer, mapped.byteOffset + 4, 4 * (length - 2));
        x.narrow(0, 0, length - 2).bytes(shifted);
        expect(Buffer.compare(shifted, expected.subarray(0, 4 * (length - 2)))).toBe(0);
      });
    },
  );

  it(
    'are never memory of somebody else: not in a pool, and all of their buffer',
    inScope(() => {
      const bytes = torch.tensor([1, 2]).bytes();
      expect([bytes.byteOffset, bytes.buffer.byteLength]).toEqual([0, 8]);
      expect(torch.tensor([1, 2]).data().buffer.byteLength).toBe(8);
    }),
  );
});

describe('item', () => {
  it(
    'gives 64-bit integers exactly, unsigned ones too',
    inScope(() => {
      expect(torch.tensor([2n ** 53n]).item()).toBe(2n ** 53n);
      expect(torch.tensor([2n ** 53n - 1n]).item()).toBe(2 ** 53 - 1);
      expect(torch.tensor([-(2n ** 63n)]).item()).toBe(-(2n ** 63n));
      expect(torch.tensor([2n ** 64n - 1n], { dtype: 'uint64' }).item()).toBe(2n ** 64n - 1n);
    }),
  );

  it(
    'needs one element, of a real dtype',
    inScope(() => {
      expect(errorOf(() => torch.ones([2]).item()).code).toBe('SHAPE_MISMATCH');
      expect(errorOf(() => torch.ones([0]).item()).code).toBe('SHAPE_MISMATCH');
      expect(errorOf(() => torch.ones([1], { dtype: 'complex64' }).item()).code).toBe('DTYPE_MISMATCH');
    }),
  );
});
