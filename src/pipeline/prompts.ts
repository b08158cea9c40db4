/** The prompts of a run: those it learns from, and those it is judged by. */
import { type Content, promptMessages } from '../data/index.ts';
import { NudgeError } from '../errors.ts';
import type { Tokenizer } from '../text/index.ts';
import type { RunConfig } from './config.ts';
import { hashOf } from './hash.ts';
import { readRows } from './rows.ts';
import type { StageContext } from './stage.ts';

export interface RunPrompts {
  readonly training: readonly Content[];
  readonly evaluation: readonly Content[];
}

/**
 * Reads the prompts and splits them. Which side a prompt is on follows from its text and the run's seed, so that adding prompts
 * moves none across; equal prompts count once.
 *
 * @throws NudgeError BAD_FILE where the file is not of prompts, or holds too few.
 */
export async function readPrompts(context: Pick<StageContext, 'run' | 'directory' | 'report'>): Promise<RunPrompts> {
  const { prompts, seed } = context.run;
  const { records } = await readRows(prompts.file, prompts, context, 'prompt-only');
  const byHash = new Map(records.map(({ prompt }) => [hashOf([seed, prompt]), prompt]));
  const order = [...byHash].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, prompt]) => prompt);
  if (order.length < prompts.evaluation + 2) {
    throw new NudgeError('BAD_FILE', 'There are too few prompts.', {
      path: prompts.file,
      expected: `${prompts.evaluation} to judge by and at least 2 to learn from`,
      received: `${order.length} different ones`,
      remedy: 'Add prompts, or lower prompts.evaluation.',
    });
  }
  return {
    evaluation: order.slice(0, prompts.evaluation),
    training: order.slice(prompts.evaluation, prompts.evaluation + prompts.training),
  };
}

/** A prompt as the model is asked: messages where it has a chat template, the text as it stands where not. */
export function asAsked(prompt: Content, tokenizer: Tokenizer, { prompts }: RunConfig): Content {
  if (typeof prompt === 'string' && tokenizer.chatTemplate === undefined) return prompt;
  const messages = promptMessages(prompt);
  if (prompts.system === undefined || messages[0]?.role === 'system') return messages;
  return [{ role: 'system', content: prompts.system }, ...messages];
}

/** A prompt for people to read. */
export function shownPrompt(prompt: Content): string {
  if (typeof prompt === 'string') return prompt;
  const said = prompt.filter(({ role }) => role !== 'system');
  if (said.length === 1) return String(said[0]!.content ?? '');
  return said.map(({ role, content }) => `${role}: ${content ?? ''}`).join('\n\n');
}
