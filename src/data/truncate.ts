/** What is done with sequences that are longer than a model, or the memory, takes. */

import * as z from 'zod';
import { NudgeError } from '../errors.ts';
import type { Tokenizer } from '../text/index.ts';
import type { Content } from './records.ts';

/** Lengths in tokens. Names follow TRL's. */
export const LengthConfig = z.strictObject({
  maxLength: z
    .int()
    .min(2)
    .optional()
    .describe('Longest prompt and completion together, in tokens. Default: no limit.'),
  maxPromptLength: z
    .int()
    .min(1)
    .optional()
    .describe(
      'Longest prompt, in tokens; of a longer one the end is kept. Default: half of maxLength where both do not fit.',
    ),
  maxCompletionLength: z.int().min(1).optional().describe('Longest completion, in tokens, the end of text included.'),
  longCompletions: z
    .enum(['drop', 'cut'])
    .default('drop')
    .describe(
      'What to do with completions that are too long: drop them, or cut their end off. A cut one has no end of text, so ' +
        'that a model does not learn to stop in the middle.',
    ),
});

export type LengthOptions = z.input<typeof LengthConfig>;

/** How many rows were shortened. */
export interface TruncationReport {
  /** Rows that came in. */
  rows: number;
  truncatedPrompts: number;
  /** Completions that were cut; of a ranking, each counts. */
  truncatedCompletions: number;
  /** Completions of rankings that were left out as too long, while the others stayed. */
  droppedCompletions: number;
  /** Rows that were left out, since a prompt or a completion that they need is too long. */
  dropped: number;
}

/** How long a completion may be beside this prompt: the prompt can be cut down to half of `maxLength`, not further. */
export function completionRoom(promptLength: number, options: LengthOptions): number {
  const { maxLength = Infinity, maxPromptLength = Infinity, maxCompletionLength = Infinity } = options;
  return Math.min(maxCompletionLength, maxLength - Math.min(promptLength, maxPromptLength, Math.floor(maxLength / 2)));
}

/** How long the prompt may be beside completions of at most this length. */
export function promptRoom(longestCompletion: number, options: LengthOptions): number {
  const { maxLength = Infinity, maxPromptLength = Infinity } = options;
  return Math.min(maxPromptLength, maxLength - longestCompletion);
}

/**
 * The end of a prompt that is at most `room` tokens long as `measure` counts them, or null where even its last word is too
 * long. A conversation loses its oldest turns first and keeps its system message; so it still begins with a user's turn.
 */
export function shortenPrompt(
  tokenizer: Tokenizer,
  prompt: Content,
  room: number,
  measure: (prompt: Content) => number,
): Content | null {
  if (typeof prompt === 'string') return shortenText(tokenizer, prompt, room, (text) => text, measure);
  const system = prompt.filter(({ role }, i) => i === 0 && (role === 'system' || role === 'developer'));
  const turns = prompt.slice(system.length);
  for (let start = 1; start < turns.length; start++) {
    if (turns[start]?.role !== 'user') continue;
    const kept = [...system, ...turns.slice(start)];
    if (measure(kept) <= room) return kept;
  }
  const last = turns.findLastIndex(({ role }) => role === 'user');
  const message = turns[last];
  if (message === undefined) return null;
  const rest = turns.slice(last + 1);
  const within = (content: string) => [...system, { ...message, content }, ...rest];
  return shortenText(tokenizer, message.content ?? '', room, within, measure);
}

/** Cuts whole tokens off a text's beginning until the prompt that holds it fits. */
function shortenText(
  tokenizer: Tokenizer,
  text: string,
  room: number,
  within: (text: string) => Content,
  measure: (prompt: Content) => number,
): Content | null {
  const starts = tokenizer.encodeWithOffsets(text, { addSpecialTokens: false }).offsets.map(([start]) => start);
  let cut = measure(within(text)) - room;
  // The rest is encoded anew and may come out a token longer than it was inside the whole: then one more is cut.
  while (cut < starts.length) {
    const rest = text.slice(starts[cut]).trimStart();
    if (rest === '') return null;
    const excess = measure(within(rest)) - room;
    if (excess <= 0) return within(rest);
    cut += excess;
  }
  return null;
}

/** @throws NudgeError BAD_ARGUMENT where one part alone takes all the room. */
export function checkLengths(options: LengthOptions): void {
  const { maxLength = Infinity, maxPromptLength = 0, maxCompletionLength = 0 } = options;
  const [path, length, other] =
    maxPromptLength > maxCompletionLength
      ? ['maxPromptLength', maxPromptLength, 'completion']
      : ['maxCompletionLength', maxCompletionLength, 'prompt'];
  if (length < maxLength) return;
  throw new NudgeError('BAD_ARGUMENT', `This length leaves no room for a ${other}.`, {
    path: String(path),
    expected: `less than maxLength, ${maxLength}`,
    received: String(length),
    remedy: `Raise maxLength, which counts prompt and completion together, or lower ${path}.`,
  });
}

/** The report in one line: `2,312 rows: 14 prompts shortened to the end, 3 rows dropped as too long`. */
export function describeTruncation(report: TruncationReport): string {
  const count = (n: number, what: string) => `${n.toLocaleString('en-US')} ${what}${n === 1 ? '' : 's'}`;
  const { rows, truncatedPrompts, truncatedCompletions, droppedCompletions, dropped } = report;
  const parts = [
    truncatedPrompts > 0 ? `${count(truncatedPrompts, 'prompt')} shortened to the end` : '',
    truncatedCompletions > 0 ? `${count(truncatedCompletions, 'completion')} cut` : '',
    droppedCompletions > 0 ? `${count(droppedCompletions, 'completion')} dropped as too long` : '',
    dropped > 0 ? `${count(dropped, 'row')} dropped as too long` : '',
  ].filter((part) => part !== '');
  return `${count(rows, 'row')}: ${parts.length === 0 ? 'all fit' : parts.join(', ')}`;
}
