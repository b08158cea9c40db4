import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { errorOf } from '../../tests/support/errors.ts';
import { Tensor, torch } from './index.ts';

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

describe('scope', () => {
  it('frees what was made inside, intermediate results too', () => {
    torch.scope(() => {
      one().add(1).mul(2);
      expect(live() - before).toBe(3);
    });
    expect(live()).toBe(before);
  });

  it('lets the returned tensor out, to the scope around it', () => {
    torch.scope(() => {
      const sum = torch.scope(() => one().add(1));
      expect(sum.item()).toBe(2);
      expect(live() - before).toBe(1);
    });
  });

  it('returns what else the function returns', () => {
    expect(torch.scope(() => one().item())).toBe(1);
    expect(torch.scope(() => undefined)).toBeUndefined();
    expect(torch.scope(() => null)).toBeNull();
  });

  it.each<[string, () => unknown, (tree: never) => Tensor[]]>([
    ['an array', () => [one(), [one()]], ([a, [b]]: [Tensor, [Tensor]]) => [a, b]],
    ['an object', () => ({ a: one(), b: { c: one() } }), ({ a, b }: { a: Tensor; b: { c: Tensor } }) => [a, b.c]],
    [
      'an object without a prototype',
      () => Object.assign(Object.create(null), { a: one() }),
      ({ a }: { a: Tensor }) => [a],
    ],
    [
      'a Map, keys too',
      () => new Map([[one(), one()]]),
      (map: Map<Tensor, Tensor>) => [...map.keys(), ...map.values()],
    ],
    ['a Set', () => new Set([one(), one()]), (set: Set<Tensor>) => [...set]],
    [
      'all of them nested',
      () => ({ a: [new Map([['b', new Set([one()])]])] }),
      ({ a }: { a: Map<string, Set<Tensor>>[] }) => [...(a[0]?.get('b') ?? [])],
    ],
    [
      'one tensor twice',
      () => {
        const x = one();
        return [x, x];
      },
      ([x]: [Tensor]) => [x],
    ],
  ])('lets the tensors of %s out', (_, make, tensorsOf) => {
    torch.scope(() => {
      const tensors = tensorsOf(
        torch.scope(() => {
          one();
          return make();
        }) as never,
      );
      expect(tensors.map((tensor) => tensor.item())).toEqual(tensors.map(() => 1));
      expect(live() - before).toBe(tensors.length);
    });
  });

  it('survives a cycle in what is returned', () => {
    torch.scope(() => {
      const tree = torch.scope(() => {
        const node: { x: Tensor; self?: unknown } = { x: one() };
        node.self = [node, new Map([[node, node]])];
        return node;
      });
      expect(tree.x.item()).toBe(1);
    });
  });

  it('survives a tree of any depth', () => {
    torch.scope(() => {
      const tree = torch.scope(() => {
        let tree: unknown = one();
        for (let i = 0; i < 50_000; i++) tree = i % 2 === 0 ? [tree] : { tree };
        return tree;
      });
      expect(live() - before).toBe(1);
      let leaf = tree;
      while (!(leaf instanceof Tensor)) leaf = Array.isArray(leaf) ? leaf[0] : (leaf as { tree: unknown }).tree;
      expect(leaf.item()).toBe(1);
    });
  });

  it('does not look inside instances of classes: what they hold is freed', () => {
    class Holder {
      readonly x = one();
    }
    expect(torch.scope(() => new Holder()).x.isDisposed).toBe(true);
  });

  it('frees when the function throws, and passes the error on', () => {
    const error = new RangeError('mine');
    expect(() =>
      torch.scope(() => {
        torch.scope(() => {
          one();
          throw error;
        });
      }),
    ).toThrow(error);
  });

  it('leaves the scope around it as it was, whatever was thrown', () => {
    torch.scope(() => {
      const outer = one();
      expect(() =>
        torch.scope(() => {
          throw new Error('inside');
        }),
      ).toThrow('inside');
      expect(outer.isDisposed).toBe(false);
      one();
      expect(live() - before).toBe(2);
    });
  });

  it('refuses a function that returns a Promise, and frees what it had made', async () => {
    const error = errorOf(() => torch.scope(async () => one()));
    expect(error.code).toBe('BAD_ARGUMENT');
    expect(error.remedy).toBe('Use `await torch.scopeAsync(async () => ...)`.');
    expect(live()).toBe(before);
  });

  it('swallows the later failure of a Promise that it refused', async () => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    errorOf(() =>
      torch.scope(async () => {
        const x = one();
        await sleep(1);
        x.item(); // freed by now
      }),
    );
    await sleep(20);
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });

  it('does not free what backward still needs', () => {
    torch.scope(() => {
      const x = torch.ones([2], { requiresGrad: true });
      const loss = torch.scope(() => x.mul(3).pow(2).sum());
      loss.backward();
      expect(x.grad?.tolist()).toEqual([18, 18]);
    });
  });

  it('does not free the memory of a view that it lets out', () => {
    torch.scope(() => {
      const view = torch.scope(() => torch.arange(4).narrow(0, 1, 2));
      expect(view.tolist()).toEqual([1, 2]);
    });
  });

  it('frees more tensors than fit in one batch', () => {
    torch.scope(() => {
      for (let i = 0; i < 2500; i++) one();
      expect(live() - before).toBe(2500);
    });
  });

  it('does not hold on to tensors that were disposed inside', () => {
    torch.scope(() => {
      const x = one();
      for (let i = 0; i < 10_000; i++) x.add(1).dispose();
      expect(live() - before).toBe(1);
      const { owned } = x.owner as unknown as { owned: unknown[] };
      expect(owned.length).toBeLessThan(1000);
    });
  });
});

