/**
 * Who computes next: continuous batching as pure logic, without tensors.
 *
 * A job is a prompt with n completions. When a job begins, its prompt is computed once into blocks of its own. A completion
 * starts from them: it shares the full ones and gets a copy of the last, half-full one (the last to start takes the original).
 * All blocks that a completion may ever need are taken when it starts, so that nothing that runs is ever evicted; a completion
 * that finishes frees them, and the next step starts whoever waits.
 */
import { InvariantError, NudgeError } from '../errors.ts';
import { BlockPool } from './blocks.ts';

export interface JobShape {
  readonly promptLength: number;
  readonly n: number;
  readonly maxTokens: number;
}

export interface Limits {
  /** Blocks of the cache. */
  readonly blocks: number;
  /** Positions in a block. */
  readonly blockSize: number;
  /** Completions that run at the same time. */
  readonly rows: number;
  /** Prompt tokens that are computed in one pass; a longer prompt has a pass of its own. */
  readonly prefillTokens: number;
}

/** A block whose content a completion needs in a block of its own. */
export interface BlockCopy {
  readonly from: number;
  readonly to: number;
}

/** A completion that runs. */
export class Row<T> {
  readonly job: Job<T>;
  readonly index: number;
  /** All of its blocks, in the order of positions. */
  readonly blocks: readonly number[];
  /** Positions whose keys and values are in the cache. */
  length: number;

  constructor(job: Job<T>, index: number, blocks: readonly number[]) {
    this.job = job;
    this.index = index;
    this.blocks = blocks;
    this.length = job.shape.promptLength;
  }
}

/** A request on its way. */
export class Job<T> {
  readonly shape: JobShape;
  readonly owner: T;
  /** The prompt's blocks, while completions have yet to start from them. */
  blocks: readonly number[] = [];
  started = 0;
  readonly running = new Set<Row<T>>();
  cancelled = false;

  constructor(shape: JobShape, owner: T) {
    this.shape = shape;
    this.owner = owner;
  }
}

export interface Prompt<T> {
  readonly job: Job<T>;
  readonly blocks: readonly number[];
}

export interface Step<T> {
  /** Prompts to compute, together, before the copies, and where to. */
  readonly prefill: readonly Prompt<T>[];
  readonly copies: readonly BlockCopy[];
  /** Completions that start from their prompt: they get their first token. */
  readonly starts: readonly Row<T>[];
  /** Completions to compute one more position of. Empty where there are starts: those come first. */
  readonly decode: readonly Row<T>[];
}

export class Scheduler<T> {
  readonly limits: Limits;
  readonly #pool: BlockPool;
  readonly #waiting: Job<T>[] = [];
  /** Computed, but not all completions have started. */
  #partial: Job<T> | null = null;
  #running: Row<T>[] = [];

  constructor(limits: Limits) {
    this.limits = limits;
    this.#pool = new BlockPool(limits.blocks);
  }

  get freeBlocks(): number {
    return this.#pool.free;
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0 && this.#partial === null && this.#running.length === 0;
  }

  get running(): readonly Row<T>[] {
    return this.#running;
  }

  /** @throws NudgeError BAD_ARGUMENT when the job could not run even alone. */
  add(shape: JobShape, owner: T): Job<T> {
    // While its first completion runs, the others' share of the prompt is held too: the half-full block.
    const needed = this.#blocksOf(shape) + (shape.n > 1 ? 1 : 0);
    if (needed > this.limits.blocks) {
      const { blockSize, blocks } = this.limits;
      throw new NudgeError('BAD_ARGUMENT', 'The request is longer than the cache.', {
        path: 'promptIds, maxTokens',
        expected: `at most ${blocks * blockSize} positions`,
        received: `a prompt of ${shape.promptLength} and up to ${shape.maxTokens} new tokens`,
        remedy: 'Ask for fewer tokens, or give the engine a larger cacheBytes.',
      });
    }
    const job = new Job(shape, owner);
    this.#waiting.push(job);
    return job;
  }

