/** What `nudge.yaml` holds: one schema for checking, defaults, the commented file of `nudge init` and editors' JSON Schema. */
import * as z from 'zod';
import { PoolConfig } from '../feedback/index.ts';
import {
  AdapterModelsConfig,
  ENSEMBLE_RULES,
  type EnsembleRule,
  PpoConfig,
  RewardConfig,
  SftConfig,
} from '../train/index.ts';

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/i;
/** Names of rewards that are there anyway. */
const RESERVED = ['model', 'gold'];

const model = z
  .union([
    z.string().min(1),
    z.strictObject({
      name: z.string().min(1).describe('A short name, owner/name on the hub, a directory or a .gguf file.'),
      revision: z.string().optional().describe('A branch, tag or commit on the hub. Default: main.'),
      dtype: z
        .enum(['auto', 'float32', 'bfloat16', 'float16'])
        .default('auto')
        .describe("The weights' precision in memory; auto takes what trains fastest here."),
    }),
  ])
  .transform((value) => (typeof value === 'string' ? { name: value, dtype: 'auto' as const } : value))
  .describe('The pretrained model: `nudge models list` shows names.');

/** How rows of a file are read. */
const reading = {
  map: z
    .record(z.string(), z.string())
    .optional()
    .describe('Columns that have other names in the file, such as { prompt: question }.'),
  skipBadRows: z
    .boolean()
    .default(false)
    .describe('Go on without rows that cannot be used: they are set aside with their reasons. Else they are an error.'),
};

const prompts = z.strictObject({
  file: z.string().describe('Prompts, one a row: JSONL, JSON, CSV or Parquet. Relative paths start at this file.'),
  ...reading,
  system: z.string().optional().describe('A system message before every prompt.'),
  training: z.int().min(2).default(128).describe('How many prompts to learn from, at most.'),
  evaluation: z.int().min(8).default(64).describe('How many prompts to hold out for the final comparison.'),
});

const sft = z
  .strictObject({
    data: z.string().describe('Prompts with good answers, or conversations: JSONL, JSON, CSV or Parquet.'),
    ...reading,
    ...SftConfig.shape,
  })
  .describe(
    'Supervised fine-tuning on good answers, before everything else. Leave it out where the model answers already.',
  );

const sample = z
  .strictObject({
    numGenerations: z.int().min(2).max(9).default(4).describe('Answers to each prompt (K).'),
    maxCompletionLength: z.int().min(1).default(48).describe('Tokens of an answer at most.'),
    temperature: z.number().positive().max(5).default(1).describe('How freely answers are drawn.'),
  })
  .describe('Several answers to each prompt.');

const label = z
  .strictObject({
    by: z
      .enum(['simulated', 'file'])
      .default('simulated')
      .describe('Who ranks the answers. file: they were ranked before, and `data` holds what was said.'),
    data: z
      .string()
      .optional()
      .describe('For by: file. Rankings, or pairs of chosen and rejected: JSONL, JSON, CSV or Parquet.'),
    ...reading,
    judgementsPerTask: z.int().min(1).max(20).default(2).describe('How many labellers see each prompt.'),
    pool: PoolConfig.prefault({}).describe('The simulated labellers and their hidden rubric.'),
  })
  .describe('Answers are ranked from best to worst.');

const reward = z
  .strictObject({
    ...RewardConfig.shape,
    members: z
      .int()
      .min(1)
      .max(16)
      .default(1)
      .describe('Reward models that differ in their seed. Several resist being gamed, and each costs as much as one.'),
    rule: z
      .enum(Object.keys(ENSEMBLE_RULES) as [EnsembleRule, ...EnsembleRule[]])
      .default('mean')
      .describe('How the scores of several become one; min and the two that subtract trust them as far as they agree.'),
    lambda: z.number().min(0).default(1).describe('How much meanMinusVariance and meanMinusDeviation subtract.'),
  })
  .describe('The reward model learns to score as the labellers rank.');

const rewardTerm = z.strictObject({
  name: z
    .string()
    .regex(NAME, 'letters, digits, dots, dashes and underscores, at most 64')
    .refine((name) => !RESERVED.includes(name), `must not be ${RESERVED.join(' or ')}`)
    .describe('In the metrics: scores/<name>.'),
  module: z
    .string()
    .describe('A module whose default export scores a batch: ({ prompts, completions, finished }) => numbers.'),
  weight: z.number().default(1).describe('Negative makes it a penalty, 0 only writes it down.'),
});

