/** Merges from scores: SentencePiece's BPE knows pieces and their scores, and merges whatever makes the best piece. */

export interface ScoredMerges {
  /** Pairs, best first, as tokenizer.json lists them. */
  merges: [left: string, right: string][];
  /** For each pair the rank of the piece that it makes; pairs that make equally good pieces share it. */
  ranks: Int32Array;
}

/**
 * @param pieces the pieces that merging may make and start from
 * @param scoreOf higher is better
 */
export function mergesFromScores(pieces: readonly string[], scoreOf: (piece: string) => number): ScoredMerges {
  const known = new Set(pieces);
  const found: { left: string; right: string; score: number }[] = [];
  for (const piece of pieces) {
    for (let cut = 1; cut < piece.length; cut++) {
      if (isLowSurrogate(piece.charCodeAt(cut))) continue;
      const left = piece.slice(0, cut);
      const right = piece.slice(cut);
      if (known.has(left) && known.has(right)) found.push({ left, right, score: scoreOf(piece) });
    }
  }
  found.sort((a, b) => b.score - a.score); // stable: pieces of one score stay in the vocabulary's order
  const ranks = new Int32Array(found.length);
  for (let i = 1; i < found.length; i++) ranks[i] = found[i]!.score === found[i - 1]!.score ? ranks[i - 1]! : i;
  return { merges: found.map(({ left, right }) => [left, right]), ranks };
}

function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff;
}
