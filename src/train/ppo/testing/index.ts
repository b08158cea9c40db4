/** What the tests of PPO share. Nothing here is part of the library. */
import { type CausalModel, createModel, PackedAttention } from '../../../models/index.ts';
import { type DType, Generator, type Tensor, torch } from '../../../tensor/index.ts';
import type { RewardBatch, RewardFunction } from '../rewards.ts';
import type { PpoModels } from '../view.ts';

torch.setNumThreads(1);

export interface TinyOptions {
  vocabulary: number;
  hidden?: number;
  layers?: number;
  positions?: number;
  kvHeads?: number;
  dtype?: DType;
  head?: 'lm' | 'value';
  seed?: number;
  spread?: number;
}

/** A small Llama with random weights. */
export function tinyLlama(options: TinyOptions): CausalModel {
  const {
    vocabulary,
    hidden = 16,
    layers = 1,
    positions = 32,
    kvHeads = 2,
    dtype = 'float32',
    head = 'lm',
    seed = 0,
    spread = 0.2,
  } = options;
  return createModel(
    {
      model_type: 'llama',
      vocab_size: vocabulary,
      hidden_size: hidden,
      intermediate_size: 2 * hidden,
      num_hidden_layers: layers,
      num_attention_heads: 2,
      num_key_value_heads: kvHeads,
      max_position_embeddings: positions,
      tie_word_embeddings: false,
      initializer_range: spread,
    },
    { head, dtype, generator: new Generator({ seed }) },
  );
}

/** log softmax of what comes after these ids: [V]. */
export function nextLogProbs(model: CausalModel, ids: readonly number[]): Tensor {
  return torch.scope(() =>
    torch.noGrad(() => {
      const context = new PackedAttention([ids.length]);
      const hidden = model.forward(torch.tensor([...ids], { dtype: 'int64' }), context); // [T, D]
      return model.logits(hidden.at(context.lastTokens)).logSoftmax(-1).squeeze(0); // [V]
    }),
  );
}

/** The four-armed bandit of docs/algorithms: arms are tokens, the prompt is token 0, and a completion is one token. */
export const BANDIT = {
  reference: [0.4, 0.3, 0.2, 0.1],
  rewards: [0, 1, 2, 3],
  prompt: [0],
  /** ref exp(r / beta) / Z at beta 1. */
  optimum: [0.085073, 0.173439, 0.314304, 0.427184],
} as const;

/** A model whose next token after the prompt has exactly the bandit's reference distribution: W h = log ref there. */
export function banditModel(seed = 0): CausalModel {
  const model = tinyLlama({ vocabulary: 4, seed });
  torch.scope(() =>
    torch.noGrad(() => {
      const context = new PackedAttention([1]);
      const h = model.forward(torch.tensor([...BANDIT.prompt], { dtype: 'int64' }), context).squeeze(0); // [D]
      const { weight } = model.lm_head!;
      const gap = torch.tensor(BANDIT.reference.map(Math.log)).sub(weight.matmul(h)); // [V]
      // The smallest change of the head that does it.
      weight.add_(torch.outer(gap, h).div(h.dot(h)));
    }),
  );
  return model;
}

/** Three models for full fine-tuning: the reference a copy of the policy, the value model another one. */
export function fullModels(make: () => CausalModel, value: CausalModel): PpoModels {
  return {
    policy: { model: make(), adapter: null },
    reference: { model: make().requiresGrad_(false), adapter: null },
    value: { model: value, adapter: null },
  };
}

/** The arm's reward. */
export const banditReward: RewardFunction = ({ ids }) => ids.map(([arm]) => BANDIT.rewards[arm!]!);

/** What trainPpo needs besides models to find the optimum. */
export const banditTask = {
  inputs: { prompts: [{ ids: BANDIT.prompt }], rewards: [{ name: 'arm', score: banditReward }], stopIds: [] },
  // Advantages unwhitened: at the optimum reward minus penalty is the same for every arm, so that the noise dies out.
  options: {
    totalEpisodes: 60 * 512,
    batchSize: 512,
    numGenerations: 512,
    maxCompletionLength: 1,
    klCoef: 1,
    whitenAdvantages: false,
    learningRate: 0.01,
    generationRows: 512,
  },
};

/**
 * A tiny language of 23 words and an end (token 0). Words have a liking, from -2 for
 * word 1 to 2 for word 23. The proxy is the sum of the likings / 10: what a reward model would learn from texts that hardly repeat
 * themselves. The gold reward, on which nobody trains, takes 0.3 for each word that was there before.
 */
export const LANGUAGE = { vocabulary: 24, end: 0, prompt: [1, 2] } as const;

export function proxyReward(ids: readonly number[]): number {
  return wordsOf(ids).reduce((sum, word) => sum + (4 * (word - 1)) / 22 - 2, 0) / 10;
}

export function goldReward(ids: readonly number[]): number {
  return proxyReward(ids) - 0.3 * repeatedWords(ids);
}

/** Words that occurred before in the same text. */
export function repeatedWords(ids: readonly number[]): number {
  const words = wordsOf(ids);
  return words.length - new Set(words).size;
}

const wordsOf = (ids: readonly number[]): number[] => ids.filter((id) => id !== LANGUAGE.end);

/** What trainPpo needs to learn the language: fresh models, and rewards of which only the first is worked for. */
export function languageTask() {
  const shape = { vocabulary: LANGUAGE.vocabulary, hidden: 32, spread: 0.15 };
  return {
    inputs: {
      models: fullModels(() => tinyLlama(shape), tinyLlama({ ...shape, head: 'value', seed: 2 })),
      prompts: [{ ids: LANGUAGE.prompt }],
      rewards: [
        { name: 'proxy', score: ({ ids }: RewardBatch) => ids.map(proxyReward) },
        { name: 'gold', weight: 0, score: ({ ids }: RewardBatch) => ids.map(goldReward) },
        { name: 'repeated', weight: 0, score: ({ ids }: RewardBatch) => ids.map(repeatedWords) },
      ],
      stopIds: [LANGUAGE.end],
    },
    options: {
      batchSize: 128,
      numGenerations: 128,
      maxCompletionLength: 10,
      learningRate: 3e-3,
      lrSchedulerType: 'constant',
      generationRows: 128,
    },
  } as const;
}
