/**
 * The prompt of a preference that states none: what both answers begin with. TRL cuts it out letter by letter
 * (`extract_prompt`), so that "is black" and "is blue" share the prompt "is bl"; here it ends where a turn or a word ends.
 */

import type { ChatMessage } from '../text/index.ts';
import type { Content, Fault } from './records.ts';

export interface Split {
  prompt: Content;
  chosen: Content;
  rejected: Content;
}

/** Splits two whole texts into what they share and their ends, or says why they cannot be split. */
export function splitPrompt(chosen: Content, rejected: Content): Split | Fault {
  if (typeof chosen === 'string' && typeof rejected === 'string') return splitStrings(chosen, rejected);
  if (typeof chosen !== 'string' && typeof rejected !== 'string') return splitMessages(chosen, rejected);
  return { field: 'rejected', reason: 'is of another kind than chosen: both are strings, or both are messages' };
}

function splitMessages(chosen: readonly ChatMessage[], rejected: readonly ChatMessage[]): Split | Fault {
  let shared = 0;
  const most = Math.min(chosen.length, rejected.length);
  while (shared < most && isSame(chosen[shared], rejected[shared])) shared++;
  const next = [chosen[shared], rejected[shared]];
  if (next[0] === undefined && next[1] === undefined) return { field: 'rejected', reason: 'is the same as chosen' };
  if (next[0] === undefined)
    return { field: 'rejected', reason: 'goes on from the end of chosen: nothing is left to compare' };
  if (next[1] === undefined)
    return { field: 'chosen', reason: 'goes on from the end of rejected: nothing is left to compare' };
  if (shared === 0)
    return { field: 'prompt', reason: 'is missing, and chosen and rejected have no beginning in common' };
  if (next.some((message) => message?.role !== 'assistant')) {
    return {
      field: `rejected[${shared}]`,
      reason: 'answers another question than chosen: they part before the answer',
    };
  }
  return { prompt: chosen.slice(0, shared), chosen: chosen.slice(shared), rejected: rejected.slice(shared) };
}

function isSame(a: ChatMessage | undefined, b: ChatMessage | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function splitStrings(chosen: string, rejected: string): Split | Fault {
  if (chosen === rejected) return { field: 'rejected', reason: 'is the same as chosen' };
  let shared = 0;
  while (shared < chosen.length && chosen[shared] === rejected[shared]) shared++;
  // Back to where a word ends in both: the prompt ends before the white space, which belongs to the answers.
  while (shared > 0 && !(isEnd(chosen, shared) && isEnd(rejected, shared))) shared--;
  while (shared > 0 && /\s/.test(chosen[shared - 1] as string)) shared--;
  const prompt = chosen.slice(0, shared);
  if (prompt === '')
    return { field: 'prompt', reason: 'is missing, and chosen and rejected have no beginning in common' };
  return { prompt, chosen: chosen.slice(shared), rejected: rejected.slice(shared) };
}

/** Whether no word goes on at this place. */
function isEnd(text: string, at: number): boolean {
  return at === text.length || /\s/.test(text[at] as string);
}
