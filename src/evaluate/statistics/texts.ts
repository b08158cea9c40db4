/** What can be said of texts without judging them: how long, how varied, how repetitive. */
import { mean, needs, quantileOfSorted, standardDeviation } from './estimate.ts';

/**
 * Words, numbers and single marks, in lower case. Scripts that put no spaces between words are taken character by character.
 * A rough split, the same everywhere: for comparing texts with each other, not for training.
 */
export function words(text: string): string[] {
  return text.toLowerCase().match(WORD) ?? [];
}

const WORD =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]|(?:(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}])[\p{L}\p{M}\p{N}])+|[^\s\p{L}\p{M}\p{N}]/gu;

function ngrams(tokens: readonly string[], n: number): string[] {
  return Array.from({ length: Math.max(0, tokens.length - n + 1) }, (_, i) => tokens.slice(i, i + n).join('\u0000'));
}

/** Different n-grams as a share of all, over all texts together (distinct-n; Li et al., 1510.03055). Falls with the amount of text. */
export function distinct(texts: readonly string[], n: number): number {
  const all = texts.flatMap((text) => ngrams(words(text), n));
  return all.length === 0 ? Number.NaN : new Set(all).size / all.length;
}

/** 1 - different / all 3-grams within a text: 0 says nothing twice, 1 is a loop. 0 for texts of fewer than three words. */
export function repetition(text: string, n = 3): number {
  const all = ngrams(words(text), n);
  return all.length === 0 ? 0 : 1 - new Set(all).size / all.length;
}

/**
 * Mean BLEU-4 of each text with all others as references (Zhu et al., 1802.01886): 1 where all texts are alike, towards 0 where
 * they share nothing. A count of zero is smoothed to 0.1 (Chen and Cherry 2014, method 1), as in NLTK.
 */
export function selfBleu(texts: readonly string[]): number {
  needs(texts.length, 2, 'selfBleu');
  const tokens = texts.map(words);
  const counts = [1, 2, 3, 4].map((n) => tokens.map((text) => countsOf(ngrams(text, n))));
  const tops = counts.map(twoLargest);
  const lengths = tokens.map((text) => text.length);
  return mean(
    tokens.map((_, i) => {
      const precisions = counts.map((ofTexts, order) => precisionOf(ofTexts[i]!, i, tops[order]!));
      if (precisions[0]!.matched === 0) return 0;
      const logs = precisions.map(({ matched, total }) => Math.log((matched === 0 ? 0.1 : matched) / total));
      return brevity(lengths, i) * Math.exp(mean(logs));
    }),
  );
}

interface Top {
  /** The largest count of an n-gram in a text, whose text that is, and the largest in any other text. */
  most: number;
  owner: number;
  second: number;
}

function twoLargest(counts: readonly ReadonlyMap<string, number>[]): Map<string, Top> {
  const tops = new Map<string, Top>();
  for (const [owner, ofText] of counts.entries()) {
    for (const [gram, count] of ofText) {
      const top = tops.get(gram);
      if (top === undefined) tops.set(gram, { most: count, owner, second: 0 });
      else if (count > top.most) tops.set(gram, { most: count, owner, second: top.most });
      else if (count > top.second) top.second = count;
    }
  }
  return tops;
}

/** How many of a text's n-grams are in the other texts, each as often as in the one that has it most. */
function precisionOf(
  own: ReadonlyMap<string, number>,
  index: number,
  tops: ReadonlyMap<string, Top>,
): { matched: number; total: number } {
  let [matched, total] = [0, 0];
  for (const [gram, count] of own) {
    const { most, owner, second } = tops.get(gram)!;
    matched += Math.min(count, owner === index ? second : most);
    total += count;
  }
  return { matched, total: Math.max(1, total) };
}

/** The penalty for being shorter than the other text whose length is closest. */
function brevity(lengths: readonly number[], index: number): number {
  const own = lengths[index]!;
  let closest = Number.POSITIVE_INFINITY;
  for (const [i, length] of lengths.entries()) {
    if (i === index) continue;
    const [apart, best] = [Math.abs(length - own), Math.abs(closest - own)];
    if (apart < best || (apart === best && length < closest)) closest = length;
  }
  if (own === 0) return 0;
  return own > closest ? 1 : Math.exp(1 - closest / own);
}

function countsOf(grams: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const gram of grams) counts.set(gram, (counts.get(gram) ?? 0) + 1);
  return counts;
}

export interface Diversity {
  readonly distinct1: number | null;
  readonly distinct2: number | null;
  readonly distinct3: number | null;
  /** null for fewer than two texts. */
  readonly selfBleu: number | null;
  /** Mean over texts of 1 - different / all 3-grams. */
  readonly repetition: number;
}

export function diversity(texts: readonly string[]): Diversity {
  needs(texts.length, 1, 'diversity');
  const share = (n: number): number | null => {
    const value = distinct(texts, n);
    return Number.isNaN(value) ? null : value;
  };
  return {
    distinct1: share(1),
    distinct2: share(2),
    distinct3: share(3),
    selfBleu: texts.length < 2 ? null : selfBleu(texts),
    repetition: mean(texts.map((text) => repetition(text))),
  };
}

export interface Summary {
  readonly n: number;
  readonly mean: number;
  /** Of the sample (N - 1). */
  readonly sd: number;
  readonly min: number;
  readonly median: number;
  readonly p95: number;
  readonly max: number;
}

/** Of lengths, or of any numbers. */
export function summary(values: readonly number[]): Summary {
  needs(values.length, 1, 'summary');
  const sorted = Float64Array.from(values).sort();
  return {
    n: values.length,
    mean: mean(values),
    sd: standardDeviation(values),
    min: sorted[0]!,
    median: quantileOfSorted(sorted, 0.5),
    p95: quantileOfSorted(sorted, 0.95),
    max: sorted.at(-1)!,
  };
}
