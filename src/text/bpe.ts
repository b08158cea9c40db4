/** Byte-pair encoding over bytes (GPT-2, Llama 3, Qwen) or over characters with byte fallback (SentencePiece, Llama 2). */

import { CHAR_TO_BYTE, spellBytes, tokenOfByte } from './bytes.ts';
import { mergePairs, type PairTable, type Symbols } from './merges.ts';
import type { TokenModel, TokenSink } from './model.ts';

export interface BpeOptions {
  vocab: ReadonlyMap<string, number>;
  pairs: PairTable;
  /** Whether tokens are spelled in GPT-2's alphabet of bytes. */
  byteLevel: boolean;
  /** Whether a character that is no token becomes its UTF-8 bytes, as tokens `<0x00>` to `<0xFF>`. */
  byteFallback: boolean;
  /** Whether a word that is a token is taken whole, even where merging would not arrive at it. */
  ignoreMerges: boolean;
  /** The id of what no token covers; without one it is dropped. */
  unk?: number | undefined;
  /** Whether neighbours that no token covers share one unknown token. */
  fuseUnk: boolean;
}

const META = '▁';
const UNKNOWN = -1;
const CACHED_LENGTH = 64;
const CACHED_WORDS = 50_000;

export class Bpe implements TokenModel {
  readonly #options: BpeOptions;
  readonly #byteIds: Int32Array;
  readonly #charIds = new Map<number, number>();
  readonly #splitsAtMeta: boolean;
  readonly #cache = new Map<string, readonly number[]>();
  readonly #word: Symbols = { ids: new Int32Array(256), widths: new Int32Array(256), length: 0 };
  #bytes = new Uint8Array(1024);
  /** Where the characters of the word's symbols begin and end; filled when spans are wanted. */
  #starts = new Int32Array(0);
  #ends = new Int32Array(0);

  constructor(options: BpeOptions) {
    this.#options = options;
    this.#byteIds = Int32Array.from({ length: 256 }, (_, byte) => this.#idOfByte(byte));
    if (!options.byteLevel) {
      for (const [token, id] of options.vocab) {
        const code = token.codePointAt(0) ?? 0;
        if (token.length > 0 && token.length === (code > 0xffff ? 2 : 1)) this.#charIds.set(code, id);
      }
    }
    this.#splitsAtMeta = this.#canSplitAtMeta();
  }

  encode(word: string, sink: TokenSink): void {
    if (!this.#splitsAtMeta || word.length <= 16) {
      this.#encodePart(word, 0, sink);
      return;
    }
    let start = 0;
    while (start < word.length) {
      let end = start;
      while (end < word.length && word[end] === META) end++;
      end = word.indexOf(META, end);
      if (end === -1) end = word.length;
      this.#encodePart(word.slice(start, end), start, sink);
      start = end;
    }
  }

  #encodePart(part: string, at: number, sink: TokenSink): void {
    if (sink.spans !== undefined) {
      this.#encodeWithSpans(part, at, sink.ids, sink.spans);
      return;
    }
    let ids = this.#cache.get(part);
    if (ids === undefined) {
      ids = this.#tokensOf(part);
      if (part.length <= CACHED_LENGTH) {
        if (this.#cache.size >= CACHED_WORDS) this.#cache.clear();
        this.#cache.set(part, ids);
      }
    }
    for (let i = 0; i < ids.length; i++) sink.ids.push(ids[i]!);
  }

  #tokensOf(part: string): number[] {
    const whole = this.#wholeWord(part);
    if (whole !== undefined) return [whole];
    const word = this.#word;
    this.#readSymbols(part, false);
    mergePairs(word, this.#options.pairs);
    return Array.from(word.ids.subarray(0, word.length));
  }

