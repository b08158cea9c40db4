/** A prompt and its completion as one sequence whose prompt is what generation would see. */

import { NudgeError } from '../errors.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface PairOptions {
  /** Put what the tokenizer puts before a text before the prompt. Turn it off for rendered chats. Default: true. */
  addSpecialTokens?: boolean;
  /** End the completion with the end-of-text token. Default: false. */
  appendEos?: boolean;
}

export interface EncodedPair {
  ids: number[];
  /** How many of the ids are the prompt's: `ids.slice(0, promptLength)` is what a model is asked with. */
  promptLength: number;
  /** 1 where the token is the completion's. */
  completionMask: Uint8Array;
  /**
   * Whether the text encoded at once has other ids, since a token reaches over the boundary. Common with prompts that end
   * in a space: `"A: " + "42"` is `A`, `:`, ` 42` at once. Move the space to the completion then.
   */
  mergesAcrossBoundary: boolean;
}

/**
 * Encodes prompt and completion apart and joins the ids, so that no token is both. Encoded at once, a token could reach
 * over the boundary: the model would be trained on a prompt that it never sees when it generates.
 */
export function encodePair(
  tokenizer: Tokenizer,
  prompt: string,
  completion: string,
  options: PairOptions = {},
): EncodedPair {
  const { addSpecialTokens = true, appendEos = false } = options;
  const { prefix } = tokenizer.frame;
  const body = tokenizer.encode(prompt, { addSpecialTokens: false });
  const last = body.at(-1);
  const after = last === undefined ? 'nothing' : tokenizer.isAdded(last) ? 'token' : 'text';
  const answer = tokenizer.encode(completion, { addSpecialTokens: false, after });
  const joint = tokenizer.encode(prompt + completion, { addSpecialTokens: false });
  const apart = body.concat(answer);
  const mergesAcrossBoundary = joint.length !== apart.length || joint.some((id, i) => id !== apart[i]);
  const promptIds = addSpecialTokens ? [...prefix, ...body] : body;
  const ids = promptIds.concat(answer, appendEos ? [requireEos(tokenizer)] : []);
  const completionMask = new Uint8Array(ids.length).fill(1, promptIds.length);
  return { ids, promptLength: promptIds.length, completionMask, mergesAcrossBoundary };
}

function requireEos(tokenizer: Tokenizer): number {
  if (tokenizer.eosId !== undefined) return tokenizer.eosId;
  throw new NudgeError('BAD_ARGUMENT', 'This tokenizer has no end-of-text token to end completions with.', {
    path: tokenizer.source,
    expected: 'eos_token in tokenizer_config.json',
    remedy: 'Pass { appendEos: false } and end the completions yourself.',
  });
}
