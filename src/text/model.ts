/** What turns a word into tokens. `bpe.ts` and `unigram.ts` implement it. */

export interface TokenSink {
  ids: number[];
  /** Where each token stands in the word, as start and end in UTF-16 units, two entries a token; only when wanted. */
  spans?: number[];
}

export interface TokenModel {
  /** Appends the tokens of one word. */
  encode(word: string, sink: TokenSink): void;
}
