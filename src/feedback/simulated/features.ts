/**
 * What a rubric looks at in an answer: eight numbers from 0 (bad) to 1 (good).
 *
 * Three goals, of which an answer can have more or less, and five gates, which an ordinary answer passes whole, and a
 * degenerate one (repeated, shouting, beside the topic, a heap of keywords) does not. Everything is smooth or nearly so,
 * bounded, and saturates early: more of a good thing does not pay, so that the shortest way to a high score is a good answer.
 */
import { sentiment } from './sentiment.ts';
import { contentWords, isFunctionWord, ngrams, sentencesOf, stem, topicWords, wordsOf } from './words.ts';

export interface Features {
  /** Goal: how friendly the sentences are, by VADER; 1 from a mean compound of about 0.5. For a neutral tone, how even. */
  readonly sentiment: number;
  /** Goal: as many words as the band wants. */
  readonly concise: number;
  /** Goal: the last sentence is finished. */
  readonly complete: number;
  /** Gate: speaks of what the prompt is about, and adds something to it. */
  readonly relevant: number;
  /** Gate: does not hand the prompt back. */
  readonly original: number;
  /** Gate: words and trigrams do not come again and again. */
  readonly unrepetitive: number;
  /** Gate: plain prose; no shouting, no rows of exclamation marks, no markup, no symbols. */
  readonly plain: number;
  /** Gate: function words stand between the others as in a sentence. */
  readonly fluent: number;
}

export interface FeatureOptions {
  readonly tone: 'positive' | 'neutral';
  /** Words: none at all below `none`, the whole score from `low` to `high`, nothing from `tooMany`. */
  readonly band: { readonly none: number; readonly low: number; readonly high: number; readonly tooMany: number };
}

const NOTHING: Features = {
  sentiment: 0,
  concise: 0,
  complete: 0,
  relevant: 0,
  original: 0,
  unrepetitive: 0,
  plain: 0,
  fluent: 0,
};

/** Texts beyond this many characters are judged by their beginning; they are far beyond every band. */
const LONGEST = 8_000;

/** @param prompt what the answer should speak to: the last turn of a dialogue. */
export function featuresOf(prompt: string, answer: string, { tone, band }: FeatureOptions): Features {
  const text = answer.slice(0, LONGEST).trim();
  const words = wordsOf(text);
  if (words.length === 0) return NOTHING;
  const asked = wordsOf(prompt.slice(0, LONGEST));
  return {
    sentiment: sentiment(text, tone),
    concise: rise(words.length, band.none, band.low) * fall(words.length, band.high, band.tooMany),
    complete: completeness(text, words),
    relevant: relevance(asked, words),
    original: originality(asked, words),
    unrepetitive: variety(words),
    plain: plainness(text, words),
    fluent: fluency(words),
  };
}

/** Two words of the topic are enough, and one is worth 0.7, among a few content words that the prompt did not have. */
function relevance(prompt: readonly string[], words: readonly string[]): number {
  const topic = topicWords(prompt);
  const content = contentWords(words);
  const added = [...content].filter((word) => !topic.has(word)).length;
  const substance = rise(added, 0, 4);
  if (topic.size === 0) return substance;
  const hits = [...topic].filter((word) => content.has(word)).length;
  return Math.sqrt(Math.min(1, hits / Math.min(2, topic.size))) * substance;
}

/** The prompt's trigrams, and its topic's words, are less than about a third of the answer. */
function originality(prompt: readonly string[], words: readonly string[]): number {
  const said = new Set(ngrams(prompt, 3));
  const own = ngrams(words, 3);
  const copied = own.length === 0 ? 0 : own.filter((gram) => said.has(gram)).length / own.length;
  const topic = topicWords(prompt);
  const density = words.filter((word) => topic.has(stem(word))).length / words.length;
  return fall(copied, 0.35, 0.85) * fall(density, 0.35, 0.65);
}

/** 1 for a last sentence of at least two words with its mark, a quarter for trailing dots, 0 for a text that breaks off. */
function completeness(text: string, words: readonly string[]): number {
  const last = sentencesOf(text).at(-1);
  const end = text.match(/[.!?…]+(?=["'”’)\]*_]*$)/u)?.[0];
  if (last === undefined || end === undefined || !text.endsWith(last.slice(-3)) || wordsOf(last).length < 2) return 0;
  // "... here are three ways: 1." ends with a full stop and breaks off all the same.
  if (/[\n:]\s*\d+\.$/.test(text)) return 0;
  if (/\.\.|…/.test(end)) return 0.25;
  return rise(words.length, 1, 4);
}

/** Distinct trigrams, and distinct words in windows of 50, so that long texts are not blamed for being long. */
function variety(words: readonly string[]): number {
  const grams = ngrams(words, 3);
  const distinct = grams.length === 0 ? 1 : new Set(grams).size / grams.length;
  const size = Math.min(50, words.length);
  let kinds = 1;
  for (let start = 0; start + size <= words.length; start += 25) {
    kinds = Math.min(kinds, new Set(words.slice(start, start + size)).size / size);
  }
  return rise(distinct, 0.6, 0.95) * rise(kinds, 0.35, 0.6);
}

function plainness(text: string, words: readonly string[]): number {
  const tokens = text.match(/[\p{L}\p{N}'’]+/gu) ?? [];
  const long = tokens.filter((token) => /\p{L}{2}/u.test(token));
  const shouted = long.filter((token) => token === token.toUpperCase()).length / Math.max(1, long.length);
  const camel = long.filter((token) => /\p{Ll}\p{Lu}/u.test(token)).length / words.length;
  const marks = (text.match(/!/g) ?? []).length;
  const symbols = (text.match(/[^\p{L}\p{M}\p{N}\s.,;:!?'"’‘“”()\-–—]/gu) ?? []).length / text.length;
  const markup = (text.match(/^\s*(?:#{1,6}\s|[-*•]\s|\d+[.)]\s|\||```)/gmu) ?? []).length;
  // One acronym or one name such as JavaScript is no fault.
  return (
    fall(shouted, 0.15, 0.5) *
    fall(camel, 0.06, 0.2) *
    fall(marks, 2, 6) *
    fall(symbols, 0.02, 0.15) *
    fall(markup, 0, 6)
  );
}

/** Lists of keywords have no function words, and strings of them no others. */
function fluency(words: readonly string[]): number {
  const grammar = words.filter(isFunctionWord).length / words.length;
  const length = words.reduce((sum, word) => sum + word.length, 0) / words.length;
  return rise(grammar, 0.12, 0.32) * fall(grammar, 0.78, 0.95) * fall(length, 7, 10);
}

/** 0 up to `from`, 1 from `to` on, a smooth step between (3t^2 - 2t^3). */
export function rise(value: number, from: number, to: number): number {
  const t = Math.min(1, Math.max(0, (value - from) / (to - from)));
  return t * t * (3 - 2 * t);
}

/** 1 up to `from`, 0 from `to` on. */
export function fall(value: number, from: number, to: number): number {
  return 1 - rise(value, from, to);
}
