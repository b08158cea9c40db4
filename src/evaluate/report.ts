/** The result of a comparison as plain JSON: one schema for the file, the types and whoever reads it. */
import * as z from 'zod';
import type { Content } from '../data/index.ts';

const share = z.number().min(0).max(1);
const count = z.number().int().min(0);

const EstimateSchema = z
  .strictObject({
    value: z.number(),
    low: z.number(),
    high: z.number(),
    n: count.describe('Observations: pairs of answers.'),
  })
  .describe('A figure with its interval.');

const SummarySchema = z.strictObject({
  n: count,
  mean: z.number(),
  sd: z.number(),
  min: z.number(),
  median: z.number(),
  p95: z.number(),
  max: z.number(),
});

const DiversitySchema = z.strictObject({
  distinct1: share.nullable(),
  distinct2: share.nullable(),
  distinct3: share.nullable(),
  selfBleu: share.nullable().describe('Mean BLEU-4 of each answer with the others: rises when answers become alike.'),
  repetition: share.describe('Mean over answers of 1 - different / all 3-grams.'),
});

const sides = <T extends z.ZodType>(schema: T) => z.strictObject({ policy: schema, reference: schema });

const JudgeSchema = z.strictObject({
  winRate: EstimateSchema.describe("(wins + ties / 2) / n with Wilson's interval."),
  bootstrap: EstimateSchema.describe('The same with a bootstrap interval over prompts.'),
  wins: count,
  ties: count,
  losses: count,
  lengthControlled: z.strictObject({
    winRate: EstimateSchema.describe('What it would be if both sides wrote equally long answers.'),
    phi: z.number().describe('How much length decides; above 0 the longer answer tends to win.'),
  }),
  scores: sides(EstimateSchema).extend({
    difference: EstimateSchema.describe('Policy - reference, prompt by prompt.'),
  }),
  lengthTau: z
    .number()
    .nullable()
    .describe("Kendall's tau-b of score difference and length difference; null where either is the same everywhere."),
  orderConsistency: EstimateSchema.nullable().describe(
    'Share of prompts with the same winner in both orders; null for a judge that was asked in one.',
  ),
});

/** As `Content` has it; what a message holds besides its role is for the chat template to check. */
const ContentSchema = z.union([z.string(), z.array(z.looseObject({ role: z.string() }))]) as z.ZodType<Content>;

const AnswerSchema = z.strictObject({
  completion: ContentSchema,
  tokens: count.describe('Completion tokens.'),
  finished: z.boolean().optional().describe('Whether it ended by itself rather than at the limit.'),
});

const RowSchema = z.strictObject({
  id: z.string(),
  prompt: ContentSchema,
  policy: AnswerSchema.extend({ kl: z.number().optional().describe('log π - log ref, summed over the answer; nats.') }),
  reference: AnswerSchema,
  judges: z.record(
    z.string(),
    z.strictObject({
      policy: z.number(),
      reference: z.number(),
      outcome: share.describe('1: the policy won, 0.5: a tie, 0: it lost.'),
    }),
  ),
});

export const ComparisonReport = z.strictObject({
  prompts: count.describe('Compared pairs of answers.'),
  differentPrompts: count.describe('Several answers to one prompt are drawn together in all intervals.'),
  confidence: share.describe('Of all intervals here.'),
  judges: z.record(z.string(), JudgeSchema),
  judgePairs: z
    .array(
      z.strictObject({
        first: z.string(),
        second: z.string(),
        same: EstimateSchema.describe('Share of prompts on which both found the same winner.'),
        kappa: z.number().nullable().describe("Cohen's kappa of their outcomes; null where chance agrees fully."),
      }),
    )
    .describe('How far judges agree: a proxy that no longer agrees with gold is being exploited.'),
  kl: z
    .strictObject({
      perSequence: EstimateSchema.describe('Mean over answers of the sum over tokens, in nats.'),
      root: z.number().describe('√KL, against which rewards are drawn; 0 where the estimate is negative.'),
      perToken: z.number().describe('Nats a token, over all tokens.'),
    })
    .nullable(),
  lengths: sides(SummarySchema).extend({ difference: EstimateSchema }),
  diversity: sides(DiversitySchema),
  finished: sides(EstimateSchema)
    .nullable()
    .describe('Share of answers that ended by themselves; null where not known.'),
  rows: z.array(RowSchema),
});

export type ComparisonReport = z.infer<typeof ComparisonReport>;
export type ComparisonRow = ComparisonReport['rows'][number];
export type JudgeReport = ComparisonReport['judges'][string];

/** How a comparison is computed; what is compared comes separately. */
export const ComparisonConfig = z.strictObject({
  confidence: z
    .number()
    .gt(0)
    .lt(1)
    .default(0.95)
    .describe('Share of intervals that hold the truth; 0.99 is wider and errs less often.'),
  resamples: z
    .number()
    .int()
    .min(100)
    .max(100_000)
    .default(2000)
    .describe('Bootstrap samples; more make the ends of intervals steadier, and take longer.'),
  seed: z.number().int().min(0).default(0).describe('Of the bootstrap.'),
  concurrency: z
    .number()
    .int()
    .min(1)
    .max(256)
    .default(1)
    .describe('Prompts that are judged at the same time; more than 1 pays for judges behind a network.'),
});
export type ComparisonConfig = z.infer<typeof ComparisonConfig>;
