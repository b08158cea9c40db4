/**
 * Dialogues written as one string, as in Anthropic's hh-rlhf: "\n\nHuman: ...\n\nAssistant: ...". Read as messages, so that
 * the model's own chat template renders them.
 */

import type { ChatMessage } from '../text/index.ts';

const BEGINNING = /^\s*(?:Human|Assistant):/;
const TURN = /(?:^\s*|\n\n)(Human|Assistant):/g;
const ROLES = { Human: 'user', Assistant: 'assistant' } as const;

/** Whether a string is a dialogue of this kind: it begins with two line breaks and a speaker. */
export function isTranscript(text: string): boolean {
  return /^\n\n(?:Human|Assistant):/.test(text);
}

/**
 * The messages of a dialogue, without the space around each.
 *
 * An open turn of the assistant at the end, `"\n\nAssistant:"`, is left out with `open: 'drop'` (a prompt) and kept as an empty
 * message with 'keep' (an answer).
 *
 * @returns the messages, or why the text is no dialogue: a sentence without its subject.
 */
export function parseTranscript(text: string, open: 'drop' | 'keep'): ChatMessage[] | string {
  if (!BEGINNING.test(text)) return 'does not begin with "\\n\\nHuman:"';
  const turns = [...text.matchAll(TURN)].map((match) => ({
    role: ROLES[match[1] as keyof typeof ROLES],
    start: match.index,
    said: match.index + match[0].length,
  }));
  const messages = turns.map(({ role, said }, i) => ({ role, content: text.slice(said, turns[i + 1]?.start).trim() }));
  if (open === 'drop' && messages.at(-1)?.role === 'assistant' && messages.at(-1)?.content === '') messages.pop();
  return whyImpossible(messages) ?? messages;
}

function whyImpossible(messages: readonly { role: string; content: string }[]): string | undefined {
  const [first] = messages;
  if (first?.role !== 'user') return 'begins with "Assistant:": nobody asked';
  for (const [i, { role, content }] of messages.entries()) {
    const speaker = role === 'user' ? 'Human' : 'Assistant';
    if (role === messages[i - 1]?.role) return `has two turns of "${speaker}:" in a row (turns ${i} and ${i + 1})`;
    if (content === '' && i < messages.length - 1) return `has an empty turn of "${speaker}:" (turn ${i + 1})`;
  }
  return undefined;
}
