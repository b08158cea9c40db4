/** What goes into the store and comes out of it, and the schemas that check what goes in. */
import { z } from 'zod';
import type { Content } from '../../data/index.ts';
import { NudgeError } from '../../errors.ts';

/** Longer texts are refused: they are a mistake, and no screen shows them. */
const LONGEST_CONTENT = 4 * 2 ** 20;

const shortText = (most: number) =>
  z
    .string()
    .max(most, `longer than ${most} characters`)
    .refine((text) => !text.includes('\0') && text.isWellFormed(), 'holds a NUL character or a lone surrogate');
const name = shortText(200).refine((text) => text.trim() !== '', 'is empty');
const id = z.string().regex(/^[0-9a-f]{64}$/, 'expected an id: 64 hexadecimal digits');
const version = name.nullable();
const extra = z.record(z.string(), z.unknown());
const time = z.iso.datetime({ precision: 3, message: 'expected a time such as 2026-01-31T12:00:00.000Z' });

// Texts are stored as JSON, so that any string that a model can say is kept whole, NUL and lone surrogates included.
const text = z.string().max(LONGEST_CONTENT, `longer than ${LONGEST_CONTENT} characters`);
const messages = z
  .array(z.looseObject({ role: name, content: text.nullish() }))
  .min(1, 'expected at least one message')
  .max(10_000);
const content = z.union([text, messages], 'expected a string or a list of messages');
const filled = content.refine((value) => typeof value !== 'string' || value.trim() !== '', 'is empty');

export const ProjectName = name.default('default').describe('What belongs together: one model, one taste.');

export const NewPromptSchema = z.strictObject({
  project: ProjectName,
  prompt: filled,
  extra: extra.default({}).describe('Further columns, such as an id or a category.'),
});

export const ORIGINS = ['model', 'demonstration', 'imported'] as const;

/** The `finishReason` in `sampling` of a completion that reached its limit before its end. */
export const CUT_OFF = 'length';

export const NewCompletionSchema = z
  .strictObject({
    content,
    origin: z
      .enum(ORIGINS)
      .default('imported')
      .describe('model: sampled; demonstration: written as an example to learn from; imported: not known.'),
    tokenIds: z.array(z.int().min(0)).nullable().default(null),
    logprobs: z
      .array(z.number().max(0.001))
      .nullable()
      .default(null)
      .describe('One a token id, in nats: log pi(token) when it was sampled.'),
    model: shortText(500).nullable().default(null).describe("The model's hash."),
    sampling: extra
      .nullable()
      .default(null)
      .describe("Temperature and the like; finishReason 'length' says that it was cut off."),
    seed: z.int().min(0).nullable().default(null),
    extra: extra.default({}),
  })
  .refine(({ tokenIds, logprobs }) => logprobs === null || logprobs.length === tokenIds?.length, {
    message: 'expected one log-probability a token id',
    path: ['logprobs'],
  });

/** A completion may be given by its content alone. */
const bareOrWhole = z.preprocess(
  (value) => (typeof value === 'string' || Array.isArray(value) ? { content: value } : value),
  NewCompletionSchema,
);

export const NewTaskSchema = z.strictObject({
  project: ProjectName,
  prompt: filled,
  promptExtra: extra.default({}),
  completions: z.array(bareOrWhole).min(1).max(100),
  key: shortText(500)
    .default('')
    .describe('Tells apart tasks with the same prompt and completions, as when one is asked twice on purpose.'),
  extra: extra.default({}),
});

export const LABELLER_KINDS = ['person', 'ai', 'simulated'] as const;

export const NewLabellerSchema = z.strictObject({
  kind: z.enum(LABELLER_KINDS),
  name: name.describe('Unique among the labellers of its kind.'),
  profile: extra
    .default({})
    .describe('How it judges: for a model its name and prompt, for a simulated one its weights.'),
});

const order = z.array(z.int().min(0)).describe('Completions by position, in the order in which they were shown.');

