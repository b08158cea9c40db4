/** What was said, and how a model sees it: as ids, through its chat template or as one text, cut to what it can look back to. */
import { NudgeError } from '../../errors.ts';
import { type ChatMessage, type ChatTemplate, renderChat, type Tokenizer } from '../../text/index.ts';

export interface ConversationOptions {
  tokenizer: Tokenizer;
  /** null: a base model, which goes on with the text. */
  template: ChatTemplate | null;
  /** The longest sequence, prompt and answer together, in tokens. */
  contextTokens: number;
  system?: string | undefined;
}

/** What a model is to answer. */
export interface Asked {
  readonly ids: readonly number[];
  /** What is left for the answer, up to what was wanted. */
  readonly maxTokens: number;
  /** Messages that were left out now, and before, since they did not fit. */
  readonly newlyDropped: number;
  readonly dropped: number;
}

/** Of the context, at most this share is kept free for an answer: the rest is for what was said. */
const ANSWER_SHARE = 0.5;

export class Conversation {
  readonly #tokenizer: Tokenizer;
  readonly #template: ChatTemplate | null;
  readonly #contextTokens: number;
  #messages: ChatMessage[] = [];
  /** The first message that the model still sees. */
  #first = 0;
  #system: string | null = null;

  constructor({ tokenizer, template, contextTokens, system }: ConversationOptions) {
    this.#tokenizer = tokenizer;
    this.#template = template;
    this.#contextTokens = contextTokens;
    this.system = system ?? null;
  }

  /** All that was said, the system message apart. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  get system(): string | null {
    return this.#system;
  }

  /** Counts for all answers from now on. @throws NudgeError BAD_ARGUMENT for a base model, which has no place for it. */
  set system(text: string | null) {
    if (text !== null && this.#template === null) {
      throw new NudgeError('BAD_ARGUMENT', 'A model without a chat template has no place for a system message.', {
        path: 'system',
        remedy: 'Write it into your text, or choose a template: --template chatml.',
      });
    }
    this.#system = text;
  }

  add(role: 'user' | 'assistant', content: string): void {
    this.#messages.push({ role, content });
  }

  /** Takes the last message back. */
  pop(): ChatMessage | undefined {
    const message = this.#messages.pop();
    this.#first = Math.min(this.#first, this.#messages.length);
    return message;
  }

  reset(): void {
    this.#messages = [];
    this.#first = 0;
  }

  /**
   * The conversation as the model is asked to go on with it. Where it is too long, the oldest turns are left out, for good; the
   * system message stays.
   *
   * @throws NudgeError BAD_ARGUMENT when the last message alone is too long.
   */
  ask(maxTokens: number): Asked {
    const reserved = Math.min(maxTokens, Math.max(1, Math.floor(this.#contextTokens * ANSWER_SHARE)));
    const before = this.#first;
    let ids = this.#render();
    while (ids.length + reserved > this.#contextTokens) {
      const next = this.#nextTurn();
      if (next === null) throw this.#tooLong(ids.length, reserved);
      this.#first = next;
      ids = this.#render();
    }
    return {
      ids,
      maxTokens: Math.min(maxTokens, this.#contextTokens - ids.length),
      newlyDropped: this.#first - before,
      dropped: this.#first,
    };
  }

  /** Where the turn after the first one that is seen begins; null when that is the last one. */
  #nextTurn(): number | null {
    const next = this.#messages.findIndex(({ role }, i) => i > this.#first && role === 'user');
    return next === -1 ? null : next;
  }

  #render(): number[] {
    const seen = this.#messages.slice(this.#first);
    if (this.#template === null) return this.#tokenizer.encode(asText(seen));
    const system = this.#system === null ? {} : { system: this.#system };
    return renderChat(this.#tokenizer, seen, { template: this.#template, addGenerationPrompt: true, ...system }).ids;
  }

  #tooLong(tokens: number, reserved: number): NudgeError {
    return new NudgeError('BAD_ARGUMENT', 'This message is too long for the model.', {
      expected: `at most ${this.#contextTokens - reserved} tokens, which leaves ${reserved} for the answer`,
      received: `${tokens} tokens${this.#system === null ? '' : ', system message included'}`,
      remedy: 'Shorten it, or allow a shorter answer (max-tokens).',
    });
  }
}

/** One text: an answer follows what it answers, and what is said next begins a line of its own. */
function asText(messages: readonly ChatMessage[]): string {
  return messages.map(({ role, content }, i) => (role === 'user' && i > 0 ? `\n${content}` : content)).join('');
}
