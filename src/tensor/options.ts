/** Options of what is written by hand; operators check theirs against their schemas. */

import { NudgeError } from '../errors.ts';
import { atCaller } from './caller.ts';

const bare = (name: string): string => name.toLowerCase().replaceAll('_', '');

/** The one of `known` that a misspelt name means: `keepDim` and `keep_dim` are `keepdim`. */
export function nearest(known: Iterable<string>, name: string): string | undefined {
  for (const candidate of known) if (bare(candidate) === bare(name)) return candidate;
  return undefined;
}

/** Throws for an option that `where` does not have: one that is ignored is worse than one that is refused. */
export function checkOptions(options: object, known: readonly string[], where: string): void {
  if (typeof options !== 'object' || options === null) {
    throw atCaller(
      new NudgeError('BAD_ARGUMENT', `the options of ${where} are an object`, { received: String(options) }),
    );
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const meant = nearest(known, key);
    throw atCaller(
      new NudgeError('BAD_ARGUMENT', `${where} has no option '${key}'`, {
        expected: known.join(', '),
        ...(meant !== undefined && { remedy: `Write '${meant}'.` }),
      }),
    );
  }
}