export const NewDisplaySchema = z.strictObject({
  task: id,
  labeller: id,
  order: order.nullable().default(null).describe('Default: shuffled by task and labeller.'),
  guidelineVersion: version.default(null),
  clientVersion: version.default(null),
});

const rank = z.int().min(1).nullable();

export const NewJudgementSchema = z
  .strictObject({
    task: id,
    labeller: id,
    clientKey: name
      .nullable()
      .default(null)
      .describe('Chosen by the client; a submit that is sent again with the same key is stored once. Default: random.'),
    kind: z
      .enum(['ranking', 'skip', 'retraction'])
      .default('ranking')
      .describe('skip: will not judge this task. retraction: takes back an earlier judgement (`supersedes`).'),
    ranks: z
      .array(rank)
      .nullable()
      .default(null)
      .describe('One a completion: 1 is best, equal numbers are a tie, null was not ranked.'),
    noneGood: z
      .boolean()
      .default(false)
      .describe('None of the completions is acceptable; ranks may still say which is less bad.'),
    strength: z
      .int()
      .min(1)
      .max(4)
      .nullable()
      .default(null)
      .describe('How clear the preference is: 1 negligibly, 2 slightly, 3 clearly, 4 very much better.'),
    margin: z.number().nullable().default(null).describe('By how much the best is better, where a data set says so.'),
    flags: z
      .array(
        z.strictObject({
          position: z.int().min(0).nullable().describe('Which completion; null for the prompt or all.'),
          flag: name,
        }),
      )
      .max(1000)
      .default([]),
    reason: shortText(20_000).nullable().default(null),
    displayedOrder: order.nullable().optional().describe("Default: the task's last display to this labeller."),
    latencyMs: z
      .int()
      .min(0)
      .max(2 ** 31 - 1)
      .nullable()
      .default(null),
    guidelineVersion: version.optional().describe("Default: the display's."),
    clientVersion: version.optional().describe("Default: the display's."),
    supersedes: id
      .nullable()
      .default(null)
      .describe('The judgement of the same task and labeller that this one replaces.'),
    time: time.optional().describe('Default: now.'),
  })
  .superRefine((value, context) => {
    const complain = (message: string, path: string) => context.addIssue({ code: 'custom', message, path: [path] });
    if (value.kind === 'ranking') {
      const said = value.ranks?.some((given) => given !== null) ?? false;
      if (value.ranks === null) complain('is missing', 'ranks');
      else if (!said && !value.noneGood) complain('ranks nothing: use kind skip, or noneGood', 'ranks');
    } else {
      for (const field of ['ranks', 'strength', 'margin'] as const) {
        if (value[field] !== null) complain(`does not go with kind ${value.kind}`, field);
      }
      if (value.noneGood) complain(`does not go with kind ${value.kind}`, 'noneGood');
    }
    if (value.kind === 'retraction' && value.supersedes === null)
      complain('is missing: what is taken back?', 'supersedes');
  });

export const SnapshotFilterSchema = z.strictObject({
  project: ProjectName,
  labellers: z.array(id).nullable().default(null).describe('Only these; null for all.'),
  exceptLabellers: z.array(id).default([]).describe('Not these.'),
  kinds: z.array(z.enum(LABELLER_KINDS)).nullable().default(null).describe('Only labellers of these kinds.'),
  guidelineVersions: z.array(version).nullable().default(null).describe('Only judgements under these guidelines.'),
  includeWithdrawn: z.boolean().default(false).describe('Whether the judgements of withdrawn labellers count.'),
  since: time.nullable().default(null).describe('From this time on.'),
  until: time
    .nullable()
    .default(null)
    .describe('As the store was then: later judgements do not count, and supersede nothing.'),
});

type Input<S extends z.ZodType, Replaced> = Omit<z.input<S>, keyof Replaced> & Replaced;

export type NewPrompt = Input<typeof NewPromptSchema, { prompt: Content }>;
export type NewCompletion = Input<
  typeof NewCompletionSchema,
  { content: Content; tokenIds?: readonly number[] | null; logprobs?: readonly number[] | null }
