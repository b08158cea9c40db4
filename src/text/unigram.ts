/** SentencePiece's unigram model (Kudo 2018, arXiv:1804.10959): the segmentation of highest total score, by Viterbi. */

import { tokenOfByte } from './bytes.ts';
import type { TokenModel, TokenSink } from './model.ts';

export interface UnigramOptions {
  /** Piece and log-probability, by id. */
  pieces: readonly (readonly [piece: string, score: number])[];
  unk: number;
  byteFallback: boolean;
  /** Pieces that text never becomes: control tokens and the like. */
  unreachable?: ReadonlySet<number>;
}

interface Node {
  id: number;
  children: Map<number, Node>;
}

/** What SentencePiece takes off the lowest score for a character that no piece covers. */
const UNKNOWN_PENALTY = 10;

export class Unigram implements TokenModel {
  readonly #options: UnigramOptions;
  readonly #root: Node = { id: -1, children: new Map() };
  readonly #scores: Float64Array;
  readonly #unknownScore: number;
  readonly #byteIds: readonly (number | undefined)[];

  constructor(options: UnigramOptions) {
    this.#options = options;
    this.#scores = Float64Array.from(options.pieces, ([, score]) => score);
    const byPiece = new Map<string, number>();
    let lowest = Number.POSITIVE_INFINITY;
    options.pieces.forEach(([piece, score], id) => {
      byPiece.set(piece, id);
      if (options.unreachable?.has(id) || id === options.unk) return;
      lowest = Math.min(lowest, score);
      this.#insert(piece, id);
    });
    this.#unknownScore = lowest - UNKNOWN_PENALTY;
    this.#byteIds = Array.from({ length: 256 }, (_, byte) => byPiece.get(tokenOfByte(byte)));
  }

  encode(word: string, sink: TokenSink): void {
    const { origin, ids } = this.#bestPath(word);
    const ends: number[] = [];
    for (let at = word.length; at > 0; at = origin[at]!) ends.push(at);
    let previousUnknown = false;
    for (let i = ends.length - 1; i >= 0; i--) {
      const end = ends[i]!;
      const start = origin[end]!;
      const unknown = ids[end] === -1;
      if (!unknown) emit(sink, ids[end]!, start, end);
      else if (this.#options.byteFallback) this.#emitBytes(sink, word.slice(start, end), start, end);
      else if (!previousUnknown) emit(sink, this.#options.unk, start, end);
      else if (sink.spans !== undefined) sink.spans[sink.spans.length - 1] = end;
      previousUnknown = unknown;
    }
  }

  /** For every place in the word, where the best last piece before it begins and which it is. */
  #bestPath(word: string): { origin: Int32Array; ids: Int32Array } {
    const origin = new Int32Array(word.length + 1);
    const ids = new Int32Array(word.length + 1).fill(-1);
    const best = new Float64Array(word.length + 1).fill(Number.NEGATIVE_INFINITY);
    best[0] = 0;
    for (let start = 0; start < word.length; ) {
      const width = (word.codePointAt(start) as number) > 0xffff ? 2 : 1;
      let single = false;
      let node: Node | undefined = this.#root;
      for (let end = start; end < word.length; ) {
        const code = word.codePointAt(end) as number;
        node = node.children.get(code);
        if (node === undefined) break;
        end += code > 0xffff ? 2 : 1;
        if (node.id === -1) continue;
        if (end === start + width) single = true;
        const score = best[start]! + this.#scores[node.id]!;
        if (score > best[end]!) {
          best[end] = score;
          origin[end] = start;
          ids[end] = node.id;
        }
      }
      const end = start + width;
      if (!single && best[start]! + this.#unknownScore > best[end]!) {
        best[end] = best[start]! + this.#unknownScore;
        origin[end] = start;
        ids[end] = -1;
      }
      start = end;
    }
    return { origin, ids };
  }

  #emitBytes(sink: TokenSink, text: string, start: number, end: number): void {
    for (const byte of encoder.encode(text)) emit(sink, this.#byteIds[byte] ?? this.#options.unk, start, end);
  }

  #insert(piece: string, id: number): void {
    let node = this.#root;
    for (const char of piece) {
      const code = char.codePointAt(0) as number;
      let child = node.children.get(code);
      if (child === undefined) {
        child = { id: -1, children: new Map() };
        node.children.set(code, child);
      }
      node = child;
    }
    if (piece.length > 0) node.id = id;
  }
}

const encoder = new TextEncoder();

function emit(sink: TokenSink, id: number, start: number, end: number): void {
  sink.ids.push(id);
  sink.spans?.push(start, end);
}
