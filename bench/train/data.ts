/** What both sides learn from: random ids of real lengths, the same in the same order. */
import { Tokenizer } from '../../src/text/index.ts';
import { Batches } from '../../src/train/index.ts';
import { SMOLLM2 } from '../smollm2.ts';
import { dialogueWork, pairWork, total, type Work } from './flops.ts';
import { PAIRS } from './lengths.ts';

/** Rows in a step. */
export const BATCH = 8;
/** Steps for which the peer is given rows, warm-up included; more than anybody has rounds. */
export const STEPS = 128;
export const SEED = 0;
export const PAD = 0;
export const EOS = 1;

export type Kind = 'sft' | 'reward';

/** Token ids of a prompt and two completions, each of which ends in EOS. */
export interface Dialogue {
  readonly prompt: readonly number[];
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
}

export const DIALOGUES: readonly Dialogue[] = PAIRS.map(([prompt, chosen, rejected], row) => ({
  prompt: idsOf(3 * row, prompt),
  chosen: [...idsOf(3 * row + 1, chosen - 1), EOS],
  rejected: [...idsOf(3 * row + 2, rejected - 1), EOS],
}));

/** Pseudo-random ids, none of them special. */
export function idsOf(seed: number, length: number): number[] {
  return Array.from({ length }, (_, i) => {
    // The finaliser of MurmurHash3 spreads neighbours over all ids.
    let h = Math.imul(seed, 0x9e3779b1) ^ Math.imul(i + 1, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return 2 + (((h ^ (h >>> 16)) >>> 0) % (SMOLLM2.vocab_size - 2));
  });
}

// ---- as text, for what wants text ----

const FIRST_CODE_POINT = 0x20000;

/** Each id is a character: the trainers read text, and these give back the ids. */
export const textOf = (ids: readonly number[]): string =>
  ids.map((id) => String.fromCodePoint(FIRST_CODE_POINT + id)).join('');

/** The text of a completion: its end is put there by the trainer. */
export const completionText = (ids: readonly number[]): string => textOf(ids.slice(0, -1));

/** The tokenizer of these texts, as the contents of tokenizer.json: a BPE without merges. */
export function tokenizerJson(): Record<string, unknown> {
  const vocab = Object.fromEntries(Array.from({ length: SMOLLM2.vocab_size }, (_, id) => [textOf([id]), id]));
  const special = (id: number) => ({
    ...{ id, content: textOf([id]), special: true },
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
  });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(PAD), special(EOS)],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: { type: 'BPE', vocab, merges: [] },
  };
}

export function makeTokenizer(): Tokenizer {
  const config = { pad_token: textOf([PAD]), eos_token: textOf([EOS]) };
  const files = { 'tokenizer.json': tokenizerJson(), 'tokenizer_config.json': config };
  const texts = Object.entries(files).map(([name, contents]) => [name, JSON.stringify(contents)] as const);
  return Tokenizer.fromFiles(new Map(texts), 'bench/train');
}

// ---- steps ----

const batches = new Batches({ lengths: DIALOGUES.map(() => 1), seed: SEED, rows: BATCH });

/** The rows of a step, from 0: the order in which Nudge's trainers take them. */
export const rowsOf = (step: number): readonly number[] => batches.at(step).rows;

/** Tokens of a row as its data set has them: a pair's prompt stands before both of its completions. */
export function tokensOf(kind: Kind, row: number): number {
  const [prompt, chosen, rejected] = PAIRS[row]!;
  return kind === 'sft' ? prompt + chosen : 2 * prompt + chosen + rejected;
}

export const tokensOfStep = (kind: Kind, step: number): number =>
  rowsOf(step).reduce((sum, row) => sum + tokensOf(kind, row), 0);

/** Tokens of a step on average over the data. */
export const meanTokens = (kind: Kind): number =>
  (BATCH * PAIRS.reduce((sum, _, row) => sum + tokensOf(kind, row), 0)) / PAIRS.length;

/** What a step computes on average over the data. */
export function meanWork(kind: Kind): Work {
  const all = total(PAIRS.map((one) => (kind === 'sft' ? dialogueWork(one[0], one[1]) : pairWork(...one))));
  const share = BATCH / PAIRS.length;
  return {
    tokens: all.tokens * share,
    attended: all.attended * share,
    predicting: all.predicting * share,
    scored: all.scored * share,
  };
}
