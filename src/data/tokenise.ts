/** Records as token ids, each format in the form that its trainers take. Loads without libtorch. */

import * as z from 'zod';
import { NudgeError } from '../errors.ts';
import type { Tokenizer } from '../text/index.ts';
import {
  EncodeConfig,
  type EncodedCompletion,
  type EncodeRecordOptions,
  encodeCompletion,
  encodeCompletions,
  encodePrompt,
  encodeText,
} from './encode.ts';
import type { Content, Format, RecordsByFormat } from './records.ts';
import {
  checkLengths,
  completionRoom,
  LengthConfig,
  promptRoom,
  shortenPrompt,
  type TruncationReport,
} from './truncate.ts';

/** A sequence to learn. */
export interface TokenExample {
  ids: number[];
  /** Index of the first target, at least 1: nothing predicts the first token. */
  completionStart: number;
  /** True: the token is a target. As long as `ids`. Where it is missing, all tokens from `completionStart` on are. */
  mask?: boolean[];
}

export interface TokenCompletion {
  /** The completion alone, ended as generation ends it. */
  ids: number[];
  /** True: the token is the assistant's. Missing where all are. */
  mask?: boolean[];
}

export interface TokenPrompt {
  /** What generation begins with. */
  ids: number[];
}

export interface TokenPreference {
  promptIds: number[];
  chosen: TokenCompletion;
  rejected: TokenCompletion;
  margin?: number;
}

export interface TokenRanking {
  promptIds: number[];
  completions: TokenCompletion[];
  /** One a completion: 1 is best, equal numbers are a tie, null was not ranked. */
  ranks: (number | null)[];
}

export interface TokenUnpaired extends TokenExample {
  label: boolean;
}

/** What each format becomes. */
export interface TokensByFormat {
  text: TokenExample;
  'prompt-only': TokenPrompt;
  'prompt-completion': TokenExample;
  preference: TokenPreference;
  ranking: TokenRanking;
  unpaired: TokenUnpaired;
}

/** How records become tokens, as a trainer's config holds it. */
export const TokeniseConfig = z.strictObject({
  ...LengthConfig.shape,
  ...EncodeConfig.shape,
  completionOnlyLoss: z
    .boolean()
    .default(true)
    .describe("Learn the completion alone; false makes the prompt's tokens targets too."),
  assistantOnlyLoss: z
    .boolean()
    .default(true)
    .describe('Of a conversation without a prompt, learn what the assistant says; false makes all tokens targets.'),
  turns: z
    .enum(['all', 'last'])
    .default('all')
    .describe("Which of the assistant's turns of such a conversation are learned."),
});

export type TokeniseOptions = z.input<typeof TokeniseConfig> & EncodeRecordOptions;

export interface TokenReport extends TruncationReport {
  /** Rows whose prompt and completion have other ids when encoded as one text; mostly a prompt that ends in a space. */
  boundaryMerges: number;
  /** Completions that their records call truncated: no end of text follows them. */
  openCompletions: number;
}

export interface Tokenised<T> {
  examples: T[];
  /** For each example, the index of the record that it came from: records can be dropped. */
  sources: number[];
  report: TokenReport;
}

/**
 * Encodes records, shortens what is too long, and counts what was shortened or dropped.
 *
 * @throws NudgeError BAD_ARGUMENT, with the record's index, where a record cannot be rendered, or where none is left.
 */
export function tokenise<F extends Format>(
  tokenizer: Tokenizer,
  format: F,
  records: readonly RecordsByFormat[F][],
  options: TokeniseOptions = {},
): Tokenised<TokensByFormat[F]> {
  checkLengths(options);
  const job = new Job(tokenizer, options);
  const encode = (job.encoders as { [K in Format]: (record: RecordsByFormat[K]) => TokensByFormat[K] | null })[format];
  const examples: TokensByFormat[F][] = [];
  const sources: number[] = [];
  records.forEach((record, i) => {
    const example = at(i, () => encode(record));
    job.report.rows++;
    if (example === null) job.report.dropped++;
    else {
      examples.push(example);
      sources.push(i);
    }
  });
  if (examples.length === 0 && records.length > 0) {
    throw new NudgeError('BAD_ARGUMENT', 'Every row is too long.', {
      path: 'maxLength',
      received: `${records.length} rows, all of them longer`,
      remedy: "Raise maxLength or maxCompletionLength, or pass { longCompletions: 'cut' }.",
    });
  }
  return { examples, sources, report: job.report };
}

