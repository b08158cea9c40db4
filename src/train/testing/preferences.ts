/** Judgements that a tiny model can learn in seconds. */
import type { PreferenceRecord, RankingRecord } from '../../data/index.ts';
import { Draws } from '../random.ts';

const NOUNS = ['fox', 'dog', 'cat', 'sun', 'tree', 'house', 'day', 'girl', 'boy', 'ball', 'park', 'bird'];
const FILLERS = ['the', 'a', 'and', 'was', 'to', 'her', 'he', 'she', 'it', 'in'];
/** What people like to read, and how much. */
const TASTE: Readonly<Record<string, number>> = { happy: 2, big: 1, sad: -2 };

/** The liking that the words of an answer add up to. */
export function liking(text: string): number {
  return text.split(' ').reduce((sum, word) => sum + (TASTE[word] ?? 0), 0);
}

/** An answer with one word of taste in some place among others. */
function answer(draws: Draws, word: string): string {
  const words = Array.from({ length: 3 + draws.below(4) }, () => FILLERS[draws.below(FILLERS.length)]!);
  words[draws.below(words.length)] = word;
  return ` ${words.join(' ')}`;
}

const promptOf = (draws: Draws, i: number): string => `the ${NOUNS[i % NOUNS.length]} ${FILLERS[draws.below(10)]} ${i}`;

/** Pairs; the chosen one has the happier word. */
export function preferences(count: number, seed: number): PreferenceRecord[] {
  const draws = new Draws(seed, 'preferences');
  const pairs = [
    ['happy', 'sad'],
    ['happy', 'big'],
    ['big', 'sad'],
  ] as const;
  return Array.from({ length: count }, (_, i) => {
    const [better, worse] = pairs[draws.below(3)]!;
    return { prompt: promptOf(draws, i), chosen: answer(draws, better), rejected: answer(draws, worse) };
  });
}

/** Rankings of four answers, one of which nobody ranked, and two of which are alike. */
export function rankings(count: number, seed: number): RankingRecord[] {
  const draws = new Draws(seed, 'rankings');
  return Array.from({ length: count }, (_, i) => ({
    prompt: promptOf(draws, i),
    completions: ['sad', 'happy', 'big', 'big'].map((word) => answer(draws, word)),
    ranks: i % 2 === 0 ? [3, 1, 2, 2] : [2, 1, null, null],
  }));
}