>;
export type NewTask = Input<
  typeof NewTaskSchema,
  { prompt: Content; completions: readonly (Content | NewCompletion)[] }
>;
export type NewLabeller = z.input<typeof NewLabellerSchema>;
export type NewDisplay = Input<typeof NewDisplaySchema, { order?: readonly number[] | null }>;
export type NewJudgement = Input<
  typeof NewJudgementSchema,
  {
    ranks?: readonly (number | null)[] | null;
    flags?: readonly Flag[];
    displayedOrder?: readonly number[] | null | undefined;
  }
>;
export type SnapshotFilter = z.input<typeof SnapshotFilterSchema>;

type Json = Readonly<Record<string, unknown>>;
export type Origin = (typeof ORIGINS)[number];
export type LabellerKind = (typeof LABELLER_KINDS)[number];

export interface Prompt {
  readonly id: string;
  readonly project: string;
  readonly prompt: Content;
  readonly extra: Json;
  readonly time: string;
}

export interface Completion {
  readonly id: string;
  /** The prompt's id. */
  readonly prompt: string;
  readonly content: Content;
  readonly origin: Origin;
  readonly tokenIds: readonly number[] | null;
  /** In nats, one a token id. */
  readonly logprobs: readonly number[] | null;
  readonly model: string | null;
  readonly sampling: Json | null;
  readonly seed: number | null;
  readonly extra: Json;
  readonly time: string;
}

/** One prompt and K completions to judge. A completion's position is its place in `completions`. */
export interface Task {
  readonly id: string;
  readonly project: string;
  readonly prompt: Prompt;
  readonly completions: readonly Completion[];
  readonly key: string;
  readonly extra: Json;
  readonly time: string;
}

export interface Labeller {
  readonly id: string;
  readonly kind: LabellerKind;
  readonly name: string;
  readonly profile: Json;
  /** The last event of its kind counts. */
  readonly withdrawn: boolean;
  readonly time: string;
}

export interface Display {
  readonly id: string;
  readonly task: string;
  readonly labeller: string;
  /** order[i] is the position of the completion that was shown in place i. */
  readonly order: readonly number[];
  readonly guidelineVersion: string | null;
  readonly clientVersion: string | null;
  readonly time: string;
}

export interface Flag {
  readonly position: number | null;
  readonly flag: string;
}

/** What a labeller said about a task. Immutable. */
export interface Judgement {
  readonly id: string;
  readonly task: string;
  readonly labeller: string;
  readonly clientKey: string;
  readonly kind: 'ranking' | 'skip' | 'retraction';
  readonly ranks: readonly (number | null)[] | null;
  readonly noneGood: boolean;
  readonly strength: number | null;
  readonly margin: number | null;
  readonly flags: readonly Flag[];
  readonly reason: string | null;
  readonly displayedOrder: readonly number[] | null;
  readonly latencyMs: number | null;
  readonly guidelineVersion: string | null;
  readonly clientVersion: string | null;
  readonly supersedes: string | null;
  readonly time: string;
}

export interface Snapshot {
  /** SHA-256 over the ids of the judgements: the same judgements, the same snapshot. */
  readonly id: string;
  readonly project: string;
  /** The filter that made it first. */
  readonly filter: z.output<typeof SnapshotFilterSchema>;
  readonly judgements: number;
  readonly time: string;
}

/** Parses what a caller passed. @throws NudgeError BAD_ARGUMENT with every field that does not fit. */
export function parse<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.')}: ${innermost(issue).message}`);
  throw new NudgeError('BAD_ARGUMENT', `This is no ${what}.`, { path: what, received: issues.join('; ') });
}

/** Of content that is a string or messages: the complaint about the kind that it is. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue;
  const branch = issue.errors.find(
    (issues) => !issues.some(({ code, path }) => code === 'invalid_type' && path.length === 0),
  );
  return branch?.[0] === undefined ? issue : innermost(branch[0]);
}

export function notFound(what: string, received: string): NudgeError {
  return new NudgeError('NOT_FOUND', `There is no such ${what} in this store.`, { path: what, received });
}
