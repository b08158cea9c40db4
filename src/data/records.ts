/**
 * What the trainers are given: one plain record a row, in one of six formats. Names follow TRL's dataset formats where it
 * has one (huggingface.co/docs/trl/dataset_formats).
 *
 * Each text is either a string, which a model continues as it stands (TRL's standard format), or messages, which a chat
 * template renders (its conversational format).
 */

import * as z from 'zod';
import type { ChatMessage } from '../text/index.ts';

/** A string, which is continued as it stands, or messages, which the chat template renders. */
export type Content = string | readonly ChatMessage[];

/** Columns of the row that the format has no name for: an id, an answer to check against, a group to split by. */
export type Extra = Readonly<Record<string, unknown>>;

interface WithExtra {
  readonly extra?: Extra;
}

/** A text, or a whole conversation, to learn from. TRL: language modeling. */
export interface TextRecord extends WithExtra {
  readonly text: Content;
}

/** A prompt to answer. TRL: prompt-only. */
export interface PromptRecord extends WithExtra {
  readonly prompt: Content;
}

/** A prompt and the answer to learn. TRL: prompt-completion. */
export interface CompletionRecord extends WithExtra {
  readonly prompt: Content;
  readonly completion: Content;
}

/** Two answers, of which one was preferred. TRL: preference. */
export interface PreferenceRecord extends WithExtra {
  readonly prompt: Content;
  readonly chosen: Content;
  readonly rejected: Content;
  /** By how much the chosen one is better, for losses with a margin (Llama 2, arXiv:2307.09288, equation 2). */
  readonly margin?: number;
}

/** K answers, of which some or all were ranked. */
export interface RankingRecord extends WithExtra {
  readonly prompt: Content;
  readonly completions: readonly Content[];
  /** One a completion: 1 is best, equal numbers are a tie, null was not ranked. */
  readonly ranks: readonly (number | null)[];
  /** One a completion: true where it was cut off at a length limit, so that no end of text follows. Missing: all came to an end. */
  readonly truncated?: readonly boolean[];
}

/** An answer that was found good (true) or bad (false). TRL: unpaired preference. */
export interface UnpairedRecord extends WithExtra {
  readonly prompt: Content;
  readonly completion: Content;
  readonly label: boolean;
}

/** The record of each format, by the format's name. */
export interface RecordsByFormat {
  text: TextRecord;
  'prompt-only': PromptRecord;
  'prompt-completion': CompletionRecord;
  preference: PreferenceRecord;
  ranking: RankingRecord;
  unpaired: UnpairedRecord;
}

export type Format = keyof RecordsByFormat;
export type AnyRecord = RecordsByFormat[Format];

/** The roles that a message may have. */
export const MESSAGE_ROLES = ['system', 'developer', 'user', 'assistant', 'tool'] as const;

const wholeText = z
  .string('expected a string')
  .refine((text) => !text.includes('\0'), 'holds a NUL character (U+0000): the text is damaged')
  .refine((text) => text.isWellFormed(), 'holds a lone surrogate: the text is damaged (toWellFormed() replaces it)');
const filled = wholeText.refine((text) => text.trim() !== '', 'is empty');

const message = z
  .looseObject(
    {
      role: z.enum(MESSAGE_ROLES, `expected one of ${MESSAGE_ROLES.join(', ')}`),
      content: wholeText.nullish(),
      tool_calls: z.array(z.unknown()).nullish(),
    },
    'expected { role, content }',
  )
  .refine((said) => typeof said.content === 'string' || (said.tool_calls ?? []).length > 0, {
    message: 'is missing (only an assistant that calls tools may say nothing)',
    path: ['content'],
  });

const noMessages = 'expected a list of at least one message';
const messages = z.array(message, noMessages).min(1, noMessages);
const isSpoken = (list: readonly z.infer<typeof message>[]) =>
  list.every((said) => said.role === 'system' || said.role === 'tool' || said.content?.trim() !== '');

const neither = 'expected a string or a list of messages';
const promptContent = z.union(
  [
    filled,
    messages
      .refine((list) => list.at(-1)?.role !== 'assistant', "ends with the assistant's message: nothing is asked")
      .refine(isSpoken, 'has an empty message'),
  ],
  neither,
);
const conversation = messages
  .refine((list) => list.some((said) => said.role === 'assistant'), 'has no message of the assistant')
  .refine(isSpoken, 'has an empty message');
const answerMessages = messages
  .refine((list) => list[0]?.role === 'assistant', "does not begin with the assistant's message")
  .refine((list) => list.at(-1)?.role === 'assistant', "does not end with the assistant's message");
const goodAnswer = z.union([filled, answerMessages.refine(isSpoken, 'is empty')], neither);
// A model may say nothing at all, and a judge may find that bad.
const anyAnswer = z.union([wholeText, answerMessages], neither);

