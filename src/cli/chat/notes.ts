/** What the chat says beside the answers. */
import type { ChatSession, Reply } from './session.ts';

export function droppedNote({ contextTokens }: ChatSession, count: number): string {
  const messages = count === 1 ? 'The oldest message' : `The ${count} oldest messages`;
  return `(${messages} no longer fit${count === 1 ? 's' : ''} into ${contextTokens} tokens: the model does not see them any more.)`;
}

/** Why an answer ended, where that is not its own end. */
export function endNote(session: ChatSession, { finishReason, promptTokens, tokens }: Reply): string | null {
  if (finishReason !== 'length') return null;
  if (promptTokens + tokens >= session.contextTokens)
    return `(The ${session.contextTokens} tokens of the context are full.)`;
  return `(Cut at ${tokens} tokens; --max-tokens, or /params max-tokens, allows more.)`;
}

/** Where the model has no chat template: what will happen, and what can be done. */
export const BASE_MODEL_NOTE =
  'This model has no chat template: it was not taught to answer, and goes on with your text instead.';

/** Without the characters that steer a terminal, which a model must not. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (control) => (control === '\n' || control === '\t' ? control : ''));
}
