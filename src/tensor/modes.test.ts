import { afterEach, describe, expect, it, vi } from 'vitest';
import { errorOf } from '../../tests/support/errors.ts';
import { torch } from './index.ts';

const product = () => torch.scope(() => torch.ones([2, 2]).matmul(torch.ones([2, 2])).dtype);
const fails = (): never => {
  throw new RangeError('inside');
};

/** Whatever a test did, no mode outlives it. */
const expectNoMode = (): void => {
  expect(torch.isGradEnabled()).toBe(true);
  expect(product()).toBe('float32');
  expect(torch.autocastState()).toEqual([]);
  torch.scope(() => expect(torch.ones([1], { requiresGrad: true }).mul(2).requiresGrad).toBe(true));
};

describe('noGrad, enableGrad, inferenceMode', () => {
  afterEach(expectNoMode);

  it('nest in any order, and end in reverse', () => {
    const seen: boolean[] = [];
    const look = (): void => void seen.push(torch.isGradEnabled());
    torch.noGrad(() => {
      look();
      torch.enableGrad(() => {
        look();
        torch.inferenceMode(look);
        look();
      });
      look();
    });
    look();
    expect(seen).toEqual([false, true, false, true, false, true]);
  });

  it('end when the function throws, at any depth', () => {
    expect(() =>
      torch.noGrad(() => torch.enableGrad(() => torch.inferenceMode(() => torch.inferenceMode(fails)))),
    ).toThrow(RangeError);
    torch.noGrad(() => {
      expect(() => torch.enableGrad(fails)).toThrow(RangeError);
      expect(torch.isGradEnabled()).toBe(false);
      expect(() => torch.inferenceMode(fails)).toThrow(RangeError);
      expect(torch.isGradEnabled()).toBe(false);
    });
  });

  it('return what the function returns', () => {
    expect(torch.noGrad(() => 5)).toBe(5);
    expect(torch.inferenceMode(() => null)).toBeNull();
  });

  it.each(['noGrad', 'enableGrad', 'inferenceMode'] as const)(
    '%s refuses an async function, and swallows how that ends',
    async (mode) => {
      const unhandled = vi.fn();
      process.on('unhandledRejection', unhandled);
      const error = errorOf(() =>
        torch[mode](async () => {
          await Promise.resolve();
          throw new Error('too late');
        }),
      );
      expect(error.code).toBe('BAD_ARGUMENT');
      expect(error.message).toContain(`torch.${mode}()`);
      await new Promise((resolve) => setTimeout(resolve, 10));
      process.off('unhandledRejection', unhandled);
      expect(unhandled).not.toHaveBeenCalled();
    },
  );

  it('what inference mode makes can be read outside, and not written', () => {
    torch.scope(() => {
      const x = torch.inferenceMode(() => torch.ones([2]));
      expect(x.tolist()).toEqual([1, 1]);
      expect(x.clone().add_(1).tolist()).toEqual([2, 2]);
      expect(errorOf(() => x.add_(1)).message).toMatch(/Inplace update to inference tensor/);
    });
  });
});

describe('autocast', () => {
  afterEach(expectNoMode);

  it('uses bfloat16 on the CPU unless told otherwise', () => {
    expect(torch.autocast({}, product)).toBe('bfloat16');
    expect(torch.autocast({ dtype: 'float16' }, product)).toBe('float16');
    expect(torch.autocast({ enabled: false }, product)).toBe('float32');
  });

  it('nests, and an exception ends only what it leaves', () => {
    torch.autocast({ dtype: 'float16' }, () => {
      expect(torch.autocast({ enabled: false }, product)).toBe('float32');
      expect(() => torch.autocast({ dtype: 'bfloat16' }, fails)).toThrow(RangeError);
      expect(product()).toBe('float16');
    });
  });

  it('says what is entered, for a recomputation that must enter it again', () => {
    const outer = { dtype: 'bfloat16' } as const;
    torch.autocast(outer, () =>
      torch.autocast({ enabled: false }, () => {
        expect(torch.autocastState()).toEqual([outer, { enabled: false }]);
      }),
    );
  });

  it('keeps sums in float32, and gradients in the dtype of the leaf', () => {
    torch.scope(() => {
      const w = torch.ones([2, 2], { requiresGrad: true });
      const loss = torch.autocast({}, () => torch.ones([2, 2]).matmul(w).sum({ dtype: 'float32' }));
      loss.backward();
      expect(w.grad).toMatchObject({ dtype: 'float32' });
      expect(w.grad?.tolist()).toEqual([
        [2, 2],
        [2, 2],
      ]);
    });
  });

  it.each<[string, unknown]>([
    ['an unknown device', { device: 'abacus' }],
    ['a device that has none', { device: 'meta' }],
    ['a device that is no string', { device: 5 }],
    ['an integer dtype', { dtype: 'int32' }],
    ['a wider dtype', { dtype: 'float64' }],
    ['an unknown dtype', { dtype: 'half' }],
    ['a dtype that is no string', { dtype: 6 }],
    ['enabled that is no boolean', { enabled: 'yes' }],
  ])('refuses %s, and leaves the one around it as it was', (_, options) => {
    torch.autocast({}, () => {
      errorOf(() => torch.autocast(options as never, () => 1));
      expect(product()).toBe('bfloat16');
      expect(torch.autocastState()).toEqual([{}]);
    });
  });

  it('refuses an async function', () => {
    expect(errorOf(() => torch.autocast({}, async () => 1)).code).toBe('BAD_ARGUMENT');
  });
});

