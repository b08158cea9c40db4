/**
 * The in-process sampler: one model, one cache, all requests together.
 *
 * Each step computes the prompts that found room, or one more token of every completion that runs; between two steps the event
 * loop gets its turn, so that requests, cancellations and readers are served while it works. Who computes when is decided in
 * `scheduler.ts`. What a completion gets does not depend on what runs beside it: its draws are its own (`draws.ts`), and on a CPU
 * with kernels every row is computed in the same order of operations whatever the batch.
 */
import { NudgeError } from '../errors.ts';
import { kernels } from '../nn/index.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import { DecodeAttention, PrefillAttention } from './attention.ts';
import { BLOCK_SIZE, blockBytes, KvCache } from './cache.ts';
import { type Choosing, chooseTokens } from './choose.ts';
import { EventQueue } from './events.ts';
import type { LanguageModel } from './model.ts';
import { Output, type TextCodec } from './output.ts';
import {
  type Completion,
  DEFAULT_MAX_TOKENS,
  type GenerateEvent,
  type GenerateRequest,
  type ResolvedParameters,
  resolveParameters,
  type Sampler,
} from './request.ts';
import { type Job, type Prompt, type Row, Scheduler, type Step } from './scheduler.ts';

export interface EngineOptions {
  /** Needed for text: `prompt`, stop strings, completions' text. */
  tokenizer?: TextCodec;
  /** Tokens that end every completion, such as the tokenizer's end of text. */
  stopIds?: readonly number[];
  /** Memory for keys and values. Default 1 GiB, or less where the model's longest sequences in all rows need less. */
  cacheBytes?: number;
  /** Completions that run at the same time; the others wait. Default 64. */
  maxRows?: number;
  /** Prompt tokens that are computed together, above all short prompts. Default: as many as are computed independently of each other. */
  prefillTokens?: number;
}

/** A request on its way. */
interface Active {
  readonly promptIds: readonly number[];
  readonly parameters: ResolvedParameters;
  readonly outputs: readonly Output[];
  readonly events: EventQueue<GenerateEvent>;
  /** The prompt's last hidden state, for completions that start later: [1, D]. */
  hidden: Tensor | null;
  /** Completions that have not finished. */
  left: number;
}

export class Engine implements Sampler {
  readonly #model: LanguageModel;
  readonly #tokenizer: TextCodec | null;
  readonly #stopIds: readonly number[];
  readonly #cache: KvCache;
  readonly #scheduler: Scheduler<Active>;
  readonly #jobs = new Set<Job<Active>>();
  #working = false;
  #closed = false;

