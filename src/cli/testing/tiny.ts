/** A tiny model with random weights on disk, and the command line over it. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { createModel, saveModel } from '../../models/index.ts';
import { Generator, torch } from '../../tensor/index.ts';
import { ChatTemplate, tokenizerFiles } from '../../text/index.ts';
import { goldenTokenizer } from '../../text/testing/golden.ts';
import { main } from '../main.ts';

torch.setNumThreads(1);

export const BIN = join(import.meta.dirname, '..', '..', '..', 'bin', 'nudge.js');

export interface TinyOptions {
  /** Whether it has a chat template. Default true. */
  template?: boolean;
  /** Default 256. */
  maxPositions?: number;
  /** Settings that its authors recommend. */
  generation?: Record<string, unknown>;
}

/** Writes a model of two layers, with the tokenizer of the chat templates' golden values. It is always the same. */
export async function saveTinyModel(directory: string, options: TinyOptions = {}): Promise<void> {
  const { template = true, maxPositions = 256, generation } = options;
  const tokenizer = goldenTokenizer('chatml', {
    'tokenizer_config.json': { eos_token: '<|im_end|>' },
    ...(template ? { 'chat_template.jinja': ChatTemplate.builtin('chatml').text } : {}),
  });
  const config = {
    model_type: 'llama',
    vocab_size: tokenizer.vocabSize,
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    max_position_embeddings: maxPositions,
    tie_word_embeddings: true,
    initializer_range: 0.1,
  };
  using model = createModel(config, { dtype: 'float32', generator: new Generator({ seed: 5 }) });
  const files = tokenizerFiles(tokenizer);
  if (generation !== undefined) files.set('generation_config.json', JSON.stringify(generation));
  await saveModel(directory, model, { files });
}

export function temporaryFolder(): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'nudge-cli-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a command line in this process, which has loaded libtorch already. */
export async function nudge(args: readonly string[]): Promise<Outcome> {
  // Each call listens once more, as each start of the program does.
  process.stdout.setMaxListeners(0);
  const [stdout, stderr] = [captured(process.stdout), captured(process.stderr)];
  try {
    return { code: await main(args), stdout: stdout.text(), stderr: stderr.text() };
  } finally {
    for (const { release } of [stdout, stderr]) release();
  }
}

function captured(stream: NodeJS.WriteStream) {
  let text = '';
  const spy = vi.spyOn(stream, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  return { text: () => text, release: () => spy.mockRestore() };
}

/** Runs a command line in a process of its own, to its end. */
export async function program(args: readonly string[], input = ''): Promise<Outcome> {
  const child = spawn(process.execPath, [BIN, ...args], { env: { ...process.env, OMP_NUM_THREADS: '1' } });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  child.stdin.end(input);
  return await new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}