describe('using scope = torch.scope()', () => {
  it('frees at the end of the block', () => {
    {
      using _ = torch.scope();
      one();
      expect(live() - before).toBe(1);
    }
    expect(live()).toBe(before);
  });

  it('frees when the block is left by an exception, with the blocks inside it', () => {
    const fails = (): void => {
      using _outer = torch.scope();
      one();
      using _inner = torch.scope();
      one();
      throw new Error('inside');
    };
    expect(fails).toThrow('inside');
  });

  it('nests, and tensors go to the innermost', () => {
    using _outer = torch.scope();
    const kept = one();
    {
      using _inner = torch.scope();
      one();
    }
    expect(kept.isDisposed).toBe(false);
    expect(live() - before).toBe(1);
  });

  it('closes once; closing again is harmless', () => {
    const scope = torch.scope();
    one();
    scope[Symbol.dispose]();
    expect(scope.isOpen).toBe(false);
    scope[Symbol.dispose]();
  });

  it('closing it early ends it: what is made afterwards is not its business', () => {
    torch.scope(() => {
      {
        using scope = torch.scope();
        one();
        scope.close();
        expect(live()).toBe(before);
        one();
      }
      one();
      expect(live() - before).toBe(2);
    });
    expect(live()).toBe(before);
  });

  it('closed before one that was opened inside it, closes that one too', () => {
    torch.scope(() => {
      const outer = torch.scope();
      const inner = torch.scope();
      one();
      outer[Symbol.dispose]();
      expect([outer.isOpen, inner.isOpen]).toEqual([false, false]);
      inner[Symbol.dispose]();
      one();
      expect(live() - before).toBe(1);
    });
  });

  it('forgotten inside a function scope, closes with that', () => {
    torch.scope(() => {
      torch.scope();
      one();
    });
    expect(live()).toBe(before);
  });

  it('warns when it is left open across an await, and takes in nothing more', async () => {
    const warnings: string[] = [];
    const listen = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', listen);
    {
      using _ = torch.scope();
      one();
      await sleep(1);
      using stranger = one();
      expect(stranger.owner).toBeNull();
    }
    process.off('warning', listen);
    expect(warnings.filter((text) => text.includes('across an await'))).toHaveLength(1);
  });
});

