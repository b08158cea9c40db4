/** Chats as token ids: what a model is asked, and what it is trained on, with a mask of what the assistant says. */

import { NudgeError } from '../../errors.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { type ChatMessage, checkMessages } from './messages.ts';
import { findAssistantSpans } from './spans.ts';
import type { ChatTemplate, Span, TemplateInput } from './template.ts';

export interface ChatOptions {
  /** The template to use. Default: the model's own; an error where it has none. */
  template?: ChatTemplate;
  /** A system message for chats that begin with none. Default: what the template does by itself. */
  system?: string;
  /** Functions that the assistant may call, as JSON Schema. */
  tools?: readonly unknown[];
  /** What else the template reads: `enable_thinking`, `date_string`. */
  variables?: Readonly<Record<string, unknown>>;
  /** Roles besides system, developer, user, assistant and tool. */
  roles?: readonly string[];
}

export interface RenderOptions extends ChatOptions {
  /** End with the opening of the assistant's turn, so that a model answers. Default: true if the last message is not the assistant's. */
  addGenerationPrompt?: boolean;
}

export interface TrainingOptions extends ChatOptions {
  /** Which of the assistant's turns are learned: all of them, or the last one alone. Default: 'all'. */
  turns?: 'all' | 'last';
}

export interface RenderedChat {
  text: string;
  /** The template has the last word on special tokens: none are added around it. */
  ids: number[];
}

export interface TrainingChat extends RenderedChat {
  /** 1 where the token is the assistant's, its end of turn included; never all zero. */
  assistantMask: Uint8Array;
  /**
   * Whether the ids differ from those of the whole text encoded at once. Every answer is encoded apart from what stands
   * before it, so that the ids before it are those that a model sees when it is asked.
   */
  boundaryMerges: boolean;
  /** Turns that no end-of-text token closes: a model that learns from them does not learn to stop. */
  openTurns: number;
}

/** Messages as the text and the ids that a model continues. */
export function renderChat(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: RenderOptions = {},
): RenderedChat {
  const { template, all } = prepare(tokenizer, messages, options);
  const addGenerationPrompt = options.addGenerationPrompt ?? all.at(-1)?.role !== 'assistant';
  const text = template.render(input(tokenizer, all, addGenerationPrompt, options));
  checkNothingDropped(text, all, template);
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  checkOneBeginning(tokenizer, ids, template);
  return { text, ids };
}

/** Messages as a sequence to learn from, with the mask of the assistant's tokens. */
export function renderTrainingChat(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: TrainingOptions = {},
): TrainingChat {
  const { template, all } = prepare(tokenizer, messages, options);
  const { text, spans } = template.marksAssistant
    ? template.renderMarked(input(tokenizer, all, false, options))
    : locate(tokenizer, all, template, options);
  checkNothingDropped(text, all, template);
  const learned = options.turns === 'last' ? spans.slice(-1) : spans;
  const chat = encodeSpans(tokenizer, text, learned);
  checkOneBeginning(tokenizer, chat.ids, template);
  if (!chat.assistantMask.includes(1)) {
    throw new NudgeError('BAD_ARGUMENT', "There is nothing to learn in this chat: no token is the assistant's.", {
      path: template.source,
      received: `${all.map((message) => message.role).join(', ')}: ${chat.ids.length} tokens, none of them the assistant's`,
      remedy: 'Leave out chats without an answer.',
    });
  }
  return { text, ...chat };
}

function prepare(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: ChatOptions,
): { template: ChatTemplate; all: readonly ChatMessage[] } {
  checkMessages(messages, options.roles);
  const template = options.template ?? tokenizer.chatTemplate;
  if (template === undefined) {
    throw new NudgeError('BAD_ARGUMENT', 'This model has no chat template.', {
      path: tokenizer.source,
      remedy:
        "Choose one: { template: ChatTemplate.builtin('chatml') }, 'llama-3' or 'zephyr'. A base model has to be trained with " +
        'it before it answers.',
    });
  }
  const missing = template.tokens.filter((token) => tokenizer.tokenToId(token) === undefined);
  if (missing.length > 0) {
    throw new NudgeError('BAD_ARGUMENT', 'The chat template writes tokens that this vocabulary does not have.', {
      path: template.source,
      expected: `${template.tokens.join(', ')} as tokens`,
      received: `no ${missing.join(', no ')}`,
      remedy: "Choose a template that needs none: ChatTemplate.builtin('zephyr').",
    });
  }
  const addsSystem = options.system !== undefined && messages[0]?.role !== 'system';
  const all = addsSystem ? [{ role: 'system', content: options.system }, ...messages] : messages;
  return { template, all };
}

