/**
 * A hidden rubric: what simulated labellers value, and the gold judge of evaluation.
 *
 * score = (sum of weight x goal) / (sum of weights) x product over gates of (1 - strength x (1 - gate)), from 0 to 1.
 *
 * The reward model never sees it, only the judgements that labellers made by it, as with people. It stands for taste, not for
 * truth: nothing here knows whether an answer is right.
 */
import { z } from 'zod';
import { NudgeError } from '../../errors.ts';
import type { ChatMessage } from '../../text/index.ts';
import { type Features, featuresOf } from './features.ts';

const weight = (value: number, of: string) => z.number().min(0).max(100).default(value).describe(`Weight of ${of}.`);
const strength = (value: number, of: string) =>
  z.number().min(0).max(1).default(value).describe(`How much of the score ${of} can take away: 1 all, 0 nothing.`);

export const RubricSchema = z
  .strictObject({
    tone: z.enum(['positive', 'neutral']).default('positive').describe('The tone that counts as good.'),
    band: z
      .strictObject({
        none: z.number().min(0).default(2).describe('Up to this many words, concision is 0.'),
        low: z.number().positive().default(12).describe('From this many words, concision is whole.'),
        high: z.number().positive().default(36).describe('Up to this many words, concision is whole.'),
        tooMany: z.number().positive().default(70).describe('From this many words, concision is 0.'),
      })
      .refine(({ none, low, high, tooMany }) => none < low && low <= high && high < tooMany, {
        message: 'expected none < low <= high < tooMany',
      })
      .prefault({})
      .describe('The length that counts as concise, in words.'),
    weights: z
      .strictObject({
        sentiment: weight(0.45, 'a tone as wanted'),
        concise: weight(0.25, 'the length'),
        complete: weight(0.3, 'a finished last sentence'),
      })
      .refine((weights) => Object.values(weights).some((value) => value > 0), { message: 'expected a weight above 0' })
      .prefault({})
      .describe('What the goals count, relative to each other.'),
    gates: z
      .strictObject({
        relevant: strength(0.6, 'an answer beside the topic'),
        original: strength(1, 'handing the prompt back'),
        unrepetitive: strength(1, 'repetition'),
        plain: strength(1, 'shouting and markup'),
        fluent: strength(1, 'a heap of words that is no sentence'),
      })
      .prefault({})
      .describe('What takes away from the whole.'),
  })
  .describe('What a good answer is.');

export type Rubric = z.output<typeof RubricSchema>;
export type RubricInput = z.input<typeof RubricSchema>;

/** Rubrics by name. `encouraging` is the default everywhere. */
export const RUBRICS = {
  /** Warm, to the point, finished, in 12 to 36 words. */
  encouraging: RubricSchema.parse({}),
  /** As short as can be; the tone hardly matters. */
  concise: RubricSchema.parse({
    band: { none: 2, low: 6, high: 18, tooMany: 45 },
    weights: { sentiment: 0.1, concise: 0.6, complete: 0.3 },
  }),
  /** Speaks to the question, with room to explain. */
  helpful: RubricSchema.parse({
    band: { none: 5, low: 25, high: 80, tooMany: 200 },
    weights: { sentiment: 0.2, concise: 0.4, complete: 0.4 },
    gates: { relevant: 1 },
  }),
  /** Sober: neither praise nor gloom. */
  matterOfFact: RubricSchema.parse({ tone: 'neutral' }),
} as const satisfies Record<string, Rubric>;

export type RubricName = keyof typeof RUBRICS;
export const RUBRIC_NAMES = Object.keys(RUBRICS) as [RubricName, ...RubricName[]];
type Text = string | readonly ChatMessage[];

/**
 * The score of an answer without noise or bias, from 0 to 1: the gold judge.
 *
 * Empty, repeated, shouting and keyword answers get near 0; an answer that breaks off, or says nothing to the question, loses
 * what its weight and strength say.
 *
 * @param prompt a text, or messages, of which the last of the user counts.
 * @param answer a text, or messages, of which the assistant's after the last of the user count.
 * @param rubric a name, or a rubric of your own; weights need not add up to 1. Default `encouraging`.
 * @throws NudgeError BAD_ARGUMENT for an unknown name or a rubric that does not fit the schema.
 */
export function goldScore(prompt: Text, answer: Text, rubric: RubricName | RubricInput = 'encouraging'): number {
  const settled = resolveRubric(rubric);
  return scoreFeatures(featuresOf(questionOf(prompt), answerText(answer), settled), settled);
}

/** What the score is made of, to explain it. */
export function rubricFeatures(prompt: Text, answer: Text, rubric: RubricName | RubricInput = 'encouraging'): Features {
  return featuresOf(questionOf(prompt), answerText(answer), resolveRubric(rubric));
}

export function scoreFeatures(features: Features, { weights, gates }: Rubric): number {
  const goals = Object.entries(weights) as [keyof typeof weights, number][];
  const total = goals.reduce((sum, [, value]) => sum + value, 0);
  const base = goals.reduce((sum, [name, value]) => sum + value * features[name], 0) / total;
  const passed = (Object.entries(gates) as [keyof typeof gates, number][]).map(
    ([name, value]) => 1 - value * (1 - features[name]),
  );
  return passed.reduce((product, value) => product * value, base);
}

/** @throws NudgeError BAD_ARGUMENT. */
export function resolveRubric(rubric: RubricName | RubricInput): Rubric {
  if (typeof rubric === 'string') {
    if (Object.hasOwn(RUBRICS, rubric)) return RUBRICS[rubric];
    throw new NudgeError('BAD_ARGUMENT', 'There is no rubric of this name.', {
      path: 'rubric',
      expected: Object.keys(RUBRICS).join(', '),
      received: JSON.stringify(rubric),
    });
  }
  const parsed = RubricSchema.safeParse(rubric);
  if (!parsed.success) {
    throw new NudgeError('BAD_ARGUMENT', 'This is no rubric.', {
      path: 'rubric',
      received: z.prettifyError(parsed.error),
      remedy: `Take one of ${Object.keys(RUBRICS).join(', ')}, or correct these fields.`,
    });
  }
  return parsed.data;
}

function questionOf(prompt: Text): string {
  if (typeof prompt === 'string') return prompt;
  const turn = prompt.findLast(({ role }) => role === 'user') ?? prompt.at(-1);
  return turn === undefined ? '' : contentOf(turn);
}

export function answerText(answer: Text): string {
  if (typeof answer === 'string') return answer;
  const start = answer.findLastIndex(({ role }) => role === 'user') + 1;
  return answer.slice(start).map(contentOf).join('\n');
}

function contentOf({ content }: ChatMessage): string {
  return typeof content === 'string' ? content : '';
}
