/** Which token pads, where a model's files name none or one that ends texts too. */
import type { Tokenizer } from '../text/index.ts';

/** Tokens that are there for nothing else, then those set aside, then the unknown token. */
const CANDIDATES: readonly RegExp[] = [
  /^[<[].*pad.*[>\]]$/i,
  /^<\|endoftext\|>$/,
  /^[<[].*(reserved|unused|extra).*[>\]]$/i,
  /^[<[]unk[>\]]$/i,
];

/**
 * A token that can pad without harm: not the end of text that training teaches, and not the beginning.
 *
 * @returns undefined where the vocabulary offers none, or the files name one that will do.
 */
export function choosePad(tokenizer: Tokenizer): string | undefined {
  const { special, eosId, bosId, addedTokens } = tokenizer;
  if (special.pad !== undefined && tokenizer.tokenToId(special.pad) !== eosId) return undefined;
  const free = addedTokens.filter(({ id }) => id !== eosId && id !== bosId).map(({ content }) => content);
  for (const candidate of CANDIDATES) {
    const found = free.find((content) => candidate.test(content));
    if (found !== undefined) return found;
  }
  return undefined;
}