  #encodeWithSpans(part: string, at: number, ids: number[], spans: number[]): void {
    const whole = this.#wholeWord(part);
    if (whole !== undefined) {
      ids.push(whole);
      spans.push(at, at + part.length);
      return;
    }
    const word = this.#word;
    this.#readSymbols(part, true);
    mergePairs(word, this.#options.pairs);
    let symbol = 0;
    for (let i = 0; i < word.length; i++) {
      ids.push(word.ids[i]!);
      const last = symbol + word.widths[i]! - 1;
      spans.push(at + this.#starts[symbol]!, at + this.#ends[last]!);
      symbol = last + 1;
    }
  }

  #wholeWord(part: string): number | undefined {
    const { ignoreMerges, byteLevel, vocab } = this.#options;
    if (!ignoreMerges) return undefined;
    return vocab.get(byteLevel ? spellBytes(this.#utf8(part)) : part);
  }

  /** Fills `#word` with the ids of the part's bytes or characters. */
  #readSymbols(part: string, withSpans: boolean): void {
    const word = this.#word;
    if (word.ids.length < part.length * 3) {
      word.ids = new Int32Array(part.length * 3);
      word.widths = new Int32Array(part.length * 3);
    }
    if (withSpans && this.#starts.length < part.length * 3) {
      this.#starts = new Int32Array(part.length * 3);
      this.#ends = new Int32Array(part.length * 3);
    }
    word.length = 0;
    if (this.#options.byteLevel && !withSpans) {
      const bytes = this.#utf8(part);
      for (let i = 0; i < bytes.length; i++) this.#addSymbol(this.#byteIds[bytes[i]!]!, 0, 0, false);
      return;
    }
    for (let i = 0; i < part.length; ) {
      const code = part.codePointAt(i) as number;
      const end = i + (code > 0xffff ? 2 : 1);
      const id = this.#options.byteLevel ? undefined : this.#charIds.get(code);
      if (id !== undefined) this.#addSymbol(id, i, end, withSpans);
      else if (this.#options.byteLevel || this.#options.byteFallback) this.#addBytes(part, i, end, withSpans);
      else this.#addSymbol(UNKNOWN, i, end, withSpans);
      i = end;
    }
  }

  #addBytes(part: string, start: number, end: number, withSpans: boolean): void {
    const bytes = this.#utf8(part.slice(start, end));
    if (!this.#options.byteLevel && bytes.some((byte) => this.#byteIds[byte] === UNKNOWN)) {
      this.#addSymbol(UNKNOWN, start, end, withSpans);
      return;
    }
    for (const byte of bytes) this.#addSymbol(this.#byteIds[byte]!, start, end, withSpans);
  }

  #addSymbol(id: number, start: number, end: number, withSpans: boolean): void {
    const { unk, fuseUnk } = this.#options;
    const word = this.#word;
    if (id === UNKNOWN && unk === undefined) return;
    const last = word.length - 1;
    if (id === UNKNOWN && fuseUnk && last >= 0 && word.ids[last] === unk) {
      if (withSpans) this.#ends[last] = end;
      return;
    }
    word.ids[word.length] = id === UNKNOWN ? unk! : id;
    word.widths[word.length] = 1;
    if (withSpans) {
      this.#starts[word.length] = start;
      this.#ends[word.length] = end;
    }
    word.length++;
  }

  /** A lone surrogate becomes U+FFFD here: UTF-8 has no other way to write it. */
  #utf8(text: string): Uint8Array {
    if (this.#bytes.length < text.length * 3) this.#bytes = new Uint8Array(text.length * 3);
    return this.#bytes.subarray(0, encoder.encodeInto(text, this.#bytes).written);
  }

  #idOfByte(byte: number): number {
    const { vocab, byteLevel, byteFallback } = this.#options;
    if (byteLevel) return vocab.get(spellBytes(Uint8Array.of(byte))) ?? UNKNOWN;
    return byteFallback ? (vocab.get(tokenOfByte(byte)) ?? UNKNOWN) : UNKNOWN;
  }

  /**
   * SentencePiece encodes a text as one word. Where no merge crosses from a letter to `▁`, its words can be encoded
   * apart, with the same result, and remembered.
   */
  #canSplitAtMeta(): boolean {
    const { byteLevel, ignoreMerges, vocab, pairs } = this.#options;
    if (byteLevel || ignoreMerges || !vocab.has(META)) return false;
    const opens = new Set<number>();
    const closes = new Set<number>();
    for (const [token, id] of vocab) {
      if (token.startsWith(META)) opens.add(id);
      if (token.endsWith(META)) closes.add(id);
    }
    for (const [left, right] of pairs.pairs()) if (opens.has(right) && !closes.has(left)) return false;
    return true;
  }
}

const encoder = new TextEncoder();

/** Whether every character of a vocabulary's tokens stands for a byte: how byte-level vocabularies are told apart. */
export function isSpelledInBytes(token: string): boolean {
  for (let i = 0; i < token.length; i++) if ((CHAR_TO_BYTE[token.charCodeAt(i)] ?? -1) < 0) return false;
  return true;
}
