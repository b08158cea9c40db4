/** A whole run of `nudge generate`, over an open model. */
import { rmSync } from 'node:fs';
import { NudgeError } from '../../errors.ts';
import type { SamplingParameters } from '../../generate/index.ts';
import { Engine } from '../../generate/index.ts';
import type { Pretrained } from '../../pretrained/index.ts';
import { withLock } from '../../setup/lock.mjs';
import { kvBytes } from '../pretrained.ts';
import { identify } from './identity.ts';
import { Meter, nothingToDo, type Totals } from './meter.ts';
import { OutputFile } from './output.ts';
import { checkPrompts, type PromptMap, type PromptRow, readPrompts } from './prompts.ts';
import { generateRows, PromptEncoder, type Rendering } from './run.ts';

export interface BatchOptions {
  readonly prompts: string;
  readonly map: PromptMap;
  readonly out: string;
  readonly sampling: SamplingParameters & { readonly n: number; readonly seed: number; readonly maxTokens: number };
  readonly rendering: Rendering;
  /** Merged into the model: what it is called in the rows. */
  readonly adapter: string | undefined;
  readonly withIds: boolean;
  /** Completions that are computed together. */
  readonly batch: number;
  readonly force: boolean;
}

export interface BatchResult extends Totals {
  readonly run: string;
  readonly prompts: number;
}

/** Of memory for keys and values there is this much at least. */
const CACHE_BYTES = 2 ** 30;

/**
 * Generates what the file does not have yet.
 *
 * @throws NudgeError BAD_FILE for prompts that cannot be used, before anything is generated; what `OutputFile.open` throws.
 */
export async function generateBatch(pretrained: Pretrained, options: BatchOptions): Promise<BatchResult> {
  const { prompts, map, out, sampling, rendering, adapter } = options;
  const encoder = new PromptEncoder(pretrained.tokenizer, rendering);
  let longest = 0;
  const total = await checkPrompts(prompts, map, (row) => {
    const { tokens, reason } = measure(row, encoder, pretrained.model.config.maxPositions - sampling.maxTokens);
    longest = Math.max(longest, tokens);
    return reason;
  });
  const identity = await identify(pretrained, adapter, prompts, { ...sampling, ...rendering });
  return await locked(out, async (lock) => {
    const output = await OutputFile.open(out, { n: sampling.n, prompts: total, identity, force: options.force });
    if (output.done === total) {
      await output.close();
      return { run: identity.run, prompts: total, ...nothingToDo(total * sampling.n) };
    }
    using _ = tidiedOnExit(lock);
    const { n, maxTokens } = sampling;
    const meter = new Meter({ total: total * n, before: output.done * n, maxTokens });
    try {
      using engine = new Engine(pretrained.model, {
        tokenizer: pretrained.tokenizer,
        stopIds: pretrained.tokenizer.eosIds,
        maxRows: options.batch,
        cacheBytes: Math.max(CACHE_BYTES, kvBytes(pretrained.model, longest + sampling.maxTokens)),
      });
      await generateRows({
        engine,
        encoder,
        output,
        identity,
        sampling,
        withIds: options.withIds,
        // Enough that none of the batch's places stays free while the oldest prompt is finished.
        window: Math.max(4, 4 * Math.ceil(options.batch / sampling.n)),
        prompts: goodOnes(readPrompts(prompts, map)),
        onToken: () => meter.token(),
        onCompletion: (completion) => meter.completion(completion),
      });
    } catch (error) {
      meter.stop();
      throw error;
    }
    return { run: identity.run, prompts: total, ...meter.end() };
  });
}

/** A prompt's length, and why it cannot be used. */
function measure(row: PromptRow, encoder: PromptEncoder, most: number): { tokens: number; reason: string | null } {
  if (typeof row.prompt !== 'string' && !encoder.canChat) {
    return { tokens: 0, reason: 'is a list of messages, and the model has no chat template: --template chatml is one' };
  }
  try {
    const { length } = encoder.encode(row);
    const reason = `is ${length} tokens long; the model takes ${most}, which leaves room for --max-tokens`;
    return { tokens: length, reason: length <= most ? null : reason };
  } catch (error) {
    if (!(error instanceof NudgeError)) throw error;
    const [summary = ''] = error.message.split('\n');
    return { tokens: 0, reason: error.received === undefined ? summary : `${summary} ${error.received}` };
  }
}

async function* goodOnes(rows: ReturnType<typeof readPrompts>): AsyncGenerator<PromptRow> {
  for await (const row of rows) {
    if (!('reason' in row)) yield row;
    else
      throw new NudgeError('BAD_FILE', 'The prompts changed while they were used.', {
        path: row.place,
        received: row.reason,
      });
  }
}

/** One process at a time: two would write the same rows. */
async function locked<T>(out: string, work: (lock: string) => Promise<T>): Promise<T> {
  const lock = `${out}.lock`;
  return await withLock(
    lock,
    () => work(lock),
    (owner) => {
      throw new NudgeError('FILE_EXISTS', 'Another process writes to this file.', {
        path: out,
        received: `process ${owner.pid} on ${owner.host}`,
        remedy: 'Wait for it, or choose another --out.',
      });
    },
  );
}

/** Ctrl-C ends the process where it stands: that is safe, and worth saying. */
function tidiedOnExit(lock: string): Disposable {
  const tidy = () => {
    rmSync(lock, { recursive: true, force: true });
    process.stderr.write('\nStopped. The same command goes on.\n');
  };
  process.once('exit', tidy);
  return { [Symbol.dispose]: () => process.off('exit', tidy) };
}