describe('scopeAsync', () => {
  it('frees what was made before and after each await, and lets the result out', async () => {
    const result = await torch.scopeAsync(async () => {
      one();
      await sleep(1);
      one();
      await Promise.resolve();
      return { sum: one().add(1) };
    });
    expect(live() - before).toBe(1);
    expect(result.sum.item()).toBe(2);
    result.sum.dispose();
  });

  it('follows the function into what it calls', async () => {
    const helper = async (): Promise<Tensor> => {
      await sleep(1);
      return one();
    };
    await torch.scopeAsync(async () => {
      await Promise.all([helper(), helper()]);
      expect(live() - before).toBe(2);
    });
  });

  it('two at once do not free each other', async () => {
    const steps: string[] = [];
    const job = (name: string, waits: number[]): Promise<number> =>
      torch.scopeAsync(async () => {
        const made: Tensor[] = [];
        for (const wait of waits) {
          made.push(one());
          await sleep(wait);
          steps.push(name);
          expect(made.every((tensor) => !tensor.isDisposed)).toBe(true);
        }
        return made.length;
      });
    const [a, b] = await Promise.all([job('a', [1, 9, 1, 9]), job('b', [5, 5])]);
    expect([a, b]).toEqual([4, 2]);
    expect(new Set(steps).size).toBe(2);
  });

  it('a hundred at once, each ending at its own time', async () => {
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        torch.scopeAsync(async () => {
          const x = torch.full([1], i);
          await sleep(i % 7);
          const y = torch.scope(() => x.mul(2).add(1));
          await sleep(i % 5);
          return y.item();
        }),
      ),
    );
    expect(results).toEqual(Array.from({ length: 100 }, (_, i) => 2 * i + 1));
  });

  it('nests; what the inner one returns belongs to the outer one', async () => {
    await torch.scopeAsync(async () => {
      const x = await torch.scopeAsync(async () => {
        await sleep(1);
        one();
        return one();
      });
      expect(x.isDisposed).toBe(false);
      expect(live() - before).toBe(1);
    });
  });

  it('holds synchronous scopes inside, and their exceptions', async () => {
    await torch.scopeAsync(async () => {
      await sleep(1);
      expect(() =>
        torch.scope(() => {
          one();
          throw new Error('inside');
        }),
      ).toThrow('inside');
      const kept = torch.scope(() => one());
      await sleep(1);
      expect(kept.isDisposed).toBe(false);
    });
  });

  it('is not hidden by a synchronous scope that is open around its start', async () => {
    const [promise, mine] = torch.scope(() => {
      const mine = one();
      const promise = torch.scopeAsync(async () => {
        const x = one();
        await sleep(1);
        return x.isDisposed;
      });
      return [promise, mine] as const;
    });
    expect(live() - before).toBe(2);
    expect(await promise).toBe(false);
    mine.dispose();
  });

  it('outlives a synchronous scope around it: its result then goes to the next open scope further out', async () => {
    await torch.scopeAsync(async () => {
      let promise: Promise<Tensor> | undefined;
      torch.scope(() => {
        promise = torch.scopeAsync(async () => {
          await sleep(1);
          return one();
        });
      });
      const x = await (promise as Promise<Tensor>);
      expect(x.owner?.isOpen).toBe(true);
    });
  });

  it('frees when the function rejects or throws at once', async () => {
    await expect(
      torch.scopeAsync(async () => {
        one();
        await sleep(1);
        one();
        throw new Error('later');
      }),
    ).rejects.toThrow('later');
    await expect(
      torch.scopeAsync(() => {
        one();
        throw new Error('at once');
      }),
    ).rejects.toThrow('at once');
  });

  it('leaves no scope behind for those who run outside it', async () => {
    const inside = torch.scopeAsync(() => sleep(5));
    using outside = one();
    expect(outside.owner).toBeNull();
    await inside;
  });
});
