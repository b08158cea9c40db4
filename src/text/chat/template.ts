/** A chat template: Jinja, run by `@huggingface/jinja`, with the places of the assistant's turns. */

import { Template } from '@huggingface/jinja';
import { NudgeError } from '../../errors.ts';
import type { Json } from '../json.ts';
import type { SpecialTokens } from '../special.ts';
import { BUILTIN_TEMPLATES, type BuiltinTemplateName } from './builtin.ts';
import type { ChatMessage } from './messages.ts';

export interface TemplateInput {
  messages: readonly ChatMessage[];
  addGenerationPrompt: boolean;
  special: Readonly<SpecialTokens>;
  tools?: readonly unknown[] | undefined;
  /** What else the template reads: `enable_thinking`, `date_string`, `documents`. */
  variables?: Readonly<Record<string, unknown>> | undefined;
}

/** A part of the rendered text, in UTF-16 units. */
export interface Span {
  start: number;
  end: number;
}

/** The block tag that transformers gave Jinja to mark what the assistant says. */
const GENERATION = /\{%(-?)\s*(end)?generation\s*(-?)%\}/g;

export class ChatTemplate {
  /** Where it came from, for messages. */
  readonly source: string;
  /** Tokens that it writes and that the vocabulary must have. */
  readonly tokens: readonly string[];
  /** Whether the template itself says what the assistant says, with `{% generation %}`. */
  readonly marksAssistant: boolean;
  readonly #texts: ReadonlyMap<string, string>;
  readonly #parsed = new Map<string, Template>();

  /**
   * @param text the template, or several by name: `tool_use` is taken when tools are passed, else `default`
   * @param source where it came from, for messages
   */
  constructor(text: string | ReadonlyMap<string, string>, source: string, tokens: readonly string[] = []) {
    this.#texts = typeof text === 'string' ? new Map([['default', text]]) : text;
    this.source = source;
    this.tokens = tokens;
    this.marksAssistant = this.#text(false).search(GENERATION) !== -1;
  }

  /** One of the templates that come with Nudge, for a base model that has none. */
  static builtin(name: BuiltinTemplateName): ChatTemplate {
    const { source, tokens } = BUILTIN_TEMPLATES[name];
    return new ChatTemplate(source, `the built-in template '${name}'`, tokens);
  }

  /** The template's text. */
  get text(): string {
    return this.#text(false);
  }

  render(input: TemplateInput): string {
    return this.#run(this.#text(input.tools !== undefined), input);
  }

  /** The text and the assistant's parts of it, for a template that marks them. */
  renderMarked(input: TemplateInput): { text: string; spans: Span[] } {
    const open = freshMark(input, 'open');
    const close = freshMark(input, 'close');
    // In a block of its own the mark keeps the white space control of the tag that it stands for.
    const marked = this.#text(input.tools !== undefined).replace(
      GENERATION,
      (_, before: string, end: string | undefined, after: string) =>
        `{%${before} if true %}{{ '${end === undefined ? open : close}' }}{% endif ${after}%}`,
    );
    return takeMarks(this.#run(marked, input), open, close, this.source);
  }

  #text(withTools: boolean): string {
    const text = (withTools ? this.#texts.get('tool_use') : undefined) ?? this.#texts.get('default');
    if (text !== undefined) return text;
    throw new NudgeError('BAD_FILE', 'None of the chat templates is the default one.', {
      path: this.source,
      expected: "a template named 'default'",
      received: [...this.#texts.keys()].join(', '),
    });
  }

  #run(text: string, input: TemplateInput): string {
    const { bos, eos, unk, pad } = input.special;
    const variables = {
      messages: input.messages,
      add_generation_prompt: input.addGenerationPrompt,
      ...(input.tools === undefined ? {} : { tools: input.tools }),
      ...(bos === undefined ? {} : { bos_token: bos }),
      ...(eos === undefined ? {} : { eos_token: eos }),
      ...(unk === undefined ? {} : { unk_token: unk }),
      ...(pad === undefined ? {} : { pad_token: pad }),
      ...input.variables,
    };
    const template = this.#parse(text);
    try {
      return template.render(variables);
    } catch (cause) {
      throw new NudgeError('BAD_ARGUMENT', 'The chat template refuses these messages.', {
        path: this.source,
        expected: 'the roles, their order and the variables that the template was written for',
        received: `${input.messages.map((message) => message.role).join(', ')}: ${(cause as Error).message}`,
        remedy:
          'Read what the template says above. Many allow no system message (put its text into the first user message) ' +
          'and want user and assistant to take turns.',
        cause,
      });
    }
  }

  #parse(text: string): Template {
    let template = this.#parsed.get(text);
    if (template !== undefined) return template;
    try {
      template = new Template(text);
    } catch (cause) {
      throw new NudgeError('BAD_FILE', 'The chat template is not Jinja that can be run.', {
        path: this.source,
        received: (cause as Error).message,
        cause,
      });
    }
    if (this.#parsed.size < 4) this.#parsed.set(text, template);
    return template;
  }
}

/** Marks that cannot stand in the text: private-use characters around a number that no message contains. */
function freshMark(input: TemplateInput, name: string): string {
  const said = JSON.stringify([input.messages, input.tools, input.variables]);
  for (let i = 0; ; i++) {
    const mark = `\u{f8f0}${name}${i}\u{f8f1}`;
    if (!said.includes(mark)) return mark;
  }
}

function takeMarks(marked: string, open: string, close: string, source: string): { text: string; spans: Span[] } {
  let text = '';
  let from = 0;
  const spans: Span[] = [];
  while (true) {
    const start = marked.indexOf(open, from);
    if (start === -1) return { text: text + marked.slice(from), spans };
    const end = marked.indexOf(close, start);
    if (end === -1) {
      throw new NudgeError('BAD_FILE', 'The chat template opens a {% generation %} block that it does not close.', {
        path: source,
      });
    }
    text += marked.slice(from, start);
    const said = marked.slice(start + open.length, end);
    if (said !== '') spans.push({ start: text.length, end: text.length + said.length });
    text += said;
    from = end + close.length;
  }
}

/** The model's own template: chat_template.jinja, else what tokenizer_config.json has. */
export function chatTemplateOf(
  files: ReadonlyMap<string, string>,
  config: Json | undefined,
  source: string,
): ChatTemplate | undefined {
  const file = files.get('chat_template.jinja');
  if (file !== undefined) return new ChatTemplate(file, `${source}/chat_template.jinja`);
  const field = config?.get('chat_template');
  if (field === undefined || field.isMissing) return undefined;
  if (!Array.isArray(field.value)) return new ChatTemplate(field.string(), field.path);
  const named = field.items().map((item) => [item.get('name').string(), item.get('template').string()] as const);
  return named.length === 0 ? undefined : new ChatTemplate(new Map(named), field.path);
}
