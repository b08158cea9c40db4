/** tiktoken's files: a token's bytes in base64 and its rank on every line. A merge ranks as the token that it makes. */

import { NudgeError } from '../../errors.ts';
import { spellBytes } from '../bytes.ts';
import { addedToken, byteLevelJson, type MadeFiles } from './made.ts';
import { LLAMA3 } from './patterns.ts';
import { mergesFromScores } from './scores.ts';

export interface TiktokenOptions {
  /** Where words are cut. Default: Llama 3's expression. */
  pattern?: string;
  /** Special tokens and their ids. Default: none. */
  specialTokens?: Readonly<Record<string, number>>;
}

export function definitionFromTiktoken(text: string, path: string, options: TiktokenOptions = {}): MadeFiles {
  const ranks = new Map<string, number>();
  text.split(/\r?\n/).forEach((line, i) => {
    if (line === '') return;
    const match = /^([A-Za-z0-9+/]+={0,2}) (\d+)$/.exec(line);
    if (match === null) {
      throw new NudgeError('BAD_FILE', 'A line of this tiktoken file cannot be read.', {
        path: `${path}: line ${i + 1}`,
        expected: 'base64, a space and a number',
        received: line.slice(0, 80),
      });
    }
    ranks.set(spellBytes(Buffer.from(match[1]!, 'base64')), Number(match[2]));
  });
  const { merges, ranks: mergeRanks } = mergesFromScores([...ranks.keys()], (token) => -ranks.get(token)!);
  const added = Object.entries(options.specialTokens ?? {}).map(([token, id]) => addedToken(id, token, true));
  const model = { vocab: Object.fromEntries(ranks), merges, ignoreMerges: true };
  return {
    tokenizerJson: byteLevelJson(model, added, [options.pattern ?? LLAMA3]),
    tokenizerConfig: {},
    readOptions: { mergeRanks },
  };
}