describe('threads', () => {
  it('are set from 1 up', () => {
    const before = torch.getNumThreads();
    torch.setNumThreads(3);
    expect(torch.getNumThreads()).toBe(3);
    torch.setNumThreads(before);
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e9, '2', null, undefined])('refuse %s', (threads) => {
    const before = torch.getNumThreads();
    expect(errorOf(() => torch.setNumThreads(threads as never)).code).toMatch(/^(BAD_ARGUMENT|OPERATOR_ARGUMENT)$/);
    expect(torch.getNumThreads()).toBe(before);
  });
});

describe('devices that are not there', () => {
  it.each<[string, () => unknown]>([
    ['synchronize', () => torch.synchronize('cuda:99')],
    ['setDevice', () => torch.setDevice('cuda:99')],
    ['deviceMemory', () => torch.deviceMemory('cuda:99')],
    ['currentStream', () => torch.currentStream('cuda:99')],
    ['resetPeakMemory', () => torch.resetPeakMemory('xla')],
    ['synchronize, no string', () => torch.synchronize(5 as never)],
    ['Generator', () => new torch.Generator({ device: 'abacus' })],
    ['Generator, no string', () => new torch.Generator({ device: 5 as never })],
    ['getRngState', () => torch.getRngState('abacus')],
  ])('are refused: %s', (_, call) => {
    expect(errorOf(call).code).toMatch(/^(BAD_ARGUMENT|OPERATOR_ARGUMENT|OPERATOR_FAILED)$/);
  });
});

describe('generators', () => {
  it.each([0, -1, 2 ** 53 - 1, 2n ** 63n - 1n, 2n ** 64n - 1n])('take the seed %s', (seed) => {
    const numbers = () => torch.scope(() => torch.rand([2], { generator: new torch.Generator({ seed }) }).tolist());
    expect(numbers()).toEqual(numbers());
    expect(() => torch.manualSeed(seed)).not.toThrow();
  });

  it.each([1.5, Number.NaN, 2 ** 60, '1', null, 2n ** 65n])('refuse the seed %s', (seed) => {
    expect(errorOf(() => torch.manualSeed(seed as never)).code).toMatch(/^(BAD_ARGUMENT|OPERATOR_ARGUMENT)$/);
    expect(errorOf(() => new torch.Generator({ seed: seed as never })).code).toMatch(
      /^(BAD_ARGUMENT|OPERATOR_ARGUMENT)$/,
    );
  });

  it('refuse a state that is none, and go on from where they were', () => {
    const generator = new torch.Generator({ seed: 1 });
    const state = generator.getState();
    for (const bad of [new Uint8Array(3), new Uint8Array(state.length), new Uint8Array(state.length).fill(255)]) {
      errorOf(() => generator.setState(bad));
      errorOf(() => torch.setRngState(bad));
    }
    for (const bad of [[1, 2], null, 'state']) errorOf(() => generator.setState(bad as never));
    expect(generator.getState()).toEqual(state);
  });

  it('leave nothing alive', () => {
    const before = torch.memory().tensors;
    new torch.Generator({ seed: 1 }).setState(new torch.Generator({ seed: 2 }).getState());
    torch.setRngState(torch.getRngState());
    expect(torch.memory().tensors).toBe(before);
  });
});
