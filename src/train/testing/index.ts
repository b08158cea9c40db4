/** What the tests of this folder share. Nothing here is part of the library. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { NudgeError } from '../../errors.ts';
import { type CausalModel, createModel } from '../../models/index.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import { goldenTokenizer } from '../../text/testing/golden.ts';
import { readMetrics } from '../metrics.ts';

/** A fresh directory for one test, removed at its end. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'nudge-train-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** The error that a call or promise ends in, which must be a NudgeError. */
export async function errorOf(run: () => unknown): Promise<NudgeError> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof NudgeError)) throw error;
    return error;
  }
  return expect.fail('it did not throw');
}

/** One thread: test files run side by side, and the order of additions must not depend on the machine. */
torch.setNumThreads(1);

/** A tokenizer of 640 tokens with `<s>`, `</s>` and `<unk>`. */
export const tokenizer = goldenTokenizer(
  'llama',
  { 'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>' } },
  { pad: '<unk>' },
);

/** A random model over that tokenizer, always the same one. */
export function tinyModel(head: 'lm' | 'score' = 'lm', json: Record<string, unknown> = {}): CausalModel {
  const config = {
    model_type: 'llama',
    vocab_size: tokenizer.vocabSize,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 128,
    initializer_range: 0.4,
    tie_word_embeddings: true,
    ...json,
  };
  return createModel(config, { head, generator: new torch.Generator({ seed: 1 }) });
}

/** The lines of a run's metrics without what a clock or the memory has measured. */
export function timeless(directory: string): unknown[] {
  const isMeasured = (name: string) => /^(seconds|memory)\/|^tokensPerSecond/.test(name);
  return readMetrics(directory).map(({ step, metrics }) => ({
    step,
    metrics: Object.fromEntries(Object.entries(metrics).filter(([name]) => !isMeasured(name))),
  }));
}

/** Every parameter's bytes, by name. */
export function bytesOf(parameters: Iterable<readonly [string, Tensor]>): Record<string, Uint8Array> {
  return Object.fromEntries([...parameters].map(([name, parameter]) => [name, parameter.bytes()]));
}

/** The largest difference between two sets of float32 weights. */
export function maxDifference(a: Record<string, Uint8Array>, b: Record<string, Uint8Array>): number {
  expect(Object.keys(a)).toEqual(Object.keys(b));
  const floats = (bytes: Uint8Array) => new Float32Array(bytes.slice().buffer);
  let largest = 0;
  for (const [name, bytes] of Object.entries(a)) {
    const [x, y] = [floats(bytes), floats(b[name]!)];
    expect(y.length).toBe(x.length);
    for (const [i, value] of x.entries()) largest = Math.max(largest, Math.abs(value - y[i]!));
  }
  return largest;
}
