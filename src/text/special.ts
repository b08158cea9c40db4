/** Which tokens play a part: beginning, end, unknown, padding. Read from the files beside tokenizer.json. */

import { NudgeError } from '../errors.ts';
import type { Json } from './json.ts';

/** The contents of the special tokens, as the files name them. */
export interface SpecialTokens {
  bos?: string;
  eos?: string;
  unk?: string;
  pad?: string;
}

/**
 * Which token pads: its content or its id. A token that also ends texts has to be asked for in so many words, since a
 * loss that leaves padding out then leaves out every end, and the model never learns to stop.
 */
export type PadChoice = string | number | { token: string | number; mayEndText: true };

const NAMES = ['bos', 'eos', 'unk', 'pad'] as const;

/** tokenizer_config.json first, then special_tokens_map.json. A token is a string or an object with its `content`. */
export function readSpecialTokens(...files: readonly (Json | undefined)[]): SpecialTokens {
  const found: SpecialTokens = {};
  for (const name of NAMES) {
    for (const file of files) {
      if (file === undefined) continue;
      const field = file.get(`${name}_token`);
      if (field.isMissing) continue;
      found[name] ??= typeof field.value === 'string' ? field.value : field.get('content').string();
    }
  }
  return found;
}

/** generation_config.json's or config.json's ends of text: one id or several. */
export function readEndIds(json: Json | undefined): number[] {
  const field = json?.get('eos_token_id');
  if (field === undefined || field.isMissing) return [];
  return Array.isArray(field.value) ? field.items().map((id) => id.index()) : [field.index()];
}

interface PadSubject {
  choice: PadChoice | undefined;
  declared: number | undefined;
  ends: readonly number[];
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  candidates(): string[];
  /** What the tokenizer was read from. */
  source: string;
}

/** The padding token's id, or an error that says what to choose from. */
export function resolvePad(subject: PadSubject): number {
  const { choice, declared, ends, source } = subject;
  const asked = typeof choice === 'object' ? choice.token : choice;
  const id = typeof asked === 'string' ? subject.idOf(asked) : (asked ?? declared);
  const remedy = `Choose one when you load: { pad: '<token>' }. This vocabulary offers ${subject.candidates().join(', ') || 'none by name'}.`;
  if (id === undefined) {
    const received = asked === undefined ? 'no pad_token' : `${JSON.stringify(asked)}, which is no token`;
    throw new NudgeError('BAD_ARGUMENT', 'This tokenizer has no padding token.', { path: source, received, remedy });
  }
  const token = subject.tokenOf(id);
  if (token === undefined) {
    throw new NudgeError('BAD_ARGUMENT', 'The padding token is not in the vocabulary.', {
      path: source,
      received: `id ${id}`,
      remedy,
    });
  }
  if (ends.includes(id) && typeof choice !== 'object') {
    throw new NudgeError('BAD_ARGUMENT', `The padding token ${JSON.stringify(token)} also ends texts.`, {
      path: source,
      expected: 'a padding token of its own: a loss that leaves padding out would leave out every end of text',
      received: `pad = ${id}, ends = ${ends.join(', ')}`,
      remedy: `${remedy} Where every loss has a mask of its own, { pad: { token: ${JSON.stringify(token)}, mayEndText: true } } says so.`,
    });
  }
  return id;
}
