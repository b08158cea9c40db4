import { beforeEach, describe, expect, it } from 'vitest';
import '../../tests/support/allClose.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import { CheckpointTape } from './checkpoint.ts';
import { Dropout } from './layers/dropout.ts';
import { Embedding } from './layers/embedding.ts';
import { Linear } from './layers/linear.ts';
import { LayerNorm } from './layers/norm.ts';
import { Module } from './module.ts';

class Block extends Module {
  readonly norm = new LayerNorm(8);
  readonly linear = new Linear(8, 8);
  readonly dropout = new Dropout(0.3);

  forward(x: Tensor): Tensor {
    return x.add(this.dropout.forward(this.linear.forward(this.norm.forward(x)).gelu())); // [B, T, D]
  }
}

class Network extends Module {
  readonly embed = new Embedding(16, 8);
  readonly blocks = [new Block(), new Block(), new Block()];
  readonly head = new Linear(8, 16);
}

type Run = CheckpointTape['run'];
/** The same computation with and without checkpoints: `run` either records on the tape or simply calls. */
const plainly = ((fn: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]) => fn(...inputs)) as unknown as Run;
const onTape = (tape: CheckpointTape): Run => tape.run.bind(tape) as Run;

/** The gradient of every parameter after a pass, by name. */
function gradients(model: Module, pass: () => void): Map<string, Tensor | null> {
  model.zeroGrad();
  torch.manualSeed(5);
  torch.scope(pass);
  return new Map([...model.namedParameters()].map(([name, { grad }]) => [name, grad]));
}

/** Where one value feeds several places, its gradients are added in another order than in the plain run. */
const otherOrder = { rtol: 1e-5, atol: 1e-6 };

/** Compares a loss with checkpoints to the same without: bit for bit, unless a tolerance is given. */
function expectSame(
  model: Module,
  loss: (run: Run) => Tensor,
  { retainGraph = false, tolerance = { rtol: 0, atol: 0 } } = {},
): void {
  const plain = gradients(model, () => loss(plainly).backward());
  const checkpointed = gradients(model, () => {
    using tape = new CheckpointTape();
    tape.backward(loss(onTape(tape)), { retainGraph });
  });
  for (const [name, expected] of plain) {
    const received = checkpointed.get(name);
    if (expected === null) expect(received, name).toBeNull();
    else expect(received, name).toBeCloseToTensor(expected, tolerance);
  }
}

const ids = torch
  .tensor(
    [
      [1, 5, 2],
      [7, 7, 0],
    ],
    { dtype: 'int64' },
  )
  .keep(); // [B, T]

describe('CheckpointTape: gradients', () => {
  let model: Network;
  beforeEach(() => {
    torch.manualSeed(0);
    model = new Network();
  });

  const lossOf = (h: Tensor): Tensor => torch.crossEntropyLoss(model.head.forward(h).flatten(0, 1), ids.flatten());

  it('are those of the plain run, dropout included', () => {
    expectSame(model, (run) => {
      let h = model.embed.forward(ids); // [B, T, D]
      for (const block of model.blocks) h = run((x) => block.forward(x), h); // [B, T, D]
      return lossOf(h);
    });
  });

  it('reach through what stands between two segments', () => {
    expectSame(model, (run) => {
      const h = run((x) => model.blocks[0]!.forward(x), model.embed.forward(ids)); // [B, T, D]
      const between = model.blocks[1]!.forward(h).tanh(); // [B, T, D]
      return lossOf(run((x) => model.blocks[2]!.forward(x), between));
    });
  });

  it('add up where one value feeds several segments and the loss', () => {
    const loss = (run: Run): Tensor => {
      const start = run((ids) => model.embed.forward(ids), ids); // [B, T, D]
      const left = run((x) => model.blocks[0]!.forward(x), start); // [B, T, D]
      const right = run((x, y) => model.blocks[1]!.forward(x.mul(y)), start, left); // [B, T, D]
      return lossOf(right.add(left).add(start));
    };
    expectSame(model, loss, { tolerance: otherOrder });
  });

  it('add up behind a value with a graph that feeds several segments', () => {
    const loss = (run: Run): Tensor => {
      const start = model.embed.forward(ids).tanh(); // [B, T, D]
      const left = run((x) => model.blocks[0]!.forward(x), start); // [B, T, D]
      return lossOf(run((x, y) => model.blocks[1]!.forward(x.add(y)), start, left));
    };
    expectSame(model, loss, { tolerance: otherOrder });
  });

  it('take retainGraph where the loss reads such a value besides, and never go wrong in silence', () => {
    const loss = (run: Run): Tensor => {
      const start = model.embed.forward(ids).tanh(); // [B, T, D]
      return lossOf(run((x) => model.blocks[0]!.forward(x), start)).add(start.pow(2).mean());
    };
    expect(() => expectSame(model, loss)).toThrow(/retainGraph: true/);
    expectSame(model, loss, { retainGraph: true, tolerance: otherOrder });
  });

  it('work with several results, some unused, some integers', () => {
    expectSame(model, (run) => {
      const [doubled, tokens, unused] = run(
        (ids, h) => [model.blocks[0]!.forward(h), ids.add(1), model.blocks[1]!.forward(h)] as const,
        ids,
        model.embed.forward(ids),
      );
      expect(tokens.dtype).toBe('int64');
      expect(unused.requiresGrad || !torch.isGradEnabled()).toBe(true);
      return lossOf(doubled.add(model.embed.forward(tokens)));
    });
  });

  it('skip segments that the loss does not depend on', () => {
    expectSame(model, (run) => {
      const h = model.embed.forward(ids); // [B, T, D]
      run((x) => model.blocks[0]!.forward(x), h.detach());
      return lossOf(run((x) => model.blocks[1]!.forward(x), h));
    });
  });

  it('reach a leaf that is an input', () => {
    const x = torch.ones([2], { requiresGrad: true });
    const tape = new CheckpointTape();
    tape.backward(tape.run((x) => x.pow(3), x).sum());
    expect(x.grad?.tolist()).toEqual([3, 3]);
  });

  it('may be nested: the inner segment is part of the outer one', () => {
    expectSame(model, (run) => {
      const outer = run((h) => run((x) => model.blocks[0]!.forward(x), h), model.embed.forward(ids)); // [B, T, D]
      return lossOf(outer);
    });
  });

  it('recompute under the autocast of the first run', () => {
    const dtypes: string[] = [];
    const x = torch.ones([2, 8]);
    using tape = new CheckpointTape();
    const y = torch.autocast({ enabled: false }, () =>
      torch.autocast({ dtype: 'bfloat16' }, () =>
        tape.run((x) => {
          const y = model.blocks[0]!.linear.forward(x); // [2, 8]
          dtypes.push(y.dtype);
          return y.float();
        }, x),
      ),
    );
    tape.backward(y.sum());
    expect(dtypes).toEqual(['bfloat16', 'bfloat16']);
  });
});

