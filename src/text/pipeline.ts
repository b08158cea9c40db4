/** What happens to a text: added tokens are found, the rest is normalized, cut into words and encoded. */

import { AddedTokenFinder } from './added.ts';
import type { Definition } from './definition.ts';
import type { TokenSink } from './model.ts';
import type { Normalized } from './normalize.ts';
import type { Word, WordContext } from './pretokenize.ts';

export interface PipelineOptions {
  parseSpecialTokens: boolean;
  after: 'nothing' | 'text' | 'token';
}

interface Finders {
  /** For the text as it is. */
  raw: AddedTokenFinder;
  /** For what the normalizer made of it; undefined where there is nothing to find. */
  normalized: AddedTokenFinder | undefined;
}

export class Pipeline {
  readonly #definition: Definition;
  readonly #all: Finders;
  readonly #plain: Finders;

  constructor(definition: Definition) {
    this.#definition = definition;
    this.#all = this.#finders(() => true);
    this.#plain = this.#finders((special) => !special);
  }

  encode(text: string, options: PipelineOptions, sink: TokenSink): void {
    const finders = options.parseSpecialTokens ? this.#all : this.#plain;
    for (const { start, end, token } of finders.raw.split(text)) {
      if (token === undefined) this.#encodeSection(text.slice(start, end), start, finders, options, sink);
      else push(sink, token.id, start, end);
    }
  }

  #encodeSection(text: string, at: number, finders: Finders, options: PipelineOptions, sink: TokenSink): void {
    const continuing = options.after === 'text' && at === 0;
    const first = options.after === 'nothing' && at === 0;
    const tracked = sink.spans !== undefined;
    const normalized = this.#definition.normalizer?.apply(text, { continuing, tracked }) ?? { text };
    if (finders.normalized === undefined) {
      this.#encodePlain(normalized, 0, normalized.text.length, at, { first, continuing }, sink);
      return;
    }
    for (const { start, end, token } of finders.normalized.split(normalized.text)) {
      const context = { first: first && start === 0, continuing: continuing && start === 0 };
      if (token === undefined) this.#encodePlain(normalized, start, end, at, context, sink);
      else push(sink, token.id, at + startInText(normalized, start), at + endInText(normalized, end));
    }
  }

  #encodePlain(
    normalized: Normalized,
    start: number,
    end: number,
    at: number,
    context: WordContext,
    sink: TokenSink,
  ): void {
    if (start === end) return;
    const { preTokenizer, model } = this.#definition;
    const text = normalized.text.slice(start, end);
    const words: readonly Word[] = preTokenizer?.apply(text, context) ?? [{ text, at: 0, lead: 0 }];
    for (const word of words) {
      const from = sink.spans?.length ?? 0;
      model.encode(word.text, sink);
      if (sink.spans !== undefined) placeInText(sink.spans, from, word, start, normalized, at);
    }
  }

  #finders(wanted: (special: boolean) => boolean): Finders {
    const { added, normalizer } = this.#definition;
    const tokens = added.filter((token) => wanted(token.special));
    if (normalizer === undefined) return { raw: new AddedTokenFinder(tokens), normalized: undefined };
    const spell = (content: string): string => normalizer.apply(content, { continuing: false, tracked: false }).text;
    const late = tokens.filter((token) => token.normalized);
    return {
      raw: new AddedTokenFinder(tokens.filter((token) => !token.normalized)),
      normalized: late.length === 0 ? undefined : new AddedTokenFinder(late, spell),
    };
  }
}

function push(sink: TokenSink, id: number, start: number, end: number): void {
  sink.ids.push(id);
  sink.spans?.push(start, end);
}

/** Turns places in a word into places in the text. */
function placeInText(
  spans: number[],
  from: number,
  word: Word,
  start: number,
  normalized: Normalized,
  at: number,
): void {
  const base = start + word.at;
  for (let i = from; i < spans.length; i += 2) {
    const first = base + Math.max(0, spans[i]! - word.lead);
    const end = base + Math.max(0, spans[i + 1]! - word.lead);
    spans[i] = at + startInText(normalized, first);
    spans[i + 1] = at + (end === first ? startInText(normalized, first) : endInText(normalized, end));
  }
}

function startInText({ origin }: Normalized, i: number): number {
  return origin?.[i] ?? i;
}

/** The end of what became the unit before `end`: a replacement is never cut in the middle. */
function endInText({ origin, lead = 0 }: Normalized, end: number): number {
  if (origin === undefined) return end;
  if (end <= lead) return origin[0]!;
  let next = end;
  while (next < origin.length - 1 && origin[next] === origin[end - 1]) next++;
  return origin[next]!;
}