  /** What to compute now. The caller reports rows that have finished with `finish`. */
  next(): Step<T> {
    const copies: BlockCopy[] = [];
    const starts: Row<T>[] = [];
    const prefill: Prompt<T>[] = [];
    const startAll = (job: Job<T>): boolean => {
      while (job.started < job.shape.n && this.#canStart(job)) starts.push(this.#start(job, copies));
      return job.started === job.shape.n;
    };
    if (this.#partial !== null && startAll(this.#partial)) this.#partial = null;
    for (let tokens = 0; this.#partial === null && this.#waiting.length > 0; ) {
      const job = this.#waiting[0]!;
      tokens += job.shape.promptLength;
      if (prefill.length > 0 && tokens > this.limits.prefillTokens) break;
      if (!this.#canBegin(job)) break;
      this.#waiting.shift();
      job.blocks = this.#pool.take(this.#promptBlocks(job.shape));
      prefill.push({ job, blocks: job.blocks });
      if (!startAll(job)) this.#partial = job;
    }
    return { prefill, copies, starts, decode: starts.length > 0 ? [] : [...this.#running] };
  }

  /** A completion is done: its blocks are free for the next step. */
  finish(row: Row<T>): void {
    if (!row.job.running.delete(row)) throw new InvariantError('a completion finished twice');
    this.#running = this.#running.filter((other) => other !== row);
    this.#pool.release(row.blocks);
  }

  /** Takes a job back, running or not. Returns the completions that had started. */
  cancel(job: Job<T>): Row<T>[] {
    if (job.cancelled) return [];
    job.cancelled = true;
    const at = this.#waiting.indexOf(job);
    if (at >= 0) this.#waiting.splice(at, 1);
    if (this.#partial === job) this.#partial = null;
    const rows = [...job.running];
    for (const row of rows) this.finish(row);
    this.#pool.release(job.blocks);
    job.blocks = [];
    return rows;
  }

  #promptBlocks({ promptLength }: JobShape): number {
    return Math.ceil(promptLength / this.limits.blockSize);
  }

  /** Blocks of one completion, its prompt included. The last token is never looked back at. */
  #blocksOf({ promptLength, maxTokens }: JobShape): number {
    return Math.ceil((promptLength + maxTokens - 1) / this.limits.blockSize);
  }

  /** Blocks that a completion takes when it starts. */
  #ownBlocks(job: Job<T>): number {
    const full = Math.floor(job.shape.promptLength / this.limits.blockSize);
    const takesOver = job.started === job.shape.n - 1 && job.blocks.length > full ? 1 : 0;
    return this.#blocksOf(job.shape) - full - takesOver;
  }

  #canStart(job: Job<T>): boolean {
    return this.#running.length < this.limits.rows && this.#ownBlocks(job) <= this.#pool.free;
  }

  #canBegin(job: Job<T>): boolean {
    const { shape } = job;
    const prompt = this.#promptBlocks(shape);
    const full = Math.floor(shape.promptLength / this.limits.blockSize);
    const takesOver = shape.n === 1 && prompt > full ? 1 : 0;
    const first = this.#blocksOf(shape) - full - takesOver;
    return this.#running.length < this.limits.rows && prompt + first <= this.#pool.free;
  }

  #start(job: Job<T>, copies: BlockCopy[]): Row<T> {
    const full = Math.floor(job.shape.promptLength / this.limits.blockSize);
    const isLast = job.started === job.shape.n - 1;
    const shared = job.blocks.slice(0, full);
    const [half] = job.blocks.slice(full);
    const fresh = this.#pool.take(this.#ownBlocks(job));
    const row = new Row(job, job.started++, [...shared, ...(isLast && half !== undefined ? [half] : []), ...fresh]);
    if (isLast) job.blocks = [];
    else {
      this.#pool.share(shared);
      if (half !== undefined) copies.push({ from: half, to: row.blocks[full]! });
    }
    job.running.add(row);
    this.#running.push(row);
    return row;
  }
}
