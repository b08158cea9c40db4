/** `nudge bench generate`: completions of a language model, beside transformers' `generate` on the same CPU. */

import { Engine } from '../../src/generate/index.ts';
import { createModel } from '../../src/models/index.ts';
import { kernels } from '../../src/nn/index.ts';
import { type Tensor, torch } from '../../src/tensor/index.ts';
import type { Bench, Body, Case, Limit } from '../case.ts';
import { free, streaming } from '../ops/bodies.ts';
import { SMOLLM2 } from '../smollm2.ts';

const DTYPE = 'bfloat16';
/** The 16 rows are the shape of RLHF on one machine: some prompts, some completions of each. */
const BATCHES = [
  { rows: 1, prompt: 32, tokens: 64 },
  { rows: 16, prompt: 32, tokens: 32 },
  { rows: 64, prompt: 32, tokens: 16 },
];
const PROMPTS = [
  { rows: 1, prompt: 512 },
  { rows: 16, prompt: 64 },
];

/** Multiplications for one token: in the layers, and in the head. Looking up an embedding is free. */
const LAYERS =
  SMOLLM2.num_hidden_layers * SMOLLM2.hidden_size * (SMOLLM2.head_dim * 2 * (9 + 3) + 3 * SMOLLM2.intermediate_size);
const HEAD = SMOLLM2.hidden_size * SMOLLM2.vocab_size;

/** The prompts of both sides: what they say does not matter, only how long they are. */
const promptIds = (row: number, length: number): number[] =>
  Array.from({ length }, (_, i) => (row * 77 + i * 13) % SMOLLM2.vocab_size);

function generation(rows: number, prompt: number, tokens: number): Body {
  const model = createModel(SMOLLM2, { dtype: DTYPE });
  const engine = new Engine(model, { maxRows: rows });
  const request = (row: number) => engine.generate({ promptIds: promptIds(row, prompt), maxTokens: tokens });
  return {
    async time(times) {
      const start = performance.now();
      for (let i = 0; i < times; i++) await Promise.all(Array.from({ length: rows }, (_, row) => request(row)));
      return (performance.now() - start) / 1000;
    },
    end() {
      engine.dispose();
      model.dispose();
    },
  };
}

/**
 * Each weight read once a step at the speed of memory, or all products at the peak of matrix products: the slower of the two. The
 * prompt's products count, since its time does: all but the head's, and the last token is not read again.
 */
function limitOf({ rows, prompt, tokens }: (typeof BATCHES)[number]): Limit {
  const PEAK = 2048;
  // Few rows wait for memory, many for the processor: each measures what limits it.
  if (rows < 8) {
    const stream = streaming(512 * 2 ** 20);
    return { body: stream.body, value: (time) => (rows * stream.bytes) / (2 * (LAYERS + HEAD) * time) };
  }
  const dtype = kernels.selected() === 'avx512_bf16' ? 'bfloat16' : 'float32';
  const make = (): Body => {
    const [a, b] = [0, 1].map(() => torch.randn([PEAK, PEAK]).to(dtype).keep()) as [Tensor, Tensor];
    return {
      time(times) {
        const start = performance.now();
        for (let i = 0; i < times; i++) torch.scope(() => void a.matmul(b));
        return (performance.now() - start) / 1000;
      },
      end: () => free([a, b]),
    };
  };
  const products = (LAYERS * (prompt + tokens - 1)) / tokens + HEAD; // for one generated token
  return { body: make, value: (time) => PEAK ** 3 / (products * time) };
}

const decoding = BATCHES.map((batch): Case => {
  const { rows, prompt, tokens } = batch;
  return {
    name: `${rows} at a time, ${prompt} + ${tokens} tokens`,
    metric: 'generated',
    unit: 'tokens/s',
    better: 'higher',
    value: (seconds) => (rows * tokens) / seconds,
    nudge: () => generation(rows, prompt, tokens),
    peer: { work: 'decode', arguments: { config: SMOLLM2, dtype: DTYPE, rows, prompt, tokens } },
    limit: limitOf(batch),
  };
});

const prefill = PROMPTS.map(
  ({ rows, prompt }): Case => ({
    name: `${rows} prompts of ${prompt}`,
    metric: 'read',
    unit: 'tokens/s',
    better: 'higher',
    value: (seconds) => (rows * prompt) / seconds,
    // One token: the one that the prompt's last hidden state gives.
    nudge: () => generation(rows, prompt, 1),
    peer: { work: 'prefill', arguments: { config: SMOLLM2, dtype: DTYPE, rows, prompt } },
  }),
);

export const generate: Bench = {
  name: 'generate',
  groups: [
    { title: 'Decoding: SmolLM2-135M, bfloat16', cases: decoding },
    { title: 'Prompts: SmolLM2-135M, bfloat16', cases: prefill },
  ],
};
