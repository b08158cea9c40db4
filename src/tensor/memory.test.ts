import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorOf } from '../../tests/support/errors.ts';
import { runProgram } from '../../tests/support/program.ts';
import { type Tensor, torch } from './index.ts';

const one = (): Tensor => torch.ones([1]);
const live = (): number => torch.memory().tensors;

// Every test leaves as many tensors as it found; fewer when the collector takes what an earlier, failed one left behind.
let before = 0;
beforeEach(() => {
  before = live();
});
afterEach(() => {
  expect(live()).toBeLessThanOrEqual(before);
});

describe('keep and dispose', () => {
  it('keep takes a tensor out of its scope', () => {
    const x = torch
      .scope(() => {
        const x = one();
        expect(x.keep()).toBe(x);
        return { hidden: () => x };
      })
      .hidden();
    expect(x.item()).toBe(1);
    x.dispose();
  });

  it('dispose frees at once, and again is harmless', () => {
    const x = one();
    expect(x.isDisposed).toBe(false);
    x.dispose();
    expect(x.isDisposed).toBe(true);
    expect(live()).toBe(before);
    x.dispose();
    x[Symbol.dispose]();
  });

  it('dispose inside a scope, before the scope ends, is harmless too', () => {
    torch.scope(() => {
      const x = one();
      x.dispose();
      one();
    });
  });

  it('using frees at the end of the block', () => {
    {
      using x = one();
      expect(x.item()).toBe(1);
    }
    expect(live()).toBe(before);
  });

  it('a view outlives the tensor it was made from', () => {
    const x = torch.arange(4);
    using view = x.narrow(0, 2, 2);
    x.dispose();
    expect(view.tolist()).toEqual([2, 3]);
  });

  it('a handle that is used again for another tensor does not bring the freed one back', () => {
    const x = one();
    x.dispose();
    using y = torch.zeros([3]);
    expect(x.isDisposed).toBe(true);
    expect(y.isDisposed).toBe(false);
    x.dispose();
    expect(y.tolist()).toEqual([0, 0, 0]);
  });

  it.each<[string, (x: Tensor) => unknown]>([
    ['a method', (x) => x.exp()],
    ['a method with another tensor', (x) => x.add(x)],
    ['a method in place', (x) => x.add_(1)],
    ['a function', (x) => torch.exp(x)],
    ['a list', (x) => torch.cat([x, x])],
    ['its shape', (x) => x.shape],
    ['its dtype', (x) => x.dtype],
    ['its device', (x) => x.device],
    ['its strides', (x) => x.stride()],
    ['its value', (x) => x.item()],
    ['its elements', (x) => x.tolist()],
    ['its bytes', (x) => x.bytes()],
    ['its memory', (x) => x.map()],
    ['its gradient', (x) => x.grad],
    [
      'setting its gradient',
      (x) => {
        x.grad = null;
      },
    ],
    ['requiresGrad', (x) => x.requiresGrad],
    ['requiresGrad_', (x) => x.requiresGrad_()],
    ['backward', (x) => x.backward()],
    ['indexing', (x) => x.at(0)],
    ['conversion', (x) => x.to('float64')],
    ['release', (x) => x.release()],
    ['torch.grad', (x) => torch.grad([x], [x])],
    ['torch.call', (x) => torch.call('aten::exp', x)],
  ])('a freed tensor throws STALE_TENSOR: %s', (_, use) => {
    const disposed = one();
    disposed.dispose();
    expect(errorOf(() => use(disposed)).code).toBe('STALE_TENSOR');
    const scoped: Tensor[] = [];
    torch.scope(() => void scoped.push(one()));
    expect(errorOf(() => use(scoped[0] as Tensor)).code).toBe('STALE_TENSOR');
  });

  it('a freed tensor still prints, and still clones to JSON as itself', () => {
    const x = one();
    x.dispose();
    expect(String(x)).toBe('tensor(<freed>)');
  });
});

