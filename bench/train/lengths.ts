/**
 * Lengths of real dialogues, in tokens: the first 64 of hh_harmless (Anthropic, 2204.05862; test split) through the chat template
 * and tokenizer of SmolLM2-Instruct. Committed, so that a benchmark needs neither: what the tokens are changes no time.
 */

/** What stands before the last answer, the better answer and the worse one, each with its end. */
export type PairLengths = readonly [prompt: number, chosen: number, rejected: number];

// biome-ignore format: a table
export const PAIRS: readonly PairLengths[] = [
  [228, 29, 62], [196, 61, 29], [119, 66, 88], [328, 9, 70], [42, 86, 69], [167, 47, 37], [182, 49, 19], [102, 40, 27],
  [98, 27, 12], [38, 14, 12], [44, 9, 258], [89, 29, 56], [42, 18, 52], [43, 100, 49], [86, 13, 33], [43, 97, 4],
  [75, 12, 14], [91, 20, 16], [181, 18, 9], [119, 67, 46], [86, 34, 41], [139, 18, 43], [130, 19, 24], [98, 12, 33],
  [99, 2, 6], [168, 12, 11], [48, 67, 34], [112, 34, 16], [101, 53, 49], [230, 25, 45], [153, 25, 16], [101, 14, 30],
  [64, 27, 20], [40, 30, 28], [165, 233, 61], [90, 52, 84], [203, 13, 5], [148, 22, 10], [87, 47, 10], [37, 15, 8],
  [62, 8, 40], [162, 56, 36], [321, 56, 167], [94, 85, 63], [62, 42, 39], [225, 71, 38], [278, 46, 33], [244, 4, 106],
  [128, 59, 134], [167, 40, 43], [158, 6, 114], [45, 19, 178], [200, 77, 39], [199, 28, 144], [280, 42, 9], [141, 12, 58],
  [69, 54, 50], [189, 61, 36], [134, 9, 50], [88, 57, 47], [348, 72, 49], [182, 10, 32], [188, 26, 19], [46, 13, 11],
];
