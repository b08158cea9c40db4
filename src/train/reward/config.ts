/** The configuration of reward models. */
import * as z from 'zod';
import { TokeniseConfig } from '../../data/index.ts';
import { REWARD_LOSSES, type RewardLossName } from '../../losses/index.ts';
import { TrainingConfig } from '../config.ts';

const lossNames = Object.keys(REWARD_LOSSES) as [RewardLossName, ...RewardLossName[]];

export const RewardConfig = z.strictObject({
  ...TrainingConfig.shape,
  ...TokeniseConfig.pick({
    maxLength: true,
    maxPromptLength: true,
    maxCompletionLength: true,
    longCompletions: true,
    strings: true,
    appendEos: true,
    system: true,
  }).shape,
  maxLength: z
    .int()
    .min(2)
    .default(1024)
    .describe('Longest prompt and completion together, in tokens. Memory and time go with it.'),
  loss: z
    .enum(lossNames)
    .default('bradleyTerry')
    .describe(
      'bradleyTerry: all pairs of a prompt; ties teach nothing. bradleyTerryHalfTies: ties draw scores together. raoKupper and ' +
        'davidson: ties are an outcome of their own. plackettLuce: whole rankings.',
    ),
  tieWeight: z
    .number()
    .positive()
    .optional()
    .describe("How common ties are: Davidson's ν (default 0.5), Rao-Kupper's θ > 1 (default 1.5)."),
  centerRewardsCoefficient: z
    .number()
    .min(0)
    .default(0.01)
    .describe('Pulls the scores of a pair towards a sum of zero, at no cost in accuracy; 0 leaves their level free.'),
  labelColumn: z
    .string()
    .min(1)
    .optional()
    .describe('The column with soft labels: the probability that chosen is the better one. Default: it is certain.'),
  headInit: z
    .enum(['normal', 'zero'])
    .default('normal')
    .describe(
      "How a fresh adapter's head begins. normal: N(0, 1/(D + 1)), as published. zero: all scores equal, so that no step is " +
        'spent on forgetting; better in runs of some dozen steps.',
    ),
  normalisationRows: z
    .int()
    .min(2)
    .default(256)
    .describe('How many reference completions give scores their mean 0 and standard deviation 1 after training.'),
});

export type RewardOptions = z.input<typeof RewardConfig>;
export type RewardSettings = z.output<typeof RewardConfig>;