function input(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  addGenerationPrompt: boolean,
  options: ChatOptions,
): TemplateInput {
  const { tools, variables } = options;
  return { messages, addGenerationPrompt, special: tokenizer.special, tools, variables };
}

function locate(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  template: ChatTemplate,
  options: TrainingOptions,
): { text: string; spans: Span[] } {
  const render = (count: number, prompt: boolean): string =>
    template.render(input(tokenizer, messages.slice(0, count), prompt, options));
  const text = render(messages.length, false);
  const last = messages.findLastIndex((message) => message.role === 'assistant');
  const wanted = messages.map((message, i) =>
    options.turns === 'last' && i !== last ? { ...message, role: 'earlier' } : message,
  );
  const ends = tokenizer.eosIds.flatMap((id) => tokenizer.idToToken(id) ?? []);
  return { text, spans: findAssistantSpans({ text, messages: wanted, render, ends, source: template.source }) };
}

/** Encodes the text, apart at every place where the assistant begins to speak. */
function encodeSpans(tokenizer: Tokenizer, text: string, spans: readonly Span[]): Omit<TrainingChat, 'text'> {
  const ids: number[] = [];
  const mask: number[] = [];
  const cuts = [0, ...spans.map((span) => span.start).filter((start) => start > 0), text.length];
  for (let k = 0; k + 1 < cuts.length; k++) {
    const start = cuts[k]!;
    const after = k === 0 ? 'nothing' : tokenizer.isAdded(ids.at(-1)!) ? 'token' : 'text';
    const part = tokenizer.encodeWithOffsets(text.slice(start, cuts[k + 1]), { addSpecialTokens: false, after });
    part.ids.forEach((id, i) => {
      const [from, to] = part.offsets[i]!;
      ids.push(id);
      mask.push(spans.some((span) => start + from < span.end && start + to > span.start) ? 1 : 0);
    });
  }
  const joint = tokenizer.encode(text, { addSpecialTokens: false });
  const boundaryMerges = joint.length !== ids.length || joint.some((id, i) => id !== ids[i]);
  const ends = tokenizer.eosIds.flatMap((id) => tokenizer.idToToken(id) ?? []);
  const openTurns = spans.filter(
    ({ start, end }) => !ends.some((token) => text.slice(start, end).trimEnd().endsWith(token)),
  );
  return { ids, assistantMask: Uint8Array.from(mask), boundaryMerges, openTurns: openTurns.length };
}

/** A template that silently leaves a system or user message out would train on something else than was written. */
function checkNothingDropped(text: string, messages: readonly ChatMessage[], template: ChatTemplate): void {
  messages.forEach(({ role, content }, i) => {
    if (role === 'assistant' || role === 'tool' || text.includes(content?.trim() ?? '')) return;
    throw new NudgeError('BAD_ARGUMENT', 'The chat template leaves a message out or changes it.', {
      path: `messages[${i}].content`,
      expected: 'the message in the rendered text',
      received: `a text without it, from ${template.source}`,
      remedy:
        role === 'system'
          ? 'Put its text into the first user message: this template knows no system role.'
          : 'Use another template.',
    });
  });
}

function checkOneBeginning(tokenizer: Tokenizer, ids: readonly number[], template: ChatTemplate): void {
  if (tokenizer.bosId === undefined || ids[0] !== tokenizer.bosId || ids[1] !== tokenizer.bosId) return;
  throw new NudgeError('BAD_ARGUMENT', 'The rendered chat begins with the beginning-of-text token twice.', {
    path: template.source,
    remedy: `Take ${tokenizer.special.bos} out of the first message: the template writes it already.`,
  });
}
