/**
 * Where the assistant speaks, for a template that does not mark it: what a turn adds to the text of the turns before it.
 *
 * For every assistant's turn the template is run on the messages before it, with the generation prompt, and on the
 * messages up to it. The first is what a model sees when it is asked, so its end is where the answer begins.
 */

import { NudgeError } from '../../errors.ts';
import type { Span } from './template.ts';

export interface Turns {
  text: string;
  messages: readonly { role: string; content?: string | null | undefined }[];
  /** The template on the first `count` messages. */
  render(count: number, addGenerationPrompt: boolean): string;
  /** Texts that end an answer: `<|im_end|>`, `</s>`. */
  ends: readonly string[];
  source: string;
}

export function findAssistantSpans(turns: Turns): Span[] {
  const spans: Span[] = [];
  turns.messages.forEach((message, i) => {
    if (message.role !== 'assistant') return;
    const span = { start: answerStart(turns, i), end: answerEnd(turns, i) };
    const said = turns.text.slice(span.start, span.end);
    const content = message.content?.trim() ?? '';
    if (span.end < span.start || !said.includes(content)) lost(turns, i, 'the place found does not hold what was said');
    spans.push(span);
  });
  return spans;
}

function answerStart(turns: Turns, i: number): number {
  const asked = renderPrefix(turns, i, true);
  if (turns.text.startsWith(asked)) return asked.length;
  // Some templates prompt with more than they keep, such as an empty thought: begin where the two part.
  const before = renderPrefix(turns, i, false);
  const shared = sharedPrefix(turns.text, asked);
  if (!turns.text.startsWith(before) || shared <= before.length) {
    lost(turns, i, 'the text before the turn changes once the turn is there');
  }
  return shared;
}

function answerEnd(turns: Turns, i: number): number {
  const upTo = i + 1 === turns.messages.length ? turns.text : renderPrefix(turns, i + 1, false);
  if (!turns.text.startsWith(upTo)) lost(turns, i, 'the turn changes once later turns follow');
  // What comes after the end of an answer, mostly a line break, is the template's and not the assistant's.
  const start = answerStart(turns, i);
  let end = -1;
  for (const token of turns.ends) {
    const at = upTo.lastIndexOf(token);
    if (at >= start) end = Math.max(end, at + token.length);
  }
  return end === -1 ? upTo.length : end;
}

function renderPrefix(turns: Turns, count: number, addGenerationPrompt: boolean): string {
  if (count === 0) return '';
  try {
    return turns.render(count, addGenerationPrompt);
  } catch (cause) {
    return lost(turns, count, `the template refuses the first ${count} messages alone`, cause);
  }
}

function sharedPrefix(a: string, b: string): number {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return i;
}

function lost(turns: Turns, i: number, why: string, cause?: unknown): never {
  throw new NudgeError('BAD_ARGUMENT', "The assistant's turns cannot be found in the rendered chat.", {
    path: `${turns.source}, messages[${i}]`,
    received: why,
    remedy:
      "Put {% generation %} and {% endgeneration %} around the assistant's turns in the template, or train on the last " +
      "turn alone: { turns: 'last' }.",
    ...(cause === undefined ? {} : { cause }),
  });
}