  constructor(model: LanguageModel, options: EngineOptions = {}) {
    const { tokenizer = null, stopIds = [], cacheBytes, maxRows = 64, prefillTokens } = options;
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#stopIds = stopIds;
    const { layers, kvHeads, headDim, maxPositions } = model.config;
    const shape = { layers, kvHeads, headDim, dtype: model.dtype, device: model.device };
    const useful = maxRows * Math.ceil(maxPositions / BLOCK_SIZE);
    const affordable = Math.floor((cacheBytes ?? 2 ** 30) / blockBytes(shape));
    if (affordable < 1) throw tooSmall(blockBytes(shape), cacheBytes);
    const blocks = Math.min(useful, affordable);
    this.#cache = new KvCache(shape, blocks);
    this.#scheduler = new Scheduler({
      blocks,
      blockSize: BLOCK_SIZE,
      rows: maxRows,
      prefillTokens: prefillTokens ?? (kernels.linearRows(model.dtype) > 1024 ? 1024 : kernels.linearRows(model.dtype)),
    });
  }

  async generate(request: GenerateRequest): Promise<Completion[]> {
    const completions: Completion[] = [];
    for await (const event of this.stream(request)) {
      if (event.type === 'end') completions[event.index] = event.completion;
    }
    return completions;
  }

  async *stream(request: GenerateRequest): AsyncGenerator<GenerateEvent> {
    const job = this.#add(request);
    const { signal } = request;
    const abort = () => this.#cancel(job);
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      yield* job.owner.events;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#cancel(job);
    }
  }

  /** Completions that run, requests that wait or run, and blocks of the cache that are free. */
  get load(): { rows: number; requests: number; freeBlocks: number } {
    return { rows: this.#scheduler.running.length, requests: this.#jobs.size, freeBlocks: this.#scheduler.freeBlocks };
  }

  /** Cancels everything and frees the cache. */
  dispose(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const job of [...this.#jobs]) this.#cancel(job);
    this.#cache.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #add(request: GenerateRequest): Job<Active> {
    if (this.#closed) throw new NudgeError('BAD_ARGUMENT', 'The engine was disposed.', { path: 'Engine.generate' });
    const promptIds = this.#promptIds(request);
    const { maxPositions } = this.#model.config;
    // The default gives way to a long prompt; what was asked for is refused.
    const room = Math.max(1, Math.min(DEFAULT_MAX_TOKENS, maxPositions - promptIds.length));
    const parameters = resolveParameters({ ...request, maxTokens: request.maxTokens ?? room });
    checkIds(promptIds, parameters.maxTokens, this.#model.config);
    const stopIds = new Set([...this.#stopIds, ...parameters.stopIds]);
    const outputs = Array.from(
      { length: parameters.n },
      (_, index) => new Output(index, parameters, stopIds, this.#tokenizer),
    );
    const { n, maxTokens } = parameters;
    const active = { promptIds, parameters, outputs, events: new EventQueue<GenerateEvent>(), hidden: null, left: n };
    const job = this.#scheduler.add({ promptLength: promptIds.length, n, maxTokens }, active);
    this.#jobs.add(job);
    this.#work();
    return job;
  }

  #promptIds({ promptIds, prompt, messages, stopStrings = [] }: GenerateRequest): readonly number[] {
    if (messages !== undefined) throw unsupported('messages', 'Render them with a chat template, and pass promptIds.');
    if (this.#tokenizer === null && (prompt !== undefined || stopStrings.length > 0)) {
      throw unsupported(prompt === undefined ? 'stopStrings' : 'prompt', 'Give the engine a tokenizer, or use ids.');
    }
    if ((promptIds === undefined) === (prompt === undefined)) {
      throw new NudgeError('BAD_ARGUMENT', 'A request has one prompt.', { expected: 'either promptIds or prompt' });
    }
    return promptIds ?? this.#tokenizer!.encode(prompt!);
  }

  /** Takes steps until there is nothing left to do. One loop at a time. */
  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    try {
      while (true) {
        // The first turn too: requests that come together begin together.
        await new Promise((resolve) => setImmediate(resolve));
        if (this.#scheduler.isIdle || this.#closed) return;
        torch.scope(() => torch.inferenceMode(() => this.#step(this.#scheduler.next())));
      }
    } catch (error) {
      // The cache may be half written: nothing that runs can go on.
      for (const job of [...this.#jobs]) {
        job.owner.events.fail(error);
        this.#forget(job);
      }
    } finally {
      this.#working = false;
    }
  }

  #step({ prefill, copies, starts, decode }: Step<Active>): void {
    if (prefill.length > 0) this.#prefill(prefill);
    this.#cache.copyBlocks(copies);
    const rows = starts.length > 0 ? starts : decode;
    const hidden = starts.length > 0 ? torch.cat(starts.map(({ job }) => job.owner.hidden!)) : this.#decode(decode); // [R, D]
    const choosing = rows.map(({ job, index }): Choosing => {
      const { parameters, promptIds, outputs } = job.owner;
      return { parameters, index, promptIds, ids: outputs[index]!.ids };
    });
    const { ids, logprobs } = chooseTokens(this.#model.logits(hidden), choosing);
    for (const [i, row] of rows.entries()) this.#push(row, ids[i]!, logprobs[i]!);
    for (const { job } of starts) if (job.started === job.shape.n) this.#dropHidden(job);
  }

  #prefill(prompts: readonly Prompt<Active>[]): void {
    const all = prompts.map(({ job }) => job.owner);
    const ids = torch.fromTypedArray(BigInt64Array.from(all.flatMap(({ promptIds }) => promptIds.map(BigInt)))); // [N]
    const sequences = prompts.map(({ job, blocks }) => ({ blocks, length: job.shape.promptLength }));
    const context = new PrefillAttention(this.#cache, sequences);
    const hidden = this.#model.forward(this.#cache.toDevice(ids), context); // [N, D]
    let end = 0;
    for (const owner of all) {
      end += owner.promptIds.length;
      owner.hidden = hidden
        .narrow(0, end - 1, 1)
        .clone()
        .keep(); // [1, D]
    }
  }

  #decode(rows: readonly Row<Active>[]): Tensor {
    const last = BigInt64Array.from(rows, ({ job, index }) => BigInt(job.owner.outputs[index]!.ids.at(-1)!));
    for (const row of rows) row.length++;
    const context = new DecodeAttention(this.#cache, rows);
    return this.#model.forward(this.#cache.toDevice(torch.fromTypedArray(last)), context); // [R, D]
  }

  #push(row: Row<Active>, id: number, logprob: number): void {
    const { job, index } = row;
    const { outputs, events } = job.owner;
    const output = outputs[index]!;
    events.push(output.push(id, logprob));
    if (!output.isDone) return;
    events.push({ type: 'end', index, completion: output.complete() });
    this.#scheduler.finish(row);
    if (--job.owner.left > 0) return;
    events.end();
    this.#jobs.delete(job);
  }

  /** Ends a job early; nothing happens to one that has ended. */
  #cancel(job: Job<Active>): void {
    if (!this.#jobs.has(job)) return;
    const { outputs, events } = job.owner;
    for (const output of outputs) {
      if (!output.isDone) events.push({ type: 'end', index: output.index, completion: output.complete() });
    }
    events.end();
    this.#forget(job);
  }

  #forget(job: Job<Active>): void {
    this.#scheduler.cancel(job);
    this.#dropHidden(job);
    this.#jobs.delete(job);
  }

  #dropHidden(job: Job<Active>): void {
    job.owner.hidden?.dispose();
    job.owner.hidden = null;
  }
}

function checkIds(ids: readonly number[], maxTokens: number, config: LanguageModel['config']): void {
  const { vocabSize, maxPositions } = config;
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (ids.length === 0 || wrong !== undefined) {
    throw new NudgeError('BAD_ARGUMENT', 'These are no token ids of the model.', {
      path: 'promptIds',
      expected: `one or more whole numbers from 0 to ${vocabSize - 1}`,
      received: wrong === undefined ? 'an empty prompt' : String(wrong),
    });
  }
  if (ids.length + maxTokens <= maxPositions) return;
  throw new NudgeError('BAD_ARGUMENT', 'The request is longer than the model can look back.', {
    path: 'promptIds, maxTokens',
    expected: `at most ${maxPositions} tokens`,
    received: `a prompt of ${ids.length} and up to ${maxTokens} new tokens`,
    remedy: 'Shorten the prompt, or ask for fewer tokens.',
  });
}

function unsupported(path: string, remedy: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'This engine cannot take that.', { path, remedy });
}

function tooSmall(least: number, cacheBytes: number | undefined): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'The cache has no room for a single block.', {
    path: 'cacheBytes',
    expected: `at least ${least}, for ${BLOCK_SIZE} positions`,
    received: String(cacheBytes),
  });
}
