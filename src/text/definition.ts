/** tokenizer.json, read and checked: the parts that a Tokenizer is made of. */

import { type AddedToken, readAddedTokens } from './added.ts';
import { Bpe } from './bpe.ts';
import { type DecoderSpec, readDecoder } from './decode.ts';
import { Json } from './json.ts';
import { PairTable } from './merges.ts';
import type { TokenModel } from './model.ts';
import { Normalizer } from './normalize.ts';
import { type Frame, readPostProcessor } from './postprocess.ts';
import { PreTokenizer } from './pretokenize.ts';
import { Unigram } from './unigram.ts';

export interface Definition {
  added: readonly AddedToken[];
  normalizer: Normalizer | undefined;
  preTokenizer: PreTokenizer | undefined;
  model: TokenModel;
  /** The model's own unknown token. */
  unk: number | undefined;
  frame: Frame;
  decoder: DecoderSpec;
  /** Token by id. */
  tokens: readonly (string | undefined)[];
  ids: ReadonlyMap<string, number>;
}

export interface ReadOptions {
  /**
   * The rank of each merge, where several share one: SentencePiece ranks by the merged piece and takes the leftmost,
   * which tokenizer.json cannot say.
   */
  mergeRanks?: ArrayLike<number>;
  /** Ids that a unigram model must not produce. */
  unreachable?: ReadonlySet<number>;
}

/** Far above any vocabulary (the largest have 300,000 tokens), far below what an id typed wrong would allocate. */
const MOST_TOKENS = 2 ** 24;

export function readDefinition(json: Json, options: ReadOptions = {}): Definition {
  const added = readAddedTokens(json.get('added_tokens'));
  const normalizer = json.get('normalizer').isMissing ? undefined : new Normalizer(json.get('normalizer'));
  const preTokenizer = json.get('pre_tokenizer').isMissing ? undefined : new PreTokenizer(json.get('pre_tokenizer'));
  const decoder = readDecoder(json.get('decoder'));
  const byteLevel = preTokenizer?.byteLevel ?? false;
  const modelJson = json.get('model');
  const kind = modelKind(modelJson);
  const read = kind === 'BPE' ? readBpe(modelJson, byteLevel, options) : readUnigram(modelJson, options);
  const ids = new Map(read.ids);
  const tokens: (string | undefined)[] = [];
  for (const [token, id] of ids) tokens[id] = token;
  for (const token of added) {
    if (token.id >= MOST_TOKENS) json.get('added_tokens').fail(`ids below ${MOST_TOKENS}`);
    ids.set(token.content, token.id);
    tokens[token.id] = token.content;
  }
  const frame = readPostProcessor(json.get('post_processor'));
  return { added, normalizer, preTokenizer, model: read.model, unk: read.unk, frame, decoder, tokens, ids };
}

interface ReadModel {
  model: TokenModel;
  ids: ReadonlyMap<string, number>;
  unk: number | undefined;
}

/** Old files leave the type out. */
function modelKind(json: Json): 'BPE' | 'Unigram' {
  const type = json.get('type');
  if (type.isMissing) return Array.isArray(json.get('vocab').value) ? 'Unigram' : 'BPE';
  const kind = type.string();
  if (kind === 'BPE' || kind === 'Unigram') return kind;
  return type.fail(
    'BPE or Unigram',
    'WordPiece and WordLevel belong to encoders such as BERT, which Nudge does not train.',
  );
}

function readVocab(json: Json): Map<string, number> {
  const vocab = new Map<string, number>();
  for (const [token, id] of Object.entries(json.object())) {
    if (!Number.isSafeInteger(id) || (id as number) < 0 || (id as number) >= MOST_TOKENS) {
      new Json(id, `${json.path}[${JSON.stringify(token)}]`).fail(`an id from 0 to ${MOST_TOKENS - 1}`);
    }
    vocab.set(token, id as number);
  }
  return vocab;
}

function readBpe(json: Json, byteLevel: boolean, options: ReadOptions): ReadModel {
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (json.get(key).value) json.get(key).fail('none', 'Vocabularies that mark the ends of words are not supported.');
  }
  const vocab = readVocab(json.get('vocab'));
  const pairs = readMerges(json.get('merges'), vocab, options.mergeRanks);
  const unkToken = json.get('unk_token');
  const unk = unkToken.isMissing ? undefined : vocab.get(unkToken.string());
  if (!unkToken.isMissing && unk === undefined) unkToken.fail('a token of the vocabulary');
  const model = new Bpe({
    vocab,
    pairs,
    byteLevel,
    byteFallback: json.get('byte_fallback').boolean(false),
    ignoreMerges: json.get('ignore_merges').boolean(false),
    unk,
    fuseUnk: json.get('fuse_unk').boolean(false),
  });
  return { model, ids: vocab, unk };
}

function readMerges(json: Json, vocab: ReadonlyMap<string, number>, ranks: ArrayLike<number> | undefined): PairTable {
  const merges = json.list();
  const table = new PairTable(merges.length);
  merges.forEach((merge, rank) => {
    const [left, right] = splitMerge(merge, json, rank);
    const ids = [vocab.get(left), vocab.get(right), vocab.get(left + right)];
    if (ids.includes(undefined)) {
      const missing = [left, right, left + right][ids.indexOf(undefined)];
      new Json(merge, `${json.path}[${rank}]`).fail(
        `parts and a whole that are in the vocabulary; ${JSON.stringify(missing)} is not`,
      );
    }
    table.add(ids[0]!, ids[1]!, ranks?.[rank] ?? rank, ids[2]!);
  });
  return table;
}

function splitMerge(merge: unknown, json: Json, rank: number): readonly [string, string] {
  if (typeof merge === 'string') {
    const space = merge.indexOf(' ', 1);
    if (space > 0) return [merge.slice(0, space), merge.slice(space + 1)];
  } else if (Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === 'string')) {
    return merge as unknown as readonly [string, string];
  }
  return new Json(merge, `${json.path}[${rank}]`).fail('two tokens, as "a b" or ["a", "b"]');
}

function readUnigram(json: Json, options: ReadOptions): ReadModel {
  const ids = new Map<string, number>();
  const pieces = json
    .get('vocab')
    .items()
    .map((item, id) => {
      const [piece, score] = item.list();
      ids.set(new Json(piece, `${item.path}[0]`).string(), id);
      return [piece as string, new Json(score, `${item.path}[1]`).number()] as const;
    });
  const unk = json.get('unk_id').index();
  const byteFallback = json.get('byte_fallback').boolean(false);
  const unreachable = options.unreachable === undefined ? {} : { unreachable: options.unreachable };
  return { model: new Unigram({ pieces, unk, byteFallback, ...unreachable }), ids, unk };
}
