import { describe, expect, it } from 'vitest';
import { BlockPool } from './blocks.ts';
import { type Job, type JobShape, type Limits, Scheduler } from './scheduler.ts';

const LIMITS: Limits = { blocks: 10, blockSize: 4, rows: 3, prefillTokens: 16 };
const job = (promptLength: number, maxTokens: number, n = 1): JobShape => ({ promptLength, maxTokens, n });

/** Numbers that a fake model fills the blocks with: what was written where, by the rules that the engine follows. */
class FakeModel {
  readonly #cells: (string | undefined)[];
  readonly #limits: Limits;
  readonly scheduler: Scheduler<string>;
  readonly made = new Map<string, number>();
  readonly finished: string[] = [];
  peakRows = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#cells = new Array(limits.blocks * limits.blockSize);
    this.scheduler = new Scheduler(limits);
  }

  #cell(blocks: readonly number[], position: number): number {
    const { blockSize } = this.#limits;
    const block = blocks[Math.floor(position / blockSize)];
    expect(block).toBeDefined();
    return block! * blockSize + (position % blockSize);
  }

  /** One step; `lengthOf` says after how many tokens a completion ends. */
  step(lengthOf: (name: string) => number = () => Number.POSITIVE_INFINITY): void {
    const { prefill, copies, starts, decode } = this.scheduler.next();
    for (const { job, blocks } of prefill) {
      for (let t = 0; t < job.shape.promptLength; t++) this.#cells[this.#cell(blocks, t)] = `${job.owner} ${t}`;
    }
    for (const { from, to } of copies) {
      for (let i = 0; i < this.#limits.blockSize; i++) {
        this.#cells[to * this.#limits.blockSize + i] = this.#cells[from * this.#limits.blockSize + i];
      }
    }
    for (const row of decode) {
      const name = `${row.job.owner}#${row.index}`;
      this.#cells[this.#cell(row.blocks, row.length)] = `${name} ${row.length}`;
      row.length++;
    }
    this.peakRows = Math.max(this.peakRows, this.scheduler.running.length);
    for (const row of starts.length > 0 ? starts : decode) {
      const { owner, shape } = row.job;
      const name = `${owner}#${row.index}`;
      // All that it looks back at is its own, or its prompt's.
      for (let t = 0; t < row.length; t++) {
        const expected = t < shape.promptLength ? `${owner} ${t}` : `${name} ${t}`;
        expect(this.#cells[this.#cell(row.blocks, t)]).toBe(expected);
      }
      const count = (this.made.get(name) ?? 0) + 1;
      this.made.set(name, count);
      if (count < Math.min(shape.maxTokens, lengthOf(name))) continue;
      this.finished.push(name);
      this.scheduler.finish(row);
    }
  }

  runAll(lengthOf?: (name: string) => number): void {
    for (let steps = 0; !this.scheduler.isIdle; steps++) {
      expect(steps).toBeLessThan(10_000);
      this.step(lengthOf);
    }
  }
}

