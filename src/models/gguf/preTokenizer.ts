/** llama.cpp's name for a byte-level pre-tokenizer, by its rules (llama-vocab.cpp has the rules for each name). */

import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';

/** A node of a normalizer, pre-tokenizer or post-processor. */
export interface Rule {
  readonly type?: string;
  readonly [key: string]: unknown;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const rules = (digits: string) =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/**
 * - GPT-2's own rules, which are ByteLevel's: `gpt-2` (also Pythia, OLMo).
 * - the same after splitting every digit off: `smollm`.
 * - Llama 3's, up to three digits together: `llama-bpe`, which looks whole words up first (`ignore_merges`), else `dbrx`.
 * - Qwen's, single digits: `qwen2`.
 *
 * @throws NudgeError BAD_ARGUMENT for any other.
 */
export function preTokenizer(pre: Rule | null | undefined, model: { readonly ignore_merges?: unknown }): string {
  const found = flatten(pre);
  const last = found.at(-1);
  const before = found.slice(0, -1);
  if (last?.type === 'ByteLevel') {
    const [first] = before;
    if (last.use_regex !== false) {
      if (before.length === 0) return 'gpt-2';
      if (before.length === 1 && first?.type === 'Digits' && first.individual_digits === true) return 'smollm';
    } else if (
      before.length === 1 &&
      first?.type === 'Split' &&
      first.behavior === 'Isolated' &&
      first.invert !== true
    ) {
      const regex = (first.pattern as { Regex?: string } | undefined)?.Regex;
      if (regex === rules('\\p{N}{1,3}')) return model.ignore_merges === true ? 'llama-bpe' : 'dbrx';
      if (regex === rules('\\p{N}')) return 'qwen2';
    }
  }
  throw new NudgeError('BAD_ARGUMENT', 'This pre-tokenizer is not known to llama.cpp by any name we know.', {
    path: 'tokenizer.json, pre_tokenizer',
    expected: 'the rules of GPT-2, SmolLM, Llama 3 or Qwen 2',
    received: quote(JSON.stringify(pre ?? null)),
    remedy:
      "Pass llama.cpp's name for it as `pre`, or take the tokenizer's metadata from a GGUF file of the same model.",
  });
}

/** A rule and those inside it. */
export function flatten(rule: Rule | null | undefined): Rule[] {
  if (rule === null || rule === undefined) return [];
  const inner = rule.normalizers ?? rule.pretokenizers ?? rule.processors;
  return Array.isArray(inner) ? inner.flatMap((each) => flatten(each as Rule)) : [rule];
}
