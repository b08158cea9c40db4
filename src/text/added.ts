/** Added tokens: found in the text before anything else happens to it, the longest one at the leftmost place. */

import type { Json } from './json.ts';
import { escapeRegExp } from './pattern.ts';

export interface AddedToken {
  id: number;
  content: string;
  /** Special tokens steer (`<s>`, `<|im_end|>`); the others are plain words that the vocabulary lacked. */
  special: boolean;
  /** Whether it is looked for after normalization. */
  normalized: boolean;
  singleWord: boolean;
  /** Whether it takes the white space before and after it. */
  lstrip: boolean;
  rstrip: boolean;
}

/** A part of a text: plain, or an added token with the place that it takes. */
export interface Section {
  start: number;
  end: number;
  token?: AddedToken;
}

export function readAddedTokens(json: Json): AddedToken[] {
  if (json.isMissing) return [];
  return json.items().map((item) => {
    const special = item.get('special').boolean(false);
    return {
      id: item.get('id').index(),
      content: item.get('content').string(),
      special,
      normalized: item.get('normalized').boolean(!special),
      singleWord: item.get('single_word').boolean(false),
      lstrip: item.get('lstrip').boolean(false),
      rstrip: item.get('rstrip').boolean(false),
    };
  });
}

/** Finds added tokens in a text. */
export class AddedTokenFinder {
  readonly #byContent = new Map<string, AddedToken>();
  readonly #pattern: RegExp | undefined;

  /** @param spell what a token looks like in the text that is searched */
  constructor(tokens: readonly AddedToken[], spell: (content: string) => string = (content) => content) {
    for (const token of tokens) {
      const content = spell(token.content);
      if (content !== '') this.#byContent.set(content, token);
    }
    const longestFirst = [...this.#byContent.keys()].sort((a, b) => b.length - a.length);
    if (longestFirst.length > 0) this.#pattern = new RegExp(longestFirst.map(escapeRegExp).join('|'), 'g');
  }

  split(text: string): Section[] {
    if (this.#pattern === undefined) return text === '' ? [] : [{ start: 0, end: text.length }];
    const sections: Section[] = [];
    let done = 0;
    for (const match of text.matchAll(this.#pattern)) {
      const token = this.#byContent.get(match[0]) as AddedToken;
      let start = match.index;
      let end = start + match[0].length;
      if (start < done || (token.singleWord && !standsAlone(text, start, end))) continue;
      if (token.lstrip) start = Math.max(done, start - trailingSpace(text.slice(done, start)));
      if (token.rstrip) end += leadingSpace(text.slice(end));
      if (start > done) sections.push({ start: done, end: start });
      sections.push({ start, end, token });
      done = end;
    }
    if (done < text.length) sections.push({ start: done, end: text.length });
    return sections;
  }
}

function standsAlone(text: string, start: number, end: number): boolean {
  return (
    !/[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]$/u.test(text.slice(Math.max(0, start - 2), start)) &&
    !/^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u.test(text.slice(end, end + 2))
  );
}

function trailingSpace(text: string): number {
  let n = 0;
  while (n < text.length && /\s/.test(text[text.length - 1 - n]!)) n++;
  return n;
}

function leadingSpace(text: string): number {
  let n = 0;
  while (n < text.length && /\s/.test(text[n]!)) n++;
  return n;
}
