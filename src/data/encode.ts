/**
 * Prompts and completions as token ids. A prompt's ids are those that generation begins with; a completion's are those that
 * a model would have had to sample, the end of text included: training and scoring see the same sequence.
 */

import * as z from 'zod';
import { NudgeError } from '../errors.ts';
import {
  type ChatTemplate,
  encodePair,
  type RenderedChat,
  renderChat,
  renderTrainingChat,
  type Tokenizer,
  type TrainingChat,
} from '../text/index.ts';
import { answerMessages, promptMessages } from './conversation.ts';
import type { Content } from './records.ts';

export const EncodeConfig = z.strictObject({
  strings: z
    .enum(['continue', 'chat'])
    .default('continue')
    .describe(
      'What a prompt that is a string means: text that is continued as it stands, or what the user says in a chat, put ' +
        "into the chat template. Messages are a chat either way. Take 'chat' for models that were tuned to chat.",
    ),
  appendEos: z.boolean().default(true).describe('End completions with the end of text where nothing has ended them.'),
  system: z.string().optional().describe('A system message for chats that begin with none.'),
});

export interface EncodeRecordOptions extends z.input<typeof EncodeConfig> {
  /** The chat template. Default: the model's own. */
  template?: ChatTemplate;
  /** What else the template reads: `enable_thinking`, `date_string`. */
  variables?: Readonly<Record<string, unknown>>;
}

export interface EncodedCompletion {
  promptIds: number[];
  completionIds: number[];
  /** For completions of several messages: true where the token is the assistant's. */
  mask?: boolean[];
  /** Whether the whole text encoded at once has other ids, since a token reaches over the boundary. */
  boundaryMerges: boolean;
}

/** The ids that generation begins with. */
export function encodePrompt(tokenizer: Tokenizer, prompt: Content, options: EncodeRecordOptions = {}): number[] {
  if (typeof prompt === 'string' && options.strings !== 'chat') {
    return encodePair(tokenizer, prompt, '').ids;
  }
  return renderPrompt(tokenizer, prompt, options).ids;
}

function renderPrompt(tokenizer: Tokenizer, prompt: Content, options: EncodeRecordOptions): RenderedChat {
  return renderChat(tokenizer, promptMessages(prompt), { ...chatOptions(options), addGenerationPrompt: true });
}

/** A prompt and its completions, encoded apart so that no token is both. */
export function encodeCompletions(
  tokenizer: Tokenizer,
  prompt: Content,
  completions: readonly Content[],
  options: EncodeRecordOptions = {},
): EncodedCompletion[] {
  const isText = typeof prompt === 'string' && options.strings !== 'chat';
  if (isText && completions.every((completion) => typeof completion === 'string')) {
    return completions.map((completion) => encodeContinued(tokenizer, prompt, completion, options));
  }
  const asked = renderPrompt(tokenizer, prompt, options);
  return completions.map((completion) => encodeAnswered(tokenizer, asked, prompt, completion, options));
}

/** The same for one completion. */
export function encodeCompletion(
  tokenizer: Tokenizer,
  prompt: Content,
  completion: Content,
  options: EncodeRecordOptions = {},
): EncodedCompletion {
  return encodeCompletions(tokenizer, prompt, [completion], options)[0] as EncodedCompletion;
}

/** A text, or a conversation with the mask of the assistant's tokens. `start` is the first token that can be a target. */
export function encodeText(
  tokenizer: Tokenizer,
  text: Content,
  options: EncodeRecordOptions & { turns?: 'all' | 'last' | undefined } = {},
): { ids: number[]; start: number; mask?: boolean[] } {
  if (typeof text === 'string') {
    const ids = end(tokenizer, tokenizer.encode(text), options);
    return { ids, start: Math.max(1, tokenizer.frame.prefix.length) };
  }
  const { turns = 'all' } = options;
  const chat = renderTrainingChat(tokenizer, text, { ...chatOptions(options), turns });
  const ids = answered(tokenizer, chat, options);
  const mask = maskOf(chat, ids.length);
  return { ids, start: mask.indexOf(true), mask };
}

function encodeContinued(
  tokenizer: Tokenizer,
  prompt: string,
  completion: string,
  options: EncodeRecordOptions,
): EncodedCompletion {
  const { ids, promptLength, mergesAcrossBoundary } = encodePair(tokenizer, prompt, completion);
  return {
    promptIds: ids.slice(0, promptLength),
    completionIds: end(tokenizer, ids.slice(promptLength), options),
    boundaryMerges: mergesAcrossBoundary,
  };
}

