/** Completions of a step: sampled by the generation engine from the policy as it is now. */
import type { Content } from '../../data/index.ts';
import { NudgeError } from '../../errors.ts';
import { type Completion, Engine, type TextCodec } from '../../generate/index.ts';
import { LoraAdapters } from '../../models/index.ts';
import { dtypeBytes } from '../../tensor/index.ts';
import { deriveSeed, permutation } from '../random.ts';
import type { PpoConfig } from './config.ts';
import type { ModelView } from './view.ts';

/** A prompt as token ids; `tokenise(tokenizer, 'prompt-only', ...)` makes them. */
export interface PpoPrompt {
  readonly ids: readonly number[];
  /** For reward functions and the log; where it is missing, they get the text ''. */
  readonly prompt?: Content;
}

/** One sampled completion. */
export interface Rollout {
  readonly prompt: PpoPrompt;
  /** At least one token; the end of text, if it came, is the last. */
  readonly ids: readonly number[];
  /** Without the end of text; '' where there is no tokenizer. */
  readonly text: string;
  /** Whether a stop token ended it; false: it was cut off at maxCompletionLength. */
  readonly finished: boolean;
}

export interface SamplerOptions {
  prompts: readonly PpoPrompt[];
  stopIds: readonly number[];
  tokenizer?: TextCodec;
}

type SamplingConfig = Pick<
  PpoConfig,
  'batchSize' | 'numGenerations' | 'maxCompletionLength' | 'temperature' | 'generationRows' | 'seed'
>;

/** Samples from a policy. What it gives follows from (weights, config, step) alone. */
export class RolloutSampler implements Disposable {
  readonly #policy: ModelView;
  readonly #options: SamplerOptions;
  readonly #config: SamplingConfig;
  readonly #engine: Engine;

  constructor(policy: ModelView, options: SamplerOptions, config: SamplingConfig) {
    checkPrompts(policy, options, config);
    this.#policy = policy;
    this.#options = options;
    this.#config = config;
    const { tokenizer, stopIds } = options;
    const rows = Math.min(config.generationRows, config.batchSize);
    this.#engine = new Engine(policy.model, {
      stopIds,
      maxRows: rows,
      cacheBytes: cacheBytes(policy, options.prompts, config.maxCompletionLength, rows),
      ...(tokenizer === undefined ? {} : { tokenizer }),
    });
  }

  /** The completions of a step, neighbours with the same prompt. @param step from 1. */
  async sample(step: number): Promise<Rollout[]> {
    const { numGenerations, maxCompletionLength, temperature, seed } = this.#config;
    const prompts = this.#promptsOf(step);
    const answers = await withSampling(this.#policy, () =>
      Promise.all(
        prompts.map(({ ids }, i) =>
          this.#engine.generate({
            promptIds: ids,
            n: numGenerations,
            maxTokens: maxCompletionLength,
            temperature,
            seed: deriveSeed(seed, 'rollout', step, i),
          }),
        ),
      ),
    );
    return answers.flatMap((completions, i) =>
      completions.map((completion) => asRollout(prompts[i]!, completion, this.#options.stopIds)),
    );
  }

  dispose(): void {
    this.#engine.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The prompts go round in a new order each time. */
  #promptsOf(step: number): PpoPrompt[] {
    const { batchSize, numGenerations, seed } = this.#config;
    const { prompts } = this.#options;
    const count = batchSize / numGenerations;
    const orders = new Map<number, number[]>();
    return Array.from({ length: count }, (_, i) => {
      const place = (step - 1) * count + i;
      const epoch = Math.floor(place / prompts.length);
      const order = orders.get(epoch) ?? permutation(prompts.length, seed, 'prompts', epoch);
      orders.set(epoch, order);
      return prompts[order[place % prompts.length]!]!;
    });
  }
}

/**
 * Generates with the view's adapter. In float32 it is merged into the base weights for that time, so that a token costs what it
 * costs without; unmerging gives the base's bits back. Weights of 16 bits have no room for it: bfloat16 rounds an update below
 * 1/256 of a weight away, and what samples would not be what is trained.
 */
async function withSampling<T>({ model, adapter }: ModelView, generate: () => Promise<T>): Promise<T> {
  const { adapters } = model;
  if (!(adapters instanceof LoraAdapters)) return await generate();
  if (adapter === null || dtypeBytes(model.dtype) < 4) {
    adapters.setAdapter(adapter);
    return await generate();
  }
  adapters.merge(adapter);
  try {
    return await generate();
  } finally {
    adapters.unmerge();
  }
}

function asRollout(prompt: PpoPrompt, { ids, text, finishReason }: Completion, stopIds: readonly number[]): Rollout {
  const tokens = ids!;
  // The engine ends there itself; what it cut nowhere is a completion without its end.
  const end = tokens.findIndex((id) => stopIds.includes(id));
  return {
    prompt,
    ids: end < 0 ? tokens : tokens.slice(0, end + 1),
    text,
    finished: end >= 0 && finishReason === 'stop',
  };
}

/** Room for the keys and values of so many of the longest sequences, and for the prompts that several completions share. */
function cacheBytes({ model }: ModelView, prompts: readonly PpoPrompt[], length: number, rows: number): number {
  const { layers, kvHeads, headDim } = model.config;
  const longest = prompts.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const block = 16;
  const blocks = (rows + 1) * (Math.ceil((longest + length) / block) + 1);
  return 2 * layers * kvHeads * headDim * dtypeBytes(model.dtype) * block * blocks;
}

function checkPrompts({ model }: ModelView, { prompts }: SamplerOptions, config: SamplingConfig): void {
  const { maxPositions } = model.config;
  const room = maxPositions - config.maxCompletionLength;
  const wrong = prompts.findIndex(({ ids }) => ids.length === 0 || ids.length > room);
  if (prompts.length > 0 && wrong < 0) return;
  throw new NudgeError('BAD_ARGUMENT', 'These prompts cannot be continued.', {
    path: wrong < 0 ? 'prompts' : `prompts[${wrong}]`,
    expected: `at least one prompt, each of 1 to ${room} tokens (the model's ${maxPositions} less maxCompletionLength)`,
    received: wrong < 0 ? 'no prompts' : `${prompts[wrong]!.ids.length} tokens`,
    remedy: 'Leave long prompts out (maxPromptLength), or lower maxCompletionLength.',
  });
}
