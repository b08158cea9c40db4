/** A conversation with a model in this process: asks, streams answers, and keeps what a transcript needs. */
import { NudgeError } from '../../errors.ts';
import { Engine, type FinishReason, resolveParameters } from '../../generate/index.ts';
import type { Pretrained } from '../../pretrained/index.ts';
import { type BuiltinTemplateName, ChatTemplate } from '../../text/index.ts';
import { kvBytes } from '../pretrained.ts';
import { CHAT_DEFAULTS, type SettingName, type Settings } from '../sampling.ts';
import { Conversation } from './conversation.ts';
import { recommendedSettings } from './recommended.ts';

/** Of a longer context this much is used, unless more is asked for: its keys and values take memory and time. */
export const DEFAULT_CONTEXT = 8192;

export interface SessionOptions {
  settings?: Settings;
  stopStrings?: readonly string[];
  system?: string | undefined;
  /** A built-in template in place of the model's own. */
  template?: BuiltinTemplateName | undefined;
  /** Default: the model's, up to `DEFAULT_CONTEXT`. */
  contextTokens?: number | undefined;
}

export interface Reply {
  readonly text: string;
  readonly finishReason: FinishReason;
  readonly promptTokens: number;
  readonly tokens: number;
  /** Of the tokens after the first; null where there are too few to tell. */
  readonly tokensPerSecond: number | null;
  readonly seed: number;
  /** Messages that the model no longer saw, and how many of them for the first time. */
  readonly dropped: number;
  readonly newlyDropped: number;
}

/** What an answer was drawn with, in the transcript. */
interface AnswerRecord extends Omit<Reply, 'text' | 'newlyDropped' | 'tokensPerSecond'> {
  readonly parameters: Settings;
}

export type SettingOrigin = 'yours' | "the model's" | 'default';

export class ChatSession implements Disposable {
  readonly pretrained: Pretrained;
  readonly template: ChatTemplate | null;
  readonly contextTokens: number;
  readonly #engine: Engine;
  readonly #conversation: Conversation;
  readonly #stopStrings: readonly string[];
  readonly #recommended: Settings;
  #given: Settings;
  #answers: AnswerRecord[] = [];

