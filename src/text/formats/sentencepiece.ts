/** SentencePiece's own file: the protobuf message ModelProto. */

import { NudgeError } from '../../errors.ts';
import type { MadeFiles } from './made.ts';
import { filesFromPieces, PIECE } from './pieces.ts';
import { type Field, readFields } from './protobuf.ts';

/** Numbers of the fields that matter, from sentencepiece_model.proto. */
const MODEL = { pieces: 1, trainer: 2, normalizer: 3 };
const ENTRY = { text: 1, score: 2, type: 3 };
const TRAINER = { algorithm: 3, suffixSpaces: 24, unk: 40, bos: 41, eos: 42, pad: 43 };
const NORMALIZER = { characters: 2, addPrefix: 3, removeExtra: 4, escape: 5 };
const UNIGRAM = 1;
const BPE = 2;

export function definitionFromSentencePiece(bytes: Uint8Array, path: string): MadeFiles {
  const pieces: string[] = [];
  const scores: number[] = [];
  const types: number[] = [];
  let trainer = new Map<number, Field['value']>();
  let normalizer = new Map<number, Field['value']>();
  for (const { number, value } of readFields(bytes, path)) {
    if (number === MODEL.trainer) trainer = message(value, path);
    if (number === MODEL.normalizer) normalizer = message(value, path);
    if (number !== MODEL.pieces) continue;
    const entry = message(value, path);
    const text = entry.get(ENTRY.text);
    pieces.push(text instanceof Uint8Array ? decoder.decode(text) : '');
    scores.push((entry.get(ENTRY.score) as number | undefined) ?? 0);
    types.push((entry.get(ENTRY.type) as number | undefined) ?? PIECE.normal);
  }
  const algorithm = trainer.get(TRAINER.algorithm) ?? UNIGRAM;
  const unsupported = unsupportedPart(pieces, algorithm, trainer, normalizer);
  if (unsupported !== undefined) {
    throw new NudgeError('BAD_FILE', 'This SentencePiece model is not supported.', { path, ...unsupported });
  }
  const characters = normalizer.get(NORMALIZER.characters);
  const flag = (field: number): boolean => normalizer.get(field) !== 0; // true unless the file says otherwise
  /** Ids are 32-bit and -1 means none, which protobuf writes as a 64-bit number. */
  const id = (field: number, missing: number): number | undefined => {
    const value = (trainer.get(field) as number | undefined) ?? missing;
    return value >= 0 && value < pieces.length ? value : undefined;
  };
  return filesFromPieces({
    pieces,
    scores,
    types,
    algorithm: algorithm === BPE ? 'bpe' : 'unigram',
    addSpacePrefix: flag(NORMALIZER.addPrefix),
    removeExtraSpaces: flag(NORMALIZER.removeExtra),
    ...(characters instanceof Uint8Array && characters.length > 0
      ? { charactersBase64: Buffer.from(characters).toString('base64') }
      : {}),
    ids: { unk: id(TRAINER.unk, 0), bos: id(TRAINER.bos, 1), eos: id(TRAINER.eos, 2), pad: id(TRAINER.pad, -1) },
    addBos: false,
    addEos: false,
  });
}

const decoder = new TextDecoder();

function message(value: Field['value'], path: string): Map<number, Field['value']> {
  const fields = new Map<number, Field['value']>();
  if (value instanceof Uint8Array) for (const field of readFields(value, path)) fields.set(field.number, field.value);
  return fields;
}

function unsupportedPart(
  pieces: readonly string[],
  algorithm: Field['value'],
  trainer: ReadonlyMap<number, Field['value']>,
  normalizer: ReadonlyMap<number, Field['value']>,
): { expected: string; received: string } | undefined {
  if (pieces.length === 0) return { expected: 'pieces', received: 'none' };
  if (algorithm !== BPE && algorithm !== UNIGRAM) {
    return { expected: 'unigram (1) or BPE (2)', received: `algorithm ${algorithm}` };
  }
  if (trainer.get(TRAINER.suffixSpaces) === 1) {
    return { expected: 'spaces at the start of words', received: 'treat_whitespace_as_suffix' };
  }
  if (normalizer.get(NORMALIZER.escape) === 0) {
    return { expected: 'spaces written as ▁', received: 'escape_whitespaces = false' };
  }
  return undefined;
}
