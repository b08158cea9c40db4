/** What a foreign format is turned into: the files that say the same, and what those files cannot say. */

import type { ReadOptions } from '../definition.ts';
import { DIGITS, GPT2 } from './patterns.ts';

export interface MadeFiles {
  tokenizerJson: Record<string, unknown>;
  tokenizerConfig: Record<string, unknown>;
  readOptions: ReadOptions;
}

export interface AddedTokenJson {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

export function addedToken(id: number, content: string, special: boolean): AddedTokenJson {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

/** A tokenizer.json of byte-level BPE. */
export function byteLevelJson(
  model: { vocab: Record<string, number>; merges: unknown; ignoreMerges?: boolean },
  added: readonly AddedTokenJson[],
  patterns: readonly string[],
): Record<string, unknown> {
  // In the words of the models' own files, so that others know the rules again.
  const usesOwn = patterns.at(-1) === GPT2;
  const splits = (usesOwn ? patterns.slice(0, -1) : patterns).map((Regex) =>
    Regex === DIGITS
      ? { type: 'Digits', individual_digits: true }
      : { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
  );
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: usesOwn };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: splits.length === 0 ? bytes : { type: 'Sequence', pretokenizers: [...splits, bytes] },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: model.ignoreMerges ?? false,
      vocab: model.vocab,
      merges: model.merges,
    },
  };
}

/** What transformers' tokenizers put before and after a text, as a post-processor. */
export function templateJson(
  before: readonly (readonly [string, number])[],
  after: readonly (readonly [string, number])[],
): unknown {
  if (before.length + after.length === 0) return null;
  const special = ([id]: readonly [string, number]) => ({ SpecialToken: { id, type_id: 0 } });
  const sequence = (id: string, type: number) => ({ Sequence: { id, type_id: type } });
  return {
    type: 'TemplateProcessing',
    single: [...before.map(special), sequence('A', 0), ...after.map(special)],
    pair: [...before.map(special), sequence('A', 0), ...after.map(special), sequence('B', 1)],
    special_tokens: Object.fromEntries(
      [...before, ...after].map(([token, id]) => [token, { id: token, ids: [id], tokens: [token] }]),
    ),
  };
}