describe('Scheduler', () => {
  it('gives a waiting prompt the place of a finished completion in the next step', () => {
    const model = new FakeModel(LIMITS);
    for (const name of ['a', 'b', 'c', 'd']) model.scheduler.add(job(4, 8), name);
    model.step();
    expect(model.scheduler.running.map(({ job }) => job.owner)).toEqual(['a', 'b', 'c']);
    model.step((name) => (name === 'b#0' ? 2 : 8));
    model.step();
    expect(model.scheduler.running.map(({ job }) => job.owner)).toEqual(['a', 'c', 'd']);
    expect(model.made.get('d#0')).toBe(1);
  });

  it('computes prompts together up to the limit, a longer one alone', () => {
    const { scheduler } = new FakeModel({ ...LIMITS, blocks: 100, rows: 10 });
    for (const length of [30, 10, 6, 1]) scheduler.add(job(length, 2), String(length));
    const prefilled = () => scheduler.next().prefill.map(({ job }) => job.owner);
    expect(prefilled()).toEqual(['30']);
    expect(prefilled()).toEqual(['10', '6']);
    expect(prefilled()).toEqual(['1']);
  });

  it('keeps a prompt once for all of its completions', () => {
    const model = new FakeModel({ ...LIMITS, rows: 8 });
    // 2 full blocks shared, and one for each of the four: 6 of 10. Without sharing it would be 12.
    model.scheduler.add(job(8, 4, 4), 'a');
    model.step();
    expect(model.scheduler.running).toHaveLength(4);
    expect(model.scheduler.freeBlocks).toBe(4);
    model.runAll();
    expect(model.scheduler.freeBlocks).toBe(10);
  });

  it('starts completions one after the other where they do not fit at once', () => {
    const model = new FakeModel({ ...LIMITS, blocks: 5 });
    model.scheduler.add(job(6, 7, 5), 'a');
    model.scheduler.add(job(1, 1), 'b');
    model.runAll();
    expect(model.finished).toEqual(['a#0', 'a#1', 'a#2', 'a#3', 'a#4', 'b#0']);
    expect(model.scheduler.freeBlocks).toBe(5);
  });

  it('takes back a job wherever it is', () => {
    const { scheduler } = new FakeModel(LIMITS);
    const [running, partial, waiting] = [job(4, 8), job(6, 8, 4), job(1, 1)].map((shape, i) =>
      scheduler.add(shape, String(i)),
    );
    scheduler.next();
    expect(scheduler.cancel(waiting as Job<string>)).toEqual([]);
    expect(scheduler.cancel(partial as Job<string>)).toHaveLength(1);
    expect(scheduler.cancel(running as Job<string>)).toHaveLength(1);
    expect(scheduler.cancel(running as Job<string>)).toEqual([]);
    expect(scheduler.isIdle).toBe(true);
    expect(scheduler.freeBlocks).toBe(10);
  });

  it('refuses what could not run even alone', () => {
    const { scheduler } = new FakeModel(LIMITS);
    expect(() => scheduler.add(job(33, 9), 'a')).toThrow(/at most 40 positions/);
    expect(() => scheduler.add(job(32, 9), 'a')).not.toThrow();
  });

  it('holds its promises on random loads', () => {
    let state = 1;
    const random = (end: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * end);
    };
    for (let round = 0; round < 200; round++) {
      const limits = { blocks: 6 + random(20), blockSize: 4, rows: 1 + random(6), prefillTokens: random(20) };
      const model = new FakeModel(limits);
      let expected = 0;
      const jobs: Job<string>[] = [];
      for (let i = 0; i < 8; i++) {
        const shape = job(1 + random(12), 1 + random(9), 1 + random(5));
        jobs.push(model.scheduler.add(shape, `${i}`));
        expected += shape.n;
        for (let steps = random(3); steps > 0; steps--) model.step((name) => 1 + (name.length % 5));
      }
      const cancelled = jobs[random(8)]!;
      const before = [...model.made.keys()].filter((name) => name.startsWith(`${cancelled.owner}#`));
      if (round % 2 === 0) model.scheduler.cancel(cancelled);
      model.runAll();
      if (round % 2 === 0) expected -= cancelled.shape.n - before.length;
      expect(model.made.size).toBe(expected);
      expect(model.peakRows).toBeLessThanOrEqual(limits.rows);
      expect(model.scheduler.freeBlocks).toBe(limits.blocks);
    }
  });
});

describe('BlockPool', () => {
  it('frees a block with its last holder', () => {
    const pool = new BlockPool(3);
    const blocks = pool.take(2);
    pool.share(blocks);
    pool.release(blocks);
    expect(pool.free).toBe(1);
    pool.release(blocks);
    expect(pool.free).toBe(3);
    expect(() => pool.release(blocks)).toThrow(/twice/);
    expect(() => pool.take(4)).toThrow(/3 free/);
  });
});
