/** What a sampler is asked for and what it answers: the same for the in-process engine and for a server. */
import { NudgeError } from '../errors.ts';

/** How tokens are chosen. */
export interface SamplingParameters {
  /** Completions of the prompt. Default 1. */
  n?: number;
  /** Tokens in a completion at most. Default 256, or what the model's context leaves. */
  maxTokens?: number;
  /** Divides the logits; 0 takes the likeliest token always. Default 1. */
  temperature?: number;
  /** Only the k likeliest tokens; 0 for all. Default 0. */
  topK?: number;
  /** Only the likeliest tokens that together have this share of the probability; 1 for all. Default 1. */
  topP?: number;
  /** Only tokens with at least this share of the likeliest token's probability; 0 for all. Default 0. */
  minP?: number;
  /** Divides the positive logits of tokens that occurred, prompt included, and multiplies the negative ones; 1 for none. Default 1. */
  repetitionPenalty?: number;
  /** Texts that end a completion; they are not part of its text. */
  stopStrings?: readonly string[];
  /** Tokens that end a completion, besides the sampler's own. They are part of its ids, and not of its text. */
  stopIds?: readonly number[];
  /**
   * Same seed, same tokens, whatever else runs beside. Without one, a random seed. Each of the n completions has draws of its own.
   */
  seed?: number;
  /** Whether to ask for log-probabilities. Default false. */
  logprobs?: boolean;
}

export interface ChatTurn {
  readonly role: string;
  readonly content: string;
}

/** Exactly one of the three says what to go on from. */
export interface GenerateRequest extends SamplingParameters {
  promptIds?: readonly number[];
  prompt?: string;
  messages?: readonly ChatTurn[];
  /** Ends the request; what was generated until then is returned, with the finish reason `cancelled`. */
  signal?: AbortSignal;
}

/** `stop`: a stop id or stop string came. `length`: maxTokens were generated. */
export type FinishReason = 'stop' | 'length' | 'cancelled';

export interface Completion {
  /** Which of the n. */
  readonly index: number;
  /** A stop id at the end included; null where a server does not tell. */
  readonly ids: readonly number[] | null;
  /** Without stop id and stop string; empty where there is no tokenizer. */
  readonly text: string;
  /**
   * Of each id: log softmax(logits / temperature), at temperature 1 for greedy choices. It is the model's distribution before
   * penalty, topK, topP and minP, as a forward pass over the completion computes it. null where not asked for.
   */
  readonly logprobs: readonly number[] | null;
  readonly finishReason: FinishReason;
}

export type GenerateEvent =
  /** A token, and the text that is certain now: it may lag behind while a stop string or a character is unfinished. */
  | {
      readonly type: 'token';
      readonly index: number;
      readonly id: number | null;
      readonly text: string;
      readonly logprob: number | null;
    }
  | { readonly type: 'end'; readonly index: number; readonly completion: Completion };

/** Where completions come from. */
export interface Sampler {
  /** All n completions, in order. */
  generate(request: GenerateRequest): Promise<Completion[]>;
  /** Tokens as they come; leaving the loop cancels the request. */
  stream(request: GenerateRequest): AsyncIterable<GenerateEvent>;
}

export type ResolvedParameters = Required<SamplingParameters>;

interface Range {
  readonly fallback: number;
  readonly low: number;
  readonly high: number;
  readonly integer?: true;
  readonly openLow?: true;
}

export const DEFAULT_MAX_TOKENS = 256;

const RANGES = {
  n: { fallback: 1, low: 1, high: 65_536, integer: true },
  maxTokens: { fallback: DEFAULT_MAX_TOKENS, low: 1, high: 2 ** 31, integer: true },
  temperature: { fallback: 1, low: 0, high: 100 },
  topK: { fallback: 0, low: 0, high: 2 ** 31, integer: true },
  topP: { fallback: 1, low: 0, high: 1, openLow: true },
  minP: { fallback: 0, low: 0, high: 1 },
  repetitionPenalty: { fallback: 1, low: 0, high: 100, openLow: true },
} as const satisfies Partial<Record<keyof SamplingParameters, Range>>;

/** Fills in the defaults. @throws NudgeError BAD_ARGUMENT with the field and its range. */
export function resolveParameters(given: SamplingParameters): ResolvedParameters {
  const read = (name: keyof typeof RANGES): number => inRange(name, given[name] ?? RANGES[name].fallback, RANGES[name]);
  const seed = given.seed ?? Math.floor(Math.random() * 2 ** 53);
  if (!Number.isSafeInteger(seed) || seed < 0) throw outOfRange('seed', 'a whole number from 0 to 2^53 - 1', seed);
  const stopStrings = given.stopStrings ?? [];
  if (stopStrings.some((text) => text === '')) throw outOfRange('stopStrings', 'texts that are not empty', "''");
  return {
    n: read('n'),
    maxTokens: read('maxTokens'),
    temperature: read('temperature'),
    topK: read('topK'),
    topP: read('topP'),
    minP: read('minP'),
    repetitionPenalty: read('repetitionPenalty'),
    stopStrings: [...stopStrings],
    stopIds: [...(given.stopIds ?? [])],
    seed,
    logprobs: given.logprobs ?? false,
  };
}

function inRange(name: string, value: number, { low, high, integer, openLow }: Range): number {
  const fits = value >= low && value <= high && !(openLow && value === low) && !(integer && !Number.isInteger(value));
  if (fits) return value;
  const kind = integer ? 'a whole number' : 'a number';
  throw outOfRange(name, `${kind} ${openLow ? `above ${low}, up to` : `from ${low} to`} ${high}`, value);
}

function outOfRange(path: string, expected: string, received: unknown): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'A sampling parameter is out of its range.', {
    path,
    expected,
    received: String(received),
  });
}
