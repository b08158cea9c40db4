/** A SentencePiece vocabulary, from its own file or from GGUF, as a tokenizer.json that says the same. */

import { addedToken, type MadeFiles, templateJson } from './made.ts';
import { mergesFromScores } from './scores.ts';

/** SentencePiece's kinds of pieces; GGUF numbers them alike. */
export const PIECE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface PieceVocabulary {
  pieces: readonly string[];
  scores: ArrayLike<number>;
  types: ArrayLike<number>;
  algorithm: 'bpe' | 'unigram';
  /** Put a space before a text. */
  addSpacePrefix: boolean;
  /** Leave out spaces at the ends and all but one of several. */
  removeExtraSpaces: boolean;
  /** SentencePiece's precompiled character map, in base64. */
  charactersBase64?: string;
  ids: { bos?: number | undefined; eos?: number | undefined; unk?: number | undefined; pad?: number | undefined };
  addBos: boolean;
  addEos: boolean;
}

export function filesFromPieces(vocabulary: PieceVocabulary): MadeFiles {
  const { pieces, types, ids } = vocabulary;
  const isType = (id: number, ...wanted: number[]): boolean => wanted.includes(types[id] ?? PIECE.normal);
  const added = pieces.flatMap((piece, id) => {
    if (isType(id, PIECE.userDefined)) return [addedToken(id, piece, false)];
    return isType(id, PIECE.control, PIECE.unknown) ? [addedToken(id, piece, true)] : [];
  });
  const { model, readOptions } = vocabulary.algorithm === 'bpe' ? bpe(vocabulary) : unigram(vocabulary);
  const named = (id: number | undefined): string | undefined => (id === undefined ? undefined : pieces[id]);
  const frame = (wanted: boolean, id: number | undefined): (readonly [string, number])[] =>
    wanted && id !== undefined && pieces[id] !== undefined ? [[pieces[id], id]] : [];
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: normalizerJson(vocabulary),
      pre_tokenizer: null,
      post_processor: templateJson(frame(vocabulary.addBos, ids.bos), frame(vocabulary.addEos, ids.eos)),
      decoder: decoderJson(vocabulary.addSpacePrefix),
      model,
    },
    tokenizerConfig: specialJson({
      bos: named(ids.bos),
      eos: named(ids.eos),
      unk: named(ids.unk),
      pad: named(ids.pad),
    }),
    readOptions,
  };
}

/** tokenizer_config.json with those of the special tokens that there are. */
export function specialJson(tokens: Record<string, string | undefined>): Record<string, unknown> {
  const fields = Object.entries(tokens).flatMap(([name, token]) =>
    token === undefined ? [] : [[`${name}_token`, token]],
  );
  return {
    ...Object.fromEntries(fields),
    clean_up_tokenization_spaces: false,
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
}

function bpe(vocabulary: PieceVocabulary): { model: unknown; readOptions: MadeFiles['readOptions'] } {
  const { pieces, scores, types, ids } = vocabulary;
  const idOf = new Map(pieces.map((piece, id) => [piece, id]));
  const mergeable = pieces.filter((_, id) => (types[id] ?? PIECE.normal) === PIECE.normal);
  const { merges, ranks } = mergesFromScores(mergeable, (piece) => scores[idOf.get(piece)!] ?? 0);
  const model = {
    type: 'BPE',
    dropout: null,
    unk_token: ids.unk === undefined ? null : (pieces[ids.unk] ?? null),
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: true,
    byte_fallback: hasBytes(vocabulary),
    ignore_merges: false,
    vocab: Object.fromEntries(idOf),
    merges,
  };
  return { model, readOptions: { mergeRanks: ranks } };
}

function unigram(vocabulary: PieceVocabulary): { model: unknown; readOptions: MadeFiles['readOptions'] } {
  const { pieces, scores, types, ids } = vocabulary;
  const model = {
    type: 'Unigram',
    unk_id: ids.unk ?? 0,
    byte_fallback: hasBytes(vocabulary),
    vocab: pieces.map((piece, id) => [piece, scores[id] ?? 0]),
  };
  const unreachable = new Set(pieces.keys().filter((id) => (types[id] ?? PIECE.normal) !== PIECE.normal));
  return { model, readOptions: { unreachable } };
}

function hasBytes({ pieces, types }: PieceVocabulary): boolean {
  return pieces.some((_, id) => types[id] === PIECE.byte);
}

function normalizerJson(vocabulary: PieceVocabulary): unknown {
  const { charactersBase64, removeExtraSpaces, addSpacePrefix } = vocabulary;
  const normalizers = [
    ...(charactersBase64 ? [{ type: 'Precompiled', precompiled_charsmap: charactersBase64 }] : []),
    ...(removeExtraSpaces
      ? [
          { type: 'Replace', pattern: { Regex: '\\A +| +\\z' }, content: '' },
          { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
        ]
      : []),
    ...(addSpacePrefix ? [{ type: 'Prepend', prepend: '▁' }] : []),
    { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
  ];
  return { type: 'Sequence', normalizers };
}

function decoderJson(addSpacePrefix: boolean): unknown {
  const decoders = [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
    ...(addSpacePrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
  ];
  return { type: 'Sequence', decoders };
}
