/** What the configurations of all trainers share. A trainer spreads `TrainingConfig.shape` into its own and changes defaults. */
import * as z from 'zod';
import { NudgeError } from '../errors.ts';

export const LoraSettings = z.strictObject({
  rank: z.int().min(1).default(16).describe('Width of the bottleneck: more can learn more, for more memory.'),
  alpha: z.number().positive().default(32).describe('The update counts alpha / rank times.'),
  rslora: z.boolean().default(false).describe('Divide by √rank instead, so that a larger rank learns as fast.'),
  dropout: z.number().min(0).lt(1).default(0).describe("Share of the adapter's input that is dropped while training."),
  targets: z
    .union([z.literal('all-linear'), z.array(z.string().min(1)).min(1)])
    .default('all-linear')
    .describe("Which projections get an adapter: all, or ends of names such as ['q_proj', 'v_proj']."),
});

export const TrainingConfig = z.strictObject({
  seed: z.int().min(0).default(0).describe('Decides the order of the data, fresh weights and dropout.'),
  numTrainEpochs: z.number().positive().default(1).describe('Passes over the data; may be a fraction.'),
  maxSteps: z.int().min(1).optional().describe('Ends after so many steps, in place of numTrainEpochs.'),
  batchSize: z
    .int()
    .min(1)
    .default(16)
    .describe('Rows in an optimiser step. Larger steps are steadier and fewer; the learning rate goes with them.'),
  microBatchTokens: z
    .int()
    .min(1)
    .default(2048)
    .describe(
      'Tokens computed at once; a step is cut into as many parts as needed, which changes its memory and not its result. ' +
        'Training a model of 135M parameters takes about 1.2 MB a token.',
    ),
  learningRate: z
    .number()
    .positive()
    .default(1e-4)
    .describe('Step size at its peak. LoRA wants 1e-4 to 5e-4, full fine-tuning a tenth of that or less.'),
  lrSchedulerType: z
    .enum(['linear', 'cosine', 'constant'])
    .default('linear')
    .describe('How the learning rate falls after the warm-up: to zero in a line, along a cosine, or not at all.'),
  warmupRatio: z
    .number()
    .min(0)
    .max(1)
    .default(0.05)
    .describe('Share of all steps over which the learning rate rises.'),
  weightDecay: z
    .number()
    .min(0)
    .default(0)
    .describe('Decay of matrices, times the learning rate. Vectors never decay.'),
  adamBeta1: z.number().min(0).lt(1).default(0.9).describe('Memory of the mean of the gradient.'),
  adamBeta2: z.number().min(0).lt(1).default(0.999).describe('Memory of the mean of its square.'),
  adamEpsilon: z.number().positive().default(1e-8).describe('Keeps the division finite; larger damps rare gradients.'),
  maxGradNorm: z
    .number()
    .positive()
    .nullable()
    .default(1)
    .describe('Gradients longer than this are scaled down to it; null leaves them.'),
  gradientCheckpointing: z
    .boolean()
    .default(false)
    .describe(
      'Keep only the hidden states between layers, and compute the rest again: a third slower for a fraction of the memory.',
    ),
  lora: LoraSettings.nullable()
    .default(LoraSettings.parse({}))
    .describe('A low-rank adapter over the frozen model; null trains all weights.'),
  layersToTrain: z
    .int()
    .min(1)
    .optional()
    .describe(
      'Train the last so many layers only. The layers below then run without a graph, which saves most of the time.',
    ),
  frozenCacheMiB: z
    .int()
    .min(0)
    .default(1024)
    .describe(
      'Memory, in MiB, for what the layers below layersToTrain make of the data: computed once in place of every epoch, where it ' +
        'fits. 0 computes it every time.',
    ),
  evalSteps: z.int().min(1).optional().describe('Evaluate every so many steps. Default: at the end of each epoch.'),
  evalOnStart: z.boolean().default(false).describe('Evaluate before the first step too.'),
  earlyStoppingPatience: z
    .int()
    .min(1)
    .optional()
    .describe('Stop after so many evaluations without a better one. Default: never.'),
  loadBestModelAtEnd: z
    .boolean()
    .default(false)
    .describe('End with the weights of the best evaluation in place of the last ones.'),
  saveSteps: z.int().min(1).default(100).describe('Save a checkpoint every so many steps.'),
  saveSeconds: z.number().positive().default(300).describe('Save one at the latest after so many seconds.'),
  tensorboard: z.boolean().default(true).describe("Write TensorBoard's event files beside metrics.jsonl."),
});

export type TrainingSettings = z.output<typeof TrainingConfig>;

/**
 * A configuration with its defaults filled in.
 *
 * @param name where it stands, for messages: `sft`.
 * @throws NudgeError BAD_ARGUMENT with every field that is wrong.
 */
export function parseConfig<S extends z.ZodType>(schema: S, options: z.input<S>, name: string): z.output<S> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${[name, ...path].join('.')}: ${message}`);
  throw new NudgeError('BAD_ARGUMENT', 'The configuration is not valid.', {
    path: [name, ...(parsed.error.issues[0]?.path ?? [])].join('.'),
    received: problems.join('; '),
    remedy: 'Correct these fields; the documentation lists all of them with their ranges.',
  });
}

/** The part of a configuration that decides the result: a run may go on with other values of the rest. */
export function decisive<T extends Partial<TrainingSettings>>(
  config: T,
): Omit<T, 'saveSteps' | 'saveSeconds' | 'tensorboard'> {
  const { saveSteps: _steps, saveSeconds: _seconds, tensorboard: _tensorboard, ...rest } = config;
  return rest;
}