const extra = z.record(z.string(), z.unknown()).optional();
const rank = z
  .int('expected a whole number from 1, or null')
  .min(1, 'expected a whole number from 1, or null')
  .nullable();

const ranking = z
  .strictObject({
    prompt: promptContent,
    completions: z.array(anyAnswer, 'expected a list').min(2, 'expected at least two completions'),
    ranks: z.array(rank, 'expected a list'),
    truncated: z.array(z.boolean('expected true or false'), 'expected a list').optional(),
    extra,
  })
  .superRefine(({ completions, ranks, truncated }, context) => {
    const complain = (text: string, field = 'ranks') =>
      context.addIssue({ code: 'custom', message: text, path: [field] });
    if (truncated !== undefined && truncated.length !== completions.length) {
      const found = `${truncated.length} for ${completions.length} completions`;
      complain(`expected true or false for each completion: ${found}`, 'truncated');
    }
    if (ranks.length !== completions.length) {
      complain(`expected one rank a completion: ${ranks.length} ranks for ${completions.length} completions`);
    } else if (ranks.filter((value) => value !== null).length < 2) {
      complain('expected at least two completions that were ranked: fewer cannot be compared');
    }
  });

const preference = z
  .strictObject({
    prompt: promptContent,
    chosen: goodAnswer,
    rejected: anyAnswer,
    margin: z.number('expected a number').optional(),
    extra,
  })
  .refine(({ chosen, rejected }) => JSON.stringify(chosen) !== JSON.stringify(rejected), {
    message: 'is the same as chosen',
    path: ['rejected'],
  });

const unpaired = z
  .strictObject({ prompt: promptContent, completion: anyAnswer, label: z.boolean('expected true or false'), extra })
  .refine(({ completion, label }) => !label || goodAnswer.safeParse(completion).success, {
    message: 'is empty, and yet found good',
    path: ['completion'],
  });

/** The schema of each format's record. What is parsed by one is a record that every trainer of the format accepts. */
export const RECORD_SCHEMAS = {
  text: z.strictObject({ text: z.union([filled, conversation], neither), extra }),
  'prompt-only': z.strictObject({ prompt: promptContent, extra }),
  'prompt-completion': z.strictObject({ prompt: promptContent, completion: goodAnswer, extra }),
  preference,
  ranking,
  unpaired,
} as const satisfies Record<Format, z.ZodType>;

export const FORMATS = Object.keys(RECORD_SCHEMAS) as readonly Format[];

/** What is wrong with a row: the field, as a path such as `chosen[2].role`, and why. */
export interface Fault {
  readonly field?: string;
  readonly reason: string;
}

/** The record, or what is wrong with it: the first fault alone, since one wrong field often breaks others. */
export function checkRecord<F extends Format>(
  format: F,
  value: unknown,
): { record: RecordsByFormat[F] } | { fault: Fault } {
  const { success, error } = RECORD_SCHEMAS[format].safeParse(value);
  // The value itself, not zod's copy: nothing is coerced, and a copy of every message costs time and memory.
  if (success) return { record: value as RecordsByFormat[F] };
  return { fault: faultOf(error.issues[0] as z.core.$ZodIssue, value) };
}

function faultOf(issue: z.core.$ZodIssue, value: unknown, parents: readonly PropertyKey[] = []): Fault {
  const path = [...parents, ...issue.path];
  if (issue.code === 'invalid_union') {
    const branch = issue.errors.findIndex((issues) => !issues.some((inner) => isAboutType(inner)));
    const inner = issue.errors[branch]?.[0];
    if (inner !== undefined) return faultOf(inner, value, path);
  }
  const found = valueAt(value, path);
  const field = showPath(path);
  return { ...(field === '' ? {} : { field }), reason: reasonOf(issue, found) };
}

function reasonOf({ code, message }: z.core.$ZodIssue, found: unknown): string {
  if (found === undefined && code !== 'unrecognized_keys') return message.includes('missing') ? message : 'is missing';
  const isBrief = typeof found !== 'object' || found === null;
  return message.startsWith('expected') && isBrief ? `${message}, received ${brief(found)}` : message;
}

/** A value in a complaint: in quotes, escaped, cut short. */
export function brief(value: unknown): string {
  const isNumber = typeof value === 'number' || typeof value === 'bigint';
  const text = (isNumber ? undefined : JSON.stringify(value)) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Of the two kinds of content, a string and a list, a value is one: the complaint that it is not the other says nothing. */
function isAboutType(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type' && issue.path.length === 0;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined),
    value,
  );
}

function showPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text === '' ? String(key) : `${text}.${String(key)}`),
    '',
  );
}