function at<T>(index: number, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof NudgeError)) throw error;
    const { path, expected, received, remedy } = error;
    const [summary = ''] = error.message.split('\n');
    throw new NudgeError(error.code, summary, {
      path: `records[${index}]${path === undefined ? '' : `, ${path}`}`,
      ...(expected === undefined ? {} : { expected }),
      ...(received === undefined ? {} : { received }),
      ...(remedy === undefined ? {} : { remedy }),
      cause: error,
    });
  }
}

/** A prompt with those of its completions that stay; null stands for one that was dropped. */
interface Fitted {
  promptIds: number[];
  completions: (TokenCompletion | null)[];
}

const every = (fits: readonly boolean[]): boolean => fits.every(Boolean);

class Job {
  readonly report: TokenReport = {
    rows: 0,
    truncatedPrompts: 0,
    truncatedCompletions: 0,
    droppedCompletions: 0,
    dropped: 0,
    boundaryMerges: 0,
    openCompletions: 0,
  };
  readonly #tokenizer: Tokenizer;
  readonly #options: TokeniseOptions;

  constructor(tokenizer: Tokenizer, options: TokeniseOptions) {
    this.#tokenizer = tokenizer;
    this.#options = options;
  }

  readonly encoders: { [F in Format]: (record: RecordsByFormat[F]) => TokensByFormat[F] | null } = {
    text: ({ text }) => this.#text(text),
    'prompt-only': ({ prompt }) => this.#prompt(prompt),
    'prompt-completion': ({ prompt, completion }) => this.#example(prompt, completion),
    unpaired: ({ prompt, completion, label }) => {
      const example = this.#example(prompt, completion);
      return example === null ? null : { ...example, label };
    },
    preference: ({ prompt, chosen, rejected, margin }) => {
      const { promptIds, completions } = this.#fit(prompt, [chosen, rejected], every) ?? { completions: [] };
      const [better, worse] = completions;
      if (promptIds === undefined || !better || !worse) return null;
      return { promptIds, chosen: better, rejected: worse, ...(margin === undefined ? {} : { margin }) };
    },
    ranking: ({ prompt, completions, ranks, truncated = [] }) => {
      const areTwoRanked = (fits: readonly boolean[]) => fits.filter((fit, i) => fit && ranks[i] !== null).length >= 2;
      const fitted = this.#fit(prompt, completions, areTwoRanked);
      if (fitted === null) return null;
      const kept = fitted.completions.flatMap((completion, i) =>
        completion === null ? [] : [{ completion: this.#ended(completion, truncated[i]), rank: ranks[i] ?? null }],
      );
      this.report.droppedCompletions += completions.length - kept.length;
      return {
        promptIds: fitted.promptIds,
        completions: kept.map(({ completion }) => completion),
        ranks: kept.map(({ rank }) => rank),
      };
    },
  };

  #text(text: Content): TokenExample | null {
    const { assistantOnlyLoss = true, maxLength = Infinity, longCompletions = 'drop' } = this.#options;
    const encoded = encodeText(this.#tokenizer, text, this.#options);
    const all = { ids: encoded.ids, completionStart: assistantOnlyLoss ? encoded.start : 1 };
    const example: TokenExample =
      encoded.mask === undefined || !assistantOnlyLoss ? all : { ...all, mask: encoded.mask };
    if (example.ids.length <= maxLength) return example;
    const isLearned = (i: number) => i >= example.completionStart && (example.mask?.[i] ?? true);
    const cut = example.ids.slice(0, maxLength);
    if (longCompletions === 'drop' || !cut.some((_, i) => isLearned(i))) return null;
    this.report.truncatedCompletions++;
    return { ...example, ids: cut, ...(example.mask === undefined ? {} : { mask: example.mask.slice(0, maxLength) }) };
  }

  #prompt(prompt: Content): TokenPrompt | null {
    const { maxLength = Infinity, maxPromptLength = maxLength, maxCompletionLength = 0 } = this.#options;
    const measure = (text: Content) => encodePrompt(this.#tokenizer, text, this.#options);
    const ids = measure(prompt);
    // Generation needs room for what it may generate.
    const room = Math.min(maxPromptLength, maxLength - maxCompletionLength);
    if (ids.length <= room) return { ids };
    const shorter = shortenPrompt(this.#tokenizer, prompt, room, (text) => measure(text).length);
    if (shorter === null) return null;
    this.report.truncatedPrompts++;
    return { ids: measure(shorter) };
  }

  #example(prompt: Content, completion: Content): TokenExample | null {
    const fitted = this.#fit(prompt, [completion], every);
    const answer = fitted?.completions[0];
    if (!fitted || !answer) return null;
    const { promptIds } = fitted;
    const example = { ids: [...promptIds, ...answer.ids], completionStart: promptIds.length };
    if (this.#options.completionOnlyLoss === false) return { ...example, mask: example.ids.map((_, i) => i > 0) };
    if (answer.mask === undefined) return example;
    return { ...example, mask: [...promptIds.map(() => false), ...answer.mask] };
  }

  /** Encodes a prompt with its completions and makes them fit; null where those that fit are not enough. */
  #fit(prompt: Content, answers: readonly Content[], areEnough: (fits: readonly boolean[]) => boolean): Fitted | null {
    const { longCompletions = 'drop' } = this.#options;
    let encoded = this.#encodeAll(prompt, answers);
    const longest = completionRoom(encoded[0]!.promptIds.length, this.#options);
    const fits = encoded.map(({ completionIds }) => completionIds.length <= longest || longCompletions === 'cut');
    if (!areEnough(fits)) return null;
    const room = promptRoom(
      Math.max(...encoded.map(({ completionIds }, i) => (fits[i] ? Math.min(completionIds.length, longest) : 0))),
      this.#options,
    );
    if (encoded[0]!.promptIds.length > room) {
      const measure = (text: Content) =>
        encodeCompletion(this.#tokenizer, text, answers[0]!, this.#options).promptIds.length;
      const shorter = shortenPrompt(this.#tokenizer, prompt, room, measure);
      if (shorter === null) return null;
      this.report.truncatedPrompts++;
      encoded = this.#encodeAll(shorter, answers);
    }
    if (encoded.some(({ boundaryMerges }) => boundaryMerges)) this.report.boundaryMerges++;
    const completions = encoded.map((one, i) => (fits[i] ? this.#cut(one, longest) : null));
    return { promptIds: encoded[0]!.promptIds, completions };
  }

  /** A completion that was cut off is seen as it was sampled: nothing ends it. */
  #ended(completion: TokenCompletion, truncated = false): TokenCompletion {
    const { ids, mask } = completion;
    if (!truncated || ids.length < 2 || !this.#tokenizer.eosIds.includes(ids.at(-1)!)) return completion;
    this.report.openCompletions++;
    return { ids: ids.slice(0, -1), ...(mask === undefined ? {} : { mask: mask.slice(0, -1) }) };
  }

  #cut({ completionIds, mask }: EncodedCompletion, longest: number): TokenCompletion {
    if (completionIds.length > longest) this.report.truncatedCompletions++;
    const ids = completionIds.slice(0, longest);
    return mask === undefined ? { ids } : { ids, mask: mask.slice(0, longest) };
  }

  /** All completions after the same prompt ids: what differs between them must be the completions alone. */
  #encodeAll(prompt: Content, answers: readonly Content[]): EncodedCompletion[] {
    const encoded = encodeCompletions(this.#tokenizer, prompt, answers, this.#options);
    const [{ promptIds }] = encoded as [EncodedCompletion];
    const other = encoded.find((one) => one.promptIds !== promptIds && one.promptIds.join() !== promptIds.join());
    if (other === undefined) return encoded;
    throw new NudgeError('BAD_ARGUMENT', 'The chat template renders the prompt differently for different answers.', {
      path: this.#tokenizer.chatTemplate?.source ?? this.#tokenizer.source,
      expected: `${promptIds.length} tokens before every answer`,
      received: `${other.promptIds.length} tokens before one of them`,
      remedy: "Leave thoughts out of the answers, or use a template that keeps the prompt's text.",
    });
  }
}
