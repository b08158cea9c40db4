/** Threads: tensors belong to the one that made them, and die with it; a ticket hands one over. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { torch } from '../src/tensor/index.ts';
import type { Deeds } from './programs/partner.ts';
import { errorOf } from './support/errors.ts';
import { runProgram } from './support/program.ts';

const program = (name: string) => new URL(`./programs/${name}`, import.meta.url);
const live = (): number => torch.memory().tensors;

/** Another thread that does what it is asked. */
class Partner {
  private readonly worker = new Worker(program('partner.ts'), { execArgv: [] });

  private last: Promise<unknown> = Promise.resolve();

  /** One question at a time; the answer to the next is the next message. */
  ask<D extends keyof Deeds>(deed: D, ...argument: Parameters<Deeds[D]>): Promise<ReturnType<Deeds[D]>> {
    const answer = this.last.then(async () => {
      this.worker.postMessage([deed, ...argument]);
      return (await once(this.worker, 'message'))[0];
    });
    this.last = answer;
    return answer;
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}

describe('a worker that is terminated', () => {
  it('24 times in the middle of its work, neither crashes the process nor leaves tensors behind', async () => {
    const outcome = await runProgram('terminations.ts', { args: ['12'] });
    expect(outcome).toMatchObject({ code: 0, signal: null, stderr: '' });
    const { before, after } = JSON.parse(outcome.stdout);
    expect(after).toEqual(before);
  });

  it('takes the tensors that it had adopted with it, and leaves those that it gave away', async () => {
    const before = live();
    const partner = new Partner();
    await partner.ask('hold', torch.ones([8]).release());
    const doubled = await partner.ask('double', torch.ones([8]).release());
    expect(live()).toBe(before + 2);
    await partner.end();
    expect(live()).toBe(before + 1);
    torch.adopt(doubled).dispose();
    expect(live()).toBe(before);
  });
});

describe('a worker that fails', () => {
  it('is an error event; its tensors are freed, and this thread goes on', async () => {
    const before = torch.memory();
    const worker = new Worker(program('failing.ts'), { execArgv: [], stderr: true });
    const error = await new Promise((resolve) => {
      let last: unknown;
      worker.on('error', (error) => {
        last = error;
      });
      worker.on('exit', () => resolve(last));
    });
    expect(error).toMatchObject({ code: 'OPERATOR_FAILED', message: expect.stringContaining('aten::add.Tensor') });
    expect(torch.memory()).toEqual(before);
    expect(torch.isGradEnabled()).toBe(true);
  });
});

describe('a process whose main thread leaves libtorch to workers', () => {
  it('starts and ends them one after another, failing and running out of heap, and may load it itself in the end', async () => {
    const outcome = await runProgram('only-workers.ts');
    expect(outcome).toMatchObject({ code: 0, signal: null });
    expect(JSON.parse(outcome.stdout)).toEqual({
      error: 'OPERATOR_FAILED',
      outOfMemory: 'ERR_WORKER_OUT_OF_MEMORY',
      memory: { tensors: 0, bytes: 0, loose: 0 },
      sum: 3,
    });
  });
});

describe('a process that ends while workers compute', () => {
  it.each([
    ['by process.exit, with the code that was asked for', 'exit', 7, /^$/],
    ['by an uncaught exception', 'throw', 1, /uncaught on purpose/],
    ['by an unhandled rejection', 'reject', 1, /unhandled on purpose/],
    ['by having nothing left to do', 'end', 0, /^$/],
  ])('%s', async (_, how, code, message) => {
    const outcome = await runProgram('ending.ts', { args: [how], timeout: 30_000 });
    expect(outcome).toMatchObject({ code, signal: null });
    expect(outcome.stderr).toMatch(message);
  });
});

describe('another thread', () => {
  const partner = new Partner();
  afterAll(() => partner.end());

  it('takes a tensor over and gives it back; nothing is copied', async () => {
    const x = torch.tensor([1, 2, 3]);
    using sameMemory = x.view([3]);
    const before = live();
    const ticket = x.release();
    expect(x.isDisposed).toBe(true);
    expect(live()).toBe(before);
    using back = torch.adopt(await partner.ask('double', ticket));
    expect(back.tolist()).toEqual([2, 4, 6]);
    expect(sameMemory.tolist()).toEqual([2, 4, 6]);
    back.fill_(0);
    expect(sameMemory.tolist()).toEqual([0, 0, 0]);
  });

  it('passes tensors round with others, each adding to it, and none is lost', async () => {
    const before = live();
    const others = [partner, new Partner()];
    const sums = await Promise.all(
      [1, 2].map(async (start) => {
        let ticket = torch.tensor([start]).release();
        for (let hop = 0; hop < 20; hop++) ticket = await (others[(start + hop) % 2] as Partner).ask('double', ticket);
        using back = torch.adopt(ticket);
        return back.item();
      }),
    );
    expect(sums).toEqual([2 ** 20, 2 ** 21]);
    await others[1]?.end();
    expect(live()).toBe(before);
  });

  it('takes the graph of a tensor along', async () => {
    using leaf = torch.ones([2], { requiresGrad: true });
    await partner.ask('backward', torch.scope(() => leaf.mul(3).sum()).release());
    using gradient = leaf.grad as NonNullable<typeof leaf.grad>;
    expect(gradient.tolist()).toEqual([3, 3]);
  });

  it('computes right while this one computes too', async () => {
    const theirs = partner.ask('compute', 300);
    let mine = 0;
    for (let i = 0; i < 300; i++) {
      mine += torch.scope(() => torch.full([4, 4], 2).permute([1, 0]).reshape([16]).sum([0]).item());
      if (i % 50 === 0) await new Promise(setImmediate);
    }
    expect(mine).toBe(300 * 32);
    expect(await theirs).toBe(300 * 12);
  });

  it('has threads and generators of its own', async () => {
    const threads = torch.getNumThreads();
    await partner.ask('setThreads', 2);
    expect((await partner.ask('state')).threads).toBe(2);
    expect(torch.getNumThreads()).toBe(threads);
    await partner.ask('setThreads', 1);
    using mine = torch.rand([4], { generator: new torch.Generator({ seed: 5 }) });
    expect(await partner.ask('random', 5)).toEqual(mine.tolist());
  });
});

describe('a ticket', () => {
  it('serves once', () => {
    const ticket = torch.ones([1]).release();
    using first = torch.adopt(ticket);
    expect(errorOf(() => torch.adopt(ticket)).code).toBe('BAD_ARGUMENT');
    expect(first.isDisposed).toBe(false);
  });

  it('serves once, in whichever thread came first', async () => {
    const partner = new Partner();
    const ticket = torch.ones([1]).release();
    await partner.ask('hold', ticket);
    expect(errorOf(() => torch.adopt(ticket)).code).toBe('BAD_ARGUMENT');
    expect((await partner.ask('state')).live).toBe(1);

    using mine = torch.ones([1]);
    expect(await partner.ask('adoptError', mine.handle)).toBe('BAD_ARGUMENT');
    expect(mine.isDisposed).toBe(false);
    await partner.end();
  });

  it.each([0, -1, 1, 12_345, 2 ** 53, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 'x', null, undefined, 5n, {}])(
    'is not any value: %s',
    (value) => {
      const before = live();
      expect(errorOf(() => torch.adopt(value as never)).code).toBe('BAD_ARGUMENT');
      torch.scope(() => {
        expect(errorOf(() => torch.adopt(value as never)).code).toBe('BAD_ARGUMENT');
      });
      expect(live()).toBe(before);
    },
  );

  it('is given out once, for a live tensor', () => {
    const x = torch.ones([1]);
    const ticket = x.release();
    expect(errorOf(() => x.release()).code).toBe('STALE_TENSOR');
    expect(errorOf(() => x.add(1)).code).toBe('STALE_TENSOR');
    x.dispose(); // has nothing to free any more
    torch.adopt(ticket).dispose();
  });

  it('outlives the scope in which the tensor was made', () => {
    const before = live();
    const ticket = torch.scope(() => torch.ones([1]).release());
    expect(live()).toBe(before + 1);
    torch.scope(() => expect(torch.adopt(ticket).item()).toBe(1));
    expect(live()).toBe(before);
  });
});
