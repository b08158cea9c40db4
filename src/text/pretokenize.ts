/** The pre-tokenizers of tokenizer.json: where a text is cut into words before it is encoded. */

import type { Json } from './json.ts';
import { compilePattern } from './pattern.ts';

/** A word and where it stands in the normalized text. `lead` units at its start were added and stand nowhere. */
export interface Word {
  text: string;
  at: number;
  lead: number;
}

export interface WordContext {
  /** Whether this is where the whole text begins, and not after a special token. */
  first: boolean;
  /** Whether the text goes on from earlier text: no space is put before it. */
  continuing: boolean;
}

type Step = (words: Word[], context: WordContext) => Word[];
type Behavior = 'removed' | 'isolated' | 'mergedwithprevious' | 'mergedwithnext' | 'contiguous';

const GPT2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;
const WORD_OR_SYMBOLS = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{White_Space}]+/gu;

export class PreTokenizer {
  readonly #steps: Step[] = [];
  /** Whether words are spelled in bytes afterwards. */
  byteLevel = false;
  /** What `Metaspace` writes for a space. */
  metaspace: string | undefined;

  constructor(json: Json) {
    this.#read(json);
  }

  apply(text: string, context: WordContext): Word[] {
    return this.#steps.reduce((words, step) => step(words, context), [{ text, at: 0, lead: 0 }] as Word[]);
  }

  #read(json: Json): void {
    const type = json.get('type').string();
    if (this.byteLevel) json.fail('no step after ByteLevel', 'Nudge cuts words before they are spelled in bytes.');
    switch (type) {
      case 'Sequence':
        for (const item of json.get('pretokenizers').items()) this.#read(item);
        return;
      case 'ByteLevel':
        if (json.get('add_prefix_space').boolean(true)) this.#steps.push(addSpace);
        if (json.get('use_regex').boolean(true)) this.#steps.push(split(GPT2, 'isolated'));
        this.byteLevel = true;
        return;
      case 'Split':
        this.#steps.push(
          split(
            compilePattern(json.get('pattern')),
            readBehavior(json.get('behavior')),
            json.get('invert').boolean(false),
          ),
        );
        return;
      case 'Digits':
        this.#steps.push(split(json.get('individual_digits').boolean(false) ? /\p{N}/gu : /\p{N}+/gu, 'isolated'));
        return;
      case 'Punctuation':
        this.#steps.push(
          split(PUNCTUATION, json.get('behavior').isMissing ? 'isolated' : readBehavior(json.get('behavior'))),
        );
        return;
      case 'Whitespace':
        this.#steps.push(split(WORD_OR_SYMBOLS, 'removed', true));
        return;
      case 'WhitespaceSplit':
        this.#steps.push(split(/\p{White_Space}/gu, 'removed'));
        return;
      case 'Metaspace':
        this.#readMetaspace(json);
        return;
      default:
        json
          .get('type')
          .fail('Sequence, ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit or Metaspace');
    }
  }

  #readMetaspace(json: Json): void {
    const replacement = json.get('replacement').isMissing ? '▁' : json.get('replacement').string();
    const legacy = json.get('add_prefix_space').boolean(true) ? 'always' : 'never';
    const scheme = json.get('prepend_scheme').isMissing ? legacy : json.get('prepend_scheme').string();
    this.metaspace = replacement;
    this.#steps.push((words, { first, continuing }) =>
      words.map((word, i) => {
        const text = word.text.replaceAll(' ', replacement);
        const wanted = scheme === 'always' || (scheme === 'first' && first && i === 0);
        if (continuing || !wanted || text.startsWith(replacement)) return { ...word, text };
        return { text: replacement + text, at: word.at, lead: replacement.length };
      }),
    );
    if (json.get('split').boolean(true)) {
      this.#steps.push(split(new RegExp(replacement, 'gu'), 'mergedwithnext'));
    }
  }
}

const addSpace: Step = (words, { continuing }) =>
  words.map((word) =>
    continuing || word.text === '' || word.text.startsWith(' ')
      ? word
      : { text: ` ${word.text}`, at: word.at, lead: 1 },
  );

function readBehavior(json: Json): Behavior {
  const behavior = json.string().toLowerCase().replaceAll('_', '') as Behavior;
  const known = ['removed', 'isolated', 'mergedwithprevious', 'mergedwithnext', 'contiguous'];
  if (!known.includes(behavior)) json.fail('Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous');
  return behavior;
}

/** Cuts every word at the pattern's matches; `invert` keeps the matches and treats what stands between them as matched. */
function split(pattern: RegExp, behavior: Behavior, invert = false): Step {
  const cut = behavior === 'isolated' ? cutIsolated : cutMerging;
  return (words) => {
    const into: Word[] = [];
    for (const word of words) cut(word, pattern, behavior, invert, into);
    return into;
  };
}

function emit(word: Word, start: number, end: number, into: Word[]): void {
  if (end === start) return;
  const lead = Math.min(Math.max(0, word.lead - start), end - start);
  into.push({ text: word.text.slice(start, end), at: word.at + Math.max(0, start - word.lead), lead });
}

function cutIsolated(word: Word, pattern: RegExp, _behavior: Behavior, _invert: boolean, into: Word[]): void {
  let done = 0;
  for (const [start, end] of matches(pattern, word.text)) {
    emit(word, done, start, into);
    emit(word, start, end, into);
    done = end;
  }
  emit(word, done, word.text.length, into);
}

function cutMerging(word: Word, pattern: RegExp, behavior: Behavior, invert: boolean, into: Word[]): void {
  const { length } = word.text;
  let done = 0; // everything before is emitted
  let previous: boolean | undefined;
  const emitUpTo = (end: number): void => {
    emit(word, done, end, into);
    done = end;
  };
  const visit = (start: number, end: number, matched: boolean): void => {
    if (end === start) return;
    if (behavior === 'removed') {
      if (!matched) emit(word, start, end, into);
    } else if (behavior === 'mergedwithprevious') {
      if (matched || end === length) emitUpTo(end);
    } else {
      if (behavior === 'mergedwithnext' ? matched : matched !== previous) emitUpTo(start);
      if (end === length) emitUpTo(end);
    }
    previous = matched;
  };
  let at = 0;
  for (const [start, end] of matches(pattern, word.text)) {
    visit(at, start, invert);
    visit(start, end, !invert);
    at = end;
  }
  visit(at, length, invert);
}

function matches(pattern: RegExp, text: string): [start: number, end: number][] {
  const found: [number, number][] = [];
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    if (match[0].length === 0) pattern.lastIndex++;
    else found.push([match.index, pattern.lastIndex]);
  }
  return found;
}