function encodeAnswered(
  tokenizer: Tokenizer,
  asked: RenderedChat,
  prompt: Content,
  completion: Content,
  options: EncodeRecordOptions,
): EncodedCompletion {
  const [answer, ...more] = answerMessages(completion);
  if (answer === undefined || more.length > 0) return encodeTurns(tokenizer, asked, prompt, completion, options);
  const all = [...promptMessages(prompt), answer];
  const whole = renderChat(tokenizer, all, { ...chatOptions(options), addGenerationPrompt: false });
  const said = whole.text.startsWith(asked.text) ? upToEnd(tokenizer, whole.text.slice(asked.text.length)) : '';
  // Where the template prompts with more than it keeps, or leaves the answer out, the search for its turns says what it is.
  if (said === '' || !said.includes(answer.content?.trim() ?? '')) {
    return encodeTurns(tokenizer, asked, prompt, completion, options);
  }
  const after = tokenizer.isAdded(asked.ids.at(-1) as number) ? 'token' : 'text';
  const answered = tokenizer.encode(said, { addSpecialTokens: false, after });
  const ids = [...asked.ids, ...answered];
  return {
    promptIds: asked.ids,
    completionIds: end(tokenizer, answered, options),
    boundaryMerges: ids.some((id, i) => id !== whole.ids[i]),
  };
}

/** A rendered answer up to the end of text in it: what the template writes after that, no model samples. */
function upToEnd(tokenizer: Tokenizer, answer: string): string {
  const ends = tokenizer.eosIds.map((id) => {
    const token = tokenizer.idToToken(id) as string;
    const found = answer.lastIndexOf(token);
    return found === -1 ? -1 : found + token.length;
  });
  const last = Math.max(-1, ...ends);
  return last === -1 ? answer : answer.slice(0, last);
}

/** The general way, for answers of several messages and unusual templates: slower, since every token's place is looked up. */
function encodeTurns(
  tokenizer: Tokenizer,
  asked: RenderedChat,
  prompt: Content,
  completion: Content,
  options: EncodeRecordOptions,
): EncodedCompletion {
  const answers = answerMessages(completion);
  const turns = answers.length === 1 ? 'last' : 'all';
  const all = [...promptMessages(prompt), ...answers];
  const chat = renderTrainingChat(tokenizer, all, { ...chatOptions(options), turns });
  const ids = answered(tokenizer, chat, options);
  const { boundaryMerges } = chat;
  if (turns === 'last') {
    const start = chat.assistantMask.indexOf(1);
    return { promptIds: ids.slice(0, start), completionIds: ids.slice(start), boundaryMerges };
  }
  if (asked.ids.some((id, i) => id !== ids[i])) {
    throw new NudgeError('BAD_ARGUMENT', 'The chat template renders the prompt otherwise once it is answered.', {
      path: (options.template ?? tokenizer.chatTemplate)?.source ?? tokenizer.source,
      expected: 'a conversation that begins with the rendered prompt',
      remedy: 'Give the answer as one message, or use a template that keeps earlier turns as they are.',
    });
  }
  const start = asked.ids.length;
  return {
    promptIds: asked.ids,
    completionIds: ids.slice(start),
    mask: maskOf(chat, ids.length).slice(start),
    boundaryMerges,
  };
}

function chatOptions({ template, system, variables }: EncodeRecordOptions) {
  return {
    ...(template === undefined ? {} : { template }),
    ...(system === undefined ? {} : { system }),
    ...(variables === undefined ? {} : { variables }),
  };
}

/**
 * The ids up to the end of the last answer. Most templates write a line break after it, which no model samples: it would
 * stand between the end of text and a reward that is read from the last token.
 */
function answered(tokenizer: Tokenizer, chat: TrainingChat, options: EncodeRecordOptions): number[] {
  return end(tokenizer, chat.ids.slice(0, chat.assistantMask.lastIndexOf(1) + 1), options);
}

/** What is appended by `end` is the assistant's too. */
function maskOf(chat: TrainingChat, length: number): boolean[] {
  const last = chat.assistantMask.lastIndexOf(1);
  return Array.from({ length }, (_, i) => i > last || chat.assistantMask[i] === 1);
}

/** Ends a completion as generation ends it: once. */
function end(tokenizer: Tokenizer, ids: number[], { appendEos = true }: EncodeRecordOptions): number[] {
  const last = ids.at(-1);
  if (!appendEos || (last !== undefined && tokenizer.eosIds.includes(last))) return ids;
  if (tokenizer.eosId !== undefined) return [...ids, tokenizer.eosId];
  throw new NudgeError('BAD_ARGUMENT', 'This tokenizer has no end-of-text token to end completions with.', {
    path: tokenizer.source,
    expected: 'eos_token in tokenizer_config.json',
    remedy: 'Pass { appendEos: false } and end the completions yourself.',
  });
}