const { seed: _, ...adapters } = AdapterModelsConfig.shape;

const ppo = PpoConfig.safeExtend({
  ...adapters,
  rewardWeight: z.number().default(1).describe("The reward model's weight among the rewards."),
  rewards: z
    .array(rewardTerm)
    .max(20)
    .default([])
    .describe(
      'Further rewards, each { name, module, weight }: JavaScript or TypeScript of yours, run in this process.',
    ),
  ptxData: z
    .string()
    .optional()
    .describe('Text that the policy must not forget (PPO-ptx, with ptxCoef): JSONL, JSON, CSV or Parquet.'),
}).describe('The policy learns what the reward model scores high, and is kept near the original.');

const evaluate = z
  .strictObject({
    judgements: z.int().min(1).max(16).default(1).describe('Answers compared for each held-out prompt.'),
    temperature: z.number().min(0).max(5).optional().describe('Default: as PPO sampled.'),
    maxCompletionLength: z.int().min(1).optional().describe('Default: as PPO sampled.'),
    bootstrap: z.int().min(100).max(100_000).default(2000).describe('Resamples for intervals.'),
  })
  .describe('Policy against reference on held-out prompts, by the gold judge and by the reward model.');

const exported = z
  .strictObject({
    format: z
      .enum(['hf', 'peft', 'gguf'])
      .default('hf')
      .describe('What to write: a whole model, the adapter, or a GGUF file.'),
    ggufType: z.enum(['f32', 'f16', 'bf16', 'q8_0']).default('q8_0').describe('Precision of a GGUF file.'),
  })
  .describe('The finished model in a form that others load.');

export const RunConfigSchema = z
  .strictObject({
    name: z
      .string()
      .regex(NAME, 'letters, digits, dots, dashes and underscores, at most 64')
      .default('run')
      .describe('Where it is kept: runs/<name>.'),
    model,
    seed: z.int().min(0).default(1).describe('Decides every draw. Same seed, same machine, same result.'),
    seeds: z.array(z.int().min(0)).min(1).optional().describe('Several runs, one a seed, in place of `seed`.'),
    rounds: z
      .int()
      .min(1)
      .max(20)
      .default(1)
      .describe('How often to go round: answers of the new policy are ranked, and it learns from these too.'),
    prompts,
    sft: sft.optional(),
    sample: sample.optional(),
    label: label.optional(),
    reward: reward.optional(),
    ppo: ppo.optional(),
    evaluate: evaluate.optional(),
    export: exported.optional(),
  })
  .superRefine((config, context) => {
    const complain = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    const isFile = config.label?.by === 'file';
    if (isFile && config.label!.data === undefined) complain(['label', 'by'], 'by: file needs `data`, a file');
    if (!isFile && config.label?.data !== undefined) complain(['label', 'data'], 'is read with `by: file` only');
    if (isFile && config.sample !== undefined) {
      complain(['sample'], 'nobody would rank these answers, since `label` reads a file: leave `sample` out');
    }
    if (isFile && config.rounds > 1) complain(['rounds'], 'more than one round needs labellers, not `by: file`');
    for (const [stage, needed] of NEEDS) {
      if (needed === 'sample' && isFile) continue;
      if (config[stage] === undefined || config[needed] !== undefined) continue;
      context.addIssue({ code: 'custom', path: [stage], message: `needs the stage ${needed}: add \`${needed}: {}\`` });
    }
    if (config.rounds > 1 && config.ppo === undefined) {
      context.addIssue({ code: 'custom', path: ['rounds'], message: 'more than one round needs the stage ppo' });
    }
  })
  .describe('A run of Nudge: from a pretrained model to one that answers as its users prefer.');

/** A stage, and one whose results it cannot do without. */
const NEEDS = [
  ['label', 'sample'],
  ['reward', 'label'],
  ['ppo', 'reward'],
  ['evaluate', 'ppo'],
] as const;

export type RunConfig = z.output<typeof RunConfigSchema>;
export type RunConfigInput = z.input<typeof RunConfigSchema>;
