/** GPT-2's own files: vocab.json and merges.txt. */

import { Json } from '../json.ts';
import { addedToken, byteLevelJson } from './made.ts';
import { preTokenizerKind } from './patterns.ts';

export function definitionFromGpt2Files(
  vocabText: string,
  mergesText: string,
  folder: string,
): Record<string, unknown> {
  const vocab = Json.parse(vocabText, `${folder}/vocab.json`).object() as Record<string, number>;
  const merges = mergesText
    .split(/\r?\n/)
    .filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version')));
  // Where a vocabulary was cut down, the merges that it can no longer make go too.
  const makes = (merge: string): boolean =>
    [...merge.split(' '), merge.replace(' ', '')].every((part) => Object.hasOwn(vocab, part));
  const end = vocab['<|endoftext|>'];
  const added = end === undefined ? [] : [addedToken(end, '<|endoftext|>', true)];
  return byteLevelJson({ vocab, merges: merges.filter(makes) }, added, preTokenizerKind('gpt-2')!.patterns);
}