  /** @throws NudgeError BAD_ARGUMENT for what cannot be: a template whose tokens the vocabulary lacks, a context too long. */
  constructor(pretrained: Pretrained, options: SessionOptions = {}) {
    const { settings = {}, stopStrings = [], system, template, contextTokens } = options;
    const { model, tokenizer } = pretrained;
    this.pretrained = pretrained;
    this.template = template === undefined ? (tokenizer.chatTemplate ?? null) : ChatTemplate.builtin(template);
    this.contextTokens = checkContext(contextTokens, model.config.maxPositions);
    this.#conversation = new Conversation({
      tokenizer,
      template: this.template,
      contextTokens: this.contextTokens,
      system,
    });
    this.#stopStrings = stopStrings;
    this.#recommended = recommendedSettings(tokenizer.files.get('generation_config.json'));
    resolveParameters({ ...settings, stopStrings });
    this.#given = settings;
    this.#engine = new Engine(model, {
      tokenizer,
      stopIds: tokenizer.eosIds,
      maxRows: 1,
      cacheBytes: kvBytes(model, this.contextTokens),
    });
  }

  get settings(): Settings {
    return { ...CHAT_DEFAULTS, ...this.#recommended, ...this.#given };
  }

  originOf(name: SettingName): SettingOrigin {
    if (this.#given[name] !== undefined) return 'yours';
    return this.#recommended[name] === undefined ? 'default' : "the model's";
  }

  /** undefined: no longer the user's. @throws NudgeError BAD_ARGUMENT for a value out of its range; nothing changes then. */
  set(name: SettingName, value: number | undefined): void {
    const { [name]: _, ...rest } = this.#given;
    const next = value === undefined ? rest : { ...rest, [name]: value };
    resolveParameters(next);
    this.#given = next;
  }

  get system(): string | null {
    return this.#conversation.system;
  }

  set system(text: string | null) {
    this.#conversation.system = text;
  }

  get messageCount(): number {
    return this.#conversation.messages.length;
  }

  /** Forgets what was said; settings and system message stay. */
  reset(): void {
    this.#conversation.reset();
    this.#answers = [];
  }

  /**
   * Answers a message. What was stopped through the signal stays in the conversation as far as it got.
   *
   * @param onText gets the answer piece by piece.
   * @param onDropped told, before the answer, how many of the oldest messages were left out for it.
   * @throws NudgeError BAD_ARGUMENT when the message is too long; the conversation is then as before.
   */
  async reply(
    message: string,
    {
      signal,
      onText,
      onDropped,
    }: { signal?: AbortSignal; onText?: (text: string) => void; onDropped?: (count: number) => void } = {},
  ): Promise<Reply> {
    this.#conversation.add('user', message);
    try {
      const reply = await this.#answer(signal, onText ?? (() => {}), onDropped ?? (() => {}));
      // A question that was taken back before anything was said leaves nothing behind.
      if (reply.finishReason === 'cancelled' && reply.text === '') this.#conversation.pop();
      else this.#keep(reply);
      return reply;
    } catch (error) {
      this.#conversation.pop();
      throw error;
    }
  }

  /** Takes the last question back, with its answer, to ask it again. @returns null where nothing was asked. */
  takeBack(): string | null {
    const { messages } = this.#conversation;
    if (messages.at(-1)?.role === 'assistant') {
      this.#conversation.pop();
      this.#answers.pop();
    }
    return messages.length === 0 ? null : (this.#conversation.pop()?.content ?? null);
  }

  /** The conversation as data: `messages` is a record that the trainers read, `answers` says how each answer was drawn. */
  transcript(): object {
    const { resolved, model } = this.pretrained;
    const { system, messages } = this.#conversation;
    return {
      model: {
        name: resolved.name,
        id: resolved.id,
        revision: resolved.revision,
        path: resolved.path,
        dtype: model.dtype,
      },
      template: this.template?.source ?? null,
      messages: [...(system === null ? [] : [{ role: 'system', content: system }]), ...messages],
      answers: this.#answers,
    };
  }

  [Symbol.dispose](): void {
    this.#engine.dispose();
  }

  async #answer(
    signal: AbortSignal | undefined,
    onText: (text: string) => void,
    onDropped: (count: number) => void,
  ): Promise<Reply> {
    const { maxTokens = CHAT_DEFAULTS.maxTokens, seed = randomSeed(), ...sampling } = this.settings;
    const asked = this.#conversation.ask(maxTokens);
    if (asked.newlyDropped > 0) onDropped(asked.newlyDropped);
    const request = {
      ...sampling,
      seed,
      maxTokens: asked.maxTokens,
      promptIds: asked.ids,
      stopStrings: this.#stopStrings,
      ...(signal === undefined ? {} : { signal }),
    };
    let [tokens, first, last] = [0, 0, 0];
    for await (const event of this.#engine.stream(request)) {
      if (event.type === 'token') {
        last = performance.now();
        if (tokens++ === 0) first = last;
        if (event.text !== '') onText(event.text);
        continue;
      }
      const { text, finishReason } = event.completion;
      const { dropped, newlyDropped, ids } = asked;
      const tokensPerSecond = tokens > 1 ? ((tokens - 1) * 1000) / (last - first) : null;
      return { text, finishReason, promptTokens: ids.length, tokens, tokensPerSecond, seed, dropped, newlyDropped };
    }
    throw new NudgeError('BAD_ARGUMENT', 'The session was closed while the model answered.', { path: 'ChatSession' });
  }

  #keep({ text, finishReason, promptTokens, tokens, seed, dropped }: Reply): void {
    this.#conversation.add('assistant', text);
    const parameters = this.settings;
    this.#answers.push({ finishReason, promptTokens, tokens, seed, dropped, parameters });
  }
}

const randomSeed = (): number => Math.floor(Math.random() * 2 ** 32);

function checkContext(asked: number | undefined, most: number): number {
  if (asked === undefined) return Math.min(most, DEFAULT_CONTEXT);
  if (Number.isInteger(asked) && asked >= 16 && asked <= most) return asked;
  throw new NudgeError('BAD_ARGUMENT', 'The model cannot look back so far.', {
    path: '--context',
    expected: `a whole number of tokens from 16 to ${most}`,
    received: String(asked),
  });
}