describe('the net under tensors outside every scope', () => {
  it('frees what nothing holds, warns once of what something does, and forgets what was disposed', async () => {
    const { code, stdout, stderr } = await runProgram('loose.ts', { flags: ['--expose-gc'] });
    expect({ code, stderr: stderr.replace(/.*NudgeMemoryWarning.*\n.*trace-warnings.*\n/, '') }).toEqual({
      code: 0,
      stderr: '',
    });
    const report = JSON.parse(stdout);
    expect(report.made).toEqual({ tensors: 5000, bytes: 20_000, loose: 5000 });
    expect(report.collected).toEqual({ tensors: 0, bytes: 0, loose: 0 });
    expect(report.holding).toEqual({ tensors: 11_000, bytes: 44_000, loose: 11_000 });
    expect(report.warnedOnce).toEqual(['NudgeMemoryWarning']);
    expect(report.warnings).toEqual(['NudgeMemoryWarning']);
    expect(report.disposed).toBe(0);
    expect(stderr).toMatch(/10001 tensors .* outside any scope wait for the garbage collector/);
  });
});

describe('memory', () => {
  it('counts live tensors, and each storage once', () => {
    torch.scope(() => {
      const empty = torch.memory();
      const x = torch.ones([256]);
      x.view([16, 16]);
      x.narrow(0, 0, 1);
      const full = torch.memory();
      expect(full.tensors - empty.tensors).toBe(3);
      expect(full.bytes - empty.bytes).toBe(1024);
    });
  });

  it('says where the live tensors were made, while debugMemory is on', () => {
    torch.scope(() => {
      torch.debugMemory(true);
      try {
        for (let i = 0; i < 3; i++) torch.ones([2]);
        torch.ones([2]).dispose();
        const [first, ...others] = torch.memory().madeAt ?? [];
        expect(first?.tensors).toBe(3);
        expect(first?.place).toMatch(/memory\.test\.ts:\d+:\d+$/);
        expect(others).toEqual([]);
      } finally {
        torch.debugMemory(false);
      }
      expect(torch.memory().madeAt).toBeUndefined();
    });
  });
});

describe('memory that is recycled', () => {
  it('is never more than what was in use at once, and is given back on demand', async () => {
    const { code, stdout } = await runProgram('recycling.ts');
    expect(code).toBe(0);
    const { first, afterFailure, emptied, steps, wrong } = JSON.parse(stdout);
    // The largest tensor takes 23 MiB, all of them together 270.
    expect(first).toBeLessThan(80);
    expect(afterFailure).toBeLessThan(80);
    expect(emptied).toBeLessThan(40);
    // The longest step's tensors take 82 MiB.
    expect(steps).toBeLessThan(130);
    expect(wrong).toBe(0);
  });
});

describe('a training loop', () => {
  const train = (steps: number, sabotage: (step: number, place: number) => void): number[] => {
    const weights = [torch.randn([4, 8]), torch.zeros([8]), torch.randn([8, 2]), torch.zeros([2])];
    for (const weight of weights) weight.mul_(0.1).requiresGrad_();
    const counts: number[] = [];
    for (let step = 0; step < steps; step++) {
      try {
        torch.scope(() => {
          const x = torch.randn([16, 4]); // [B, D]
          sabotage(step, 0);
          const [w1, b1, w2, b2] = weights as [Tensor, Tensor, Tensor, Tensor];
          const loss = x.matmul(w1).add(b1).relu().matmul(w2).add(b2).pow(2).mean();
          sabotage(step, 1);
          loss.backward();
          sabotage(step, 2);
          torch.noGrad(() => {
            for (const weight of weights) {
              weight.sub_((weight.grad as Tensor).mul(0.1));
              weight.grad = null;
              sabotage(step, 3);
            }
          });
        });
      } catch (error) {
        if (!(error as Error).message.startsWith('sabotage')) throw error;
      }
      counts.push(live());
    }
    for (const weight of weights) weight.dispose();
    return counts;
  };

  it('holds as many tensors after 50 steps as after the first', () => {
    const counts = train(50, () => undefined);
    expect(new Set(counts)).toEqual(new Set([before + 4]));
  });

  it('also when steps fail in the middle', () => {
    const counts = train(50, (step, place) => {
      if (step % 5 === place + 1) throw new Error(`sabotage at ${place}`);
    });
    expect(new Set(counts)).toEqual(new Set([before + 4]));
    expect(torch.isGradEnabled()).toBe(true);
  });
});
