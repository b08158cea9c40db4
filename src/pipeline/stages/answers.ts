/** Answers of a model to many prompts, row by row on disk, so that a crash costs what was in flight. */
import type { Completion, Engine } from '../../generate/index.ts';
import { openJournal } from '../journal.ts';

/** The answers to one prompt, a line of `answers.jsonl`. */
export interface AnswersRow {
  /** Its place among the stage's prompts. */
  readonly index: number;
  readonly completions: readonly Answer[];
}

export interface Answer {
  readonly text: string;
  readonly ids: readonly number[];
  /** Of each id, at the sampling temperature. */
  readonly logprobs: readonly number[];
  readonly finishReason: string;
}

export interface DrawOptions {
  readonly n: number;
  readonly maxTokens: number;
  readonly temperature: number;
  /** The seed of a prompt's answers. */
  readonly seedOf: (index: number) => number;
  readonly signal: AbortSignal;
  /** After each prompt. */
  readonly onRow: (progress: { done: number; total: number; tokensPerSecond: number }) => void;
}

/** Prompts that wait in the engine, so that a finished row never leaves its place empty. */
const IN_FLIGHT = 64;

/**
 * Draws the answers that are not in the file yet. What an answer is depends on its seed and not on what was drawn beside it, so
 * that the file's rows are the same after any number of crashes; their order is that of the prompts in what is returned.
 *
 * @returns null when the signal ended it.
 */
export async function drawAnswers(
  engine: Engine,
  promptIds: readonly (readonly number[])[],
  path: string,
  options: DrawOptions,
): Promise<AnswersRow[] | null> {
  const { signal, onRow } = options;
  const journal = openJournal<AnswersRow>(path);
  const rows = new Map(journal.rows.map((row) => [row.index, row]));
  const missing = promptIds.flatMap((_, index) => (rows.has(index) ? [] : [index]));
  const start = performance.now();
  let tokens = 0;
  const draw = async (index: number) => {
    const completions = await engine.generate({
      promptIds: promptIds[index]!,
      n: options.n,
      maxTokens: options.maxTokens,
      temperature: options.temperature,
      seed: options.seedOf(index),
      logprobs: true,
      signal,
    });
    if (signal.aborted) return;
    const row = { index, completions: completions.map(answerOf) };
    journal.append(row);
    rows.set(index, row);
    tokens += row.completions.reduce((sum, { ids }) => sum + ids.length, 0);
    onRow({
      done: rows.size,
      total: promptIds.length,
      tokensPerSecond: tokens / ((performance.now() - start) / 1000),
    });
  };
  let next = 0;
  const worker = async () => {
    while (next < missing.length && !signal.aborted) await draw(missing[next++]!);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return signal.aborted ? null : promptIds.map((_, index) => rows.get(index)!);
}

function answerOf({ text, ids, logprobs, finishReason }: Completion): Answer {
  return { text, ids: ids!, logprobs: logprobs!, finishReason };
}