describe('CheckpointTape: the world around', () => {
  it('leaves the random generators where the plain run would', () => {
    const dropout = new Dropout(0.5);
    const draw = (backward: boolean): number => {
      torch.manualSeed(1);
      using tape = new CheckpointTape();
      const y = tape.run((x) => dropout.forward(x), torch.ones([8], { requiresGrad: true }));
      if (backward) tape.backward(y.sum());
      return torch.rand([]).item();
    };
    expect(draw(true)).toBe(draw(false));
  });

  it('only calls the function while gradients are off', () => {
    const tape = new CheckpointTape();
    const x = torch.ones([2], { requiresGrad: true });
    const y = torch.noGrad(() => tape.run((x) => x.mul(2), x));
    expect(y.requiresGrad).toBe(false);
    expect(y.isLeaf).toBe(true);
  });

  it('notices a function that does something else the second time', () => {
    let size = 2;
    using tape = new CheckpointTape();
    const y = tape.run((x) => x.expand([size++, 2]), torch.ones([2], { requiresGrad: true }));
    expect(() => tape.backward(y.sum())).toThrow(/ran again[\s\S]*\[2,2\][\s\S]*\[3,2\]/);
  });
});

describe('CheckpointTape: memory', () => {
  it('survives scopes that end before backward, and leaves nothing behind', () => {
    const model = new Block();
    const before = torch.memory().tensors;
    torch.scope(() => {
      using tape = new CheckpointTape();
      const h = torch.scope(() => {
        const x = torch.randn([1, 2, 8]); // [B, T, D]
        const h = torch.scope(() => tape.run((x) => model.forward(x), x)); // [B, T, D]
        return tape.run((h) => model.forward(h), h); // [B, T, D]
      });
      tape.backward(h.sum());
      // The result is still the caller's.
      expect(h.shape).toEqual([1, 2, 8]);
    });
    model.zeroGrad();
    expect(torch.memory().tensors).toBe(before);
  });

  it('frees everything when a segment throws, when replay throws, and when backward never comes', () => {
    const x = torch.ones([4], { requiresGrad: true });
    const attempt = (failAt: number): void => {
      torch.scope(() => {
        using tape = new CheckpointTape();
        let calls = 0;
        const fragile = (x: Tensor): Tensor => {
          calls += 1;
          if (calls === failAt) throw new Error(`call ${failAt}`);
          return x.mul(2);
        };
        const y = tape.run(fragile, tape.run(fragile, x));
        if (failAt > 0) tape.backward(y.sum());
      });
    };
    const before = torch.memory().tensors;
    for (const failAt of [1, 2, 3, 4]) expect(() => attempt(failAt)).toThrow(`call ${failAt}`);
    attempt(0);
    x.grad = null;
    expect(torch.memory().tensors).toBe(before);
  });

  // What the graph holds shows in the resident set only, and only Linux's malloc gives memory back the moment it is freed.
  it.skipIf(process.platform !== 'linux')('holds the boundaries and one segment, not every activation', () => {
    const size = 9 << 20; // 36 MiB a tensor: above malloc's largest mmap threshold
    const peakOf = (pass: (run: (fn: (x: Tensor) => Tensor, x: Tensor) => Tensor) => void): number => {
      const start = process.memoryUsage().rss;
      let peak = 0;
      pass((fn, x) => {
        const y = fn(x);
        peak = Math.max(peak, process.memoryUsage().rss - start);
        return y;
      });
      return peak / (4 * size);
    };
    // Each product saves its input: four tensors a segment.
    const segment = (x: Tensor): Tensor => [1, 2, 3, 4].reduce((x) => x.mul(x), x); // [N]
    const run = (checkpointed: boolean) =>
      peakOf((measure) =>
        torch.scope(() => {
          using tape = new CheckpointTape();
          let h = torch.zeros([size], { requiresGrad: true }); // [N]
          for (let i = 0; i < 3; i++) {
            const block = (x: Tensor) => measure((x) => torch.scope(() => segment(x)), x);
            h = checkpointed ? tape.run(block, h) : block(h); // [N]
          }
          tape.backward(h.sum());
        }),
      );
    const [plain, checkpointed] = [run(false), run(true)];
    // 1 + 3 · 4 activations against 1 + 3 boundaries, 4 activations and a gradient.
    expect(plain).toBeGreaterThan(12);
    expect(checkpointed).toBeLessThan(10);
  });
});
