/** Patterns of tokenizer.json. `@huggingface/tokenizers` translates Oniguruma's syntax into JavaScript's. */

import * as library from '@huggingface/tokenizers';
import type { Json } from './json.ts';

/** A global, Unicode-aware expression for `{ "Regex": ... }` or `{ "String": ... }`. */
export function compilePattern(json: Json): RegExp {
  const { Regex: source, String: literal } = json.object() as { Regex?: unknown; String?: unknown };
  if (typeof literal === 'string') return new RegExp(escapeRegExp(literal), 'gu');
  if (typeof source !== 'string') json.fail('{ "Regex": string } or { "String": string }');
  return translatePattern(source as string, json);
}

/** The package's declarations cannot be resolved by "module": "nodenext", so what is used of it is declared here. */
const { SplitPreTokenizer } = library as unknown as {
  SplitPreTokenizer: new (config: {
    type: 'Split';
    pattern: { Regex: string };
    behavior: 'Isolated';
    invert: boolean;
  }) => { readonly pattern: RegExp | null };
};

function translatePattern(source: string, json: Json): RegExp {
  try {
    const split = new SplitPreTokenizer({
      type: 'Split',
      pattern: { Regex: source },
      behavior: 'Isolated',
      invert: false,
    });
    if (split.pattern !== null) return split.pattern;
  } catch (cause) {
    json.fail(`an expression that JavaScript can run (${(cause as Error).message})`);
  }
  return json.fail('an expression');
}

export function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}
