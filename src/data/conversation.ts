/** Strings and messages, as each other. */

import type { ChatMessage } from '../text/index.ts';
import type { Content } from './records.ts';

/** A prompt as messages: a string is what the user says. */
export function promptMessages(prompt: Content): readonly ChatMessage[] {
  return typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt;
}

/** An answer as messages: a string is what the assistant says. */
export function answerMessages(completion: Content): readonly ChatMessage[] {
  return typeof completion === 'string' ? [{ role: 'assistant', content: completion }] : completion;
}

/**
 * What tells prompts apart: two prompts with the same key ask the same. White space does not count, and a string is the same
 * as that string said by the user.
 */
export function promptKey(prompt: Content): string {
  const tidy = (text: string) => text.normalize('NFC').replace(/\s+/g, ' ').trim();
  return JSON.stringify(promptMessages(prompt).map(({ role, content }) => [role, tidy(content ?? '')]));
}
