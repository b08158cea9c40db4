/** PPO's configuration. Field names follow TRL's where TRL has one, in camelCase. */
import * as z from 'zod';
import { parseConfig, TrainingConfig } from '../config.ts';

const count = () => z.int().min(1);
const rate = () => z.number().min(0).max(1);

/** Numbers that must be finite, in nats, shares or plain counts; see docs/algorithms/ppo.md for how to choose them. */
export const PpoConfig = z
  .strictObject({
    // What is sampled.
    totalEpisodes: count()
      .default(1024)
      .describe('Completions sampled in the whole run; rounded up to whole steps of batchSize.'),
    batchSize: count()
      .default(64)
      .describe('Completions sampled, scored and learned from in one step. More is steadier and slower.'),
    numGenerations: count()
      .default(1)
      .describe('Completions of each prompt in a step; batchSize is a multiple of it. 1 sees the most prompts.'),
    maxCompletionLength: count()
      .default(64)
      .describe('Tokens in a completion at most, the end of text included. Each step costs in proportion.'),
    temperature: z
      .number()
      .positive()
      .max(100)
      .default(1)
      .describe(
        'Divides the logits, in sampling and in every log-probability alike: what is trained is the policy that samples. ' +
          '1 (InstructGPT) explores; 0.7 (N+, TRL) samples better text from small models. topK and topP stay off: cut tails bias the ratios.',
      ),

    // What is rewarded.
    missingEosPenalty: z
      .number()
      .nullable()
      .default(null)
      .describe('Taken from the score of a completion that was cut off before its end of text. null: nothing.'),
    missingEosScore: z
      .number()
      .nullable()
      .default(null)
      .describe(
        'Takes the place of such a score (N+: -1), for reward models that never saw a cut text. null: the score stays.',
      ),
    klCoef: z
      .number()
      .min(0)
      .default(0.05)
      .describe(
        'β, the reward taken away for a nat of KL to the reference. Lower gains more reward and overfits it sooner.',
      ),
    adaptiveKl: z
      .boolean()
      .default(false)
      .describe('Moves β so that the KL a sequence comes to klTarget (Ziegler); klCoef is where it starts.'),
    klTarget: z.number().positive().default(6).describe('KL summed over a sequence that adaptiveKl holds, in nats.'),
    klHorizon: z
      .number()
      .positive()
      .default(10_000)
      .describe(
        'Episodes over which adaptiveKl changes β by a factor of e^0.2 at most. Short runs want about a tenth of totalEpisodes.',
      ),
    gamma: rate().default(1).describe('Discount of a reward by each token it lies ahead.'),
    lam: rate()
      .default(0.95)
      .describe(
        "GAE's λ: 1 trusts the sampled return alone (no bias, much variance), 0 the value model's next estimate.",
      ),
    whitenRewards: z
      .boolean()
      .default(false)
      .describe('Scales the rewards of all tokens of a step to variance 1, keeping their mean.'),
    whitenAdvantages: z
      .boolean()
      .default(true)
      .describe(
        'Scales the advantages of a step to mean 0 and variance 1. Without, the step shrinks as the policy converges.',
      ),

    // How it learns.
    ppoEpochs: count()
      .default(4)
      .describe(
        'Passes over the sampled completions (InstructGPT: 1). Fewer cost less a step, more use the samples better.',
      ),
    numMiniBatches: count().default(1).describe('Optimiser steps in each of these passes.'),
    cliprange: rate()
      .default(0.2)
      .describe('How far the ratio of new to old probability may leave 1 before it stops to gain.'),
    cliprangeValue: z
      .number()
      .positive()
      .nullable()
      .default(0.2)
      .describe(
        'How far a value may move from its old estimate before it stops to gain, in units of reward. null: no clipping.',
      ),
    vfCoef: z
      .number()
      .positive()
      .default(0.1)
      .describe(
        'Weight of the value loss. Adam divides it out again, except where gradients are clipped or near adamEpsilon.',
      ),
    targetKl: z
      .number()
      .positive()
      .nullable()
      .default(null)
      .describe(
        'Ends the passes of a step once the approximate KL a token between new and old policy is above this. null: never.',
      ),
    learningRate: z
      .number()
      .min(0)
      .default(3e-5)
      .describe('Of the policy: 1e-5 to 1e-4 for LoRA (runs of a few steps up to 1e-3), 3e-6 for full fine-tuning.'),
    valueLearningRate: z
      .number()
      .min(0)
      .nullable()
      .default(null)
      .describe('Of the value model. null: as learningRate. A value model from scratch wants several times more.'),
    lrSchedulerType: TrainingConfig.shape.lrSchedulerType,
    warmupRatio: TrainingConfig.shape.warmupRatio,
    adamEpsilon: z
      .number()
      .positive()
      .default(1e-5)
      .describe('Keeps the division in AdamW finite, and steps small where gradients are tiny (N+).'),
    weightDecay: TrainingConfig.shape.weightDecay,
    maxGradNorm: z.number().positive().default(1).describe("Norm to which each model's gradient is clipped."),
    ptxCoef: z
      .number()
      .min(0)
      .default(0)
      .describe('PPO-ptx: weight of the language-model loss on pretraining text (InstructGPT: 27.8). 0: none.'),
    ptxBatchSize: count().default(8).describe('Pretraining texts in each optimiser step.'),

    // How it runs.
    startsAtReference: z
      .boolean()
      .default(true)
      .describe(
        'Stops before the first update if policy and reference differ. False where the policy was trained before.',
      ),
    microBatchTokens: TrainingConfig.shape.microBatchTokens.describe(
      'Tokens computed at once, prompts included. Bounds memory and changes no result beyond rounding.',
    ),
    generationRows: count().default(64).describe('Completions that are sampled at the same time.'),
    saveSteps: TrainingConfig.shape.saveSteps.default(10),
    saveSeconds: TrainingConfig.shape.saveSeconds,
    tensorboard: TrainingConfig.shape.tensorboard,
    logCompletions: z
      .int()
      .min(0)
      .default(8)
      .describe('Completions of each step that are written to completions.jsonl.'),
    seed: z.int().min(0).default(0).describe('Decides the order of prompts, every sample and every mini-batch.'),
  })
  .refine(({ batchSize, numGenerations }) => batchSize % numGenerations === 0, {
    path: ['numGenerations'],
    message: 'expected a divisor of batchSize',
  })
  .refine(({ batchSize, numMiniBatches }) => numMiniBatches <= batchSize, {
    path: ['numMiniBatches'],
    message: 'expected batchSize at most: each mini-batch needs a completion',
  })
  .refine((config) => config.missingEosPenalty === null || config.missingEosScore === null, {
    path: ['missingEosScore'],
    message: 'expected null where missingEosPenalty is given: the score is either lowered or replaced',
  });

export type PpoConfig = z.output<typeof PpoConfig>;
export type PpoOptions = z.input<typeof PpoConfig>;

/** Fills in the defaults. @throws NudgeError BAD_ARGUMENT with every field that is wrong. */
export const resolvePpoConfig = (given: PpoOptions): PpoConfig => parseConfig(PpoConfig, given, 'ppo');

/** The part that decides the result: a run may go on with other values of the rest. */
export function decisivePart(config: PpoConfig): Partial<PpoConfig> {
  const { saveSteps: _1, saveSeconds: _2, tensorboard: _3, logCompletions: _4, generationRows: _5, ...rest } = config;
  return rest;
}

/** Steps of the whole run. */
export function stepsOf({ totalEpisodes, batchSize }: Pick<PpoConfig, 'totalEpisodes' | 'batchSize'>): number {
  return Math.ceil(totalEpisodes / batchSize);
}
