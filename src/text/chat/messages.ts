/** Messages of a chat, checked before a template sees them: templates take what they get and say nothing. */

import { NudgeError } from '../../errors.ts';
import { brief } from '../json.ts';

export interface ChatMessage {
  /** system, user, assistant, tool, or a role that `roles` adds. */
  role: string;
  /** May be missing only where an assistant calls tools. */
  content?: string | null | undefined;
  /** What the template knows besides: `tool_calls`, `name`, `reasoning_content`. */
  [field: string]: unknown;
}

export const ROLES: readonly string[] = ['system', 'developer', 'user', 'assistant', 'tool'];

/** Refuses what is no message, with the place: `messages[2].role`. */
export function checkMessages(messages: readonly ChatMessage[], extraRoles: readonly string[] = []): void {
  if (!Array.isArray(messages) || messages.length === 0) {
    refuse('messages', 'a list of at least one message', Array.isArray(messages) ? 'an empty list' : brief(messages));
  }
  const known = [...ROLES, ...extraRoles];
  messages.forEach((message, i) => {
    const path = `messages[${i}]`;
    if (typeof message !== 'object' || message === null || Array.isArray(message)) {
      refuse(path, '{ role, content }', brief(message));
    }
    if (!known.includes(message.role)) {
      const remedy = "Correct it, or name it in { roles: ['...'] } where the template knows it.";
      refuse(`${path}.role`, `one of ${known.join(', ')}`, brief(message.role), remedy);
    }
    const { tool_calls: calls } = message;
    const callsTools = Array.isArray(calls) && calls.length > 0;
    const { content } = message;
    if (typeof content === 'string') {
      if (!content.isWellFormed())
        refuse(`${path}.content`, 'well-formed Unicode', 'a lone surrogate', 'Use toWellFormed().');
    } else if (!callsTools || (content !== undefined && content !== null)) {
      refuse(`${path}.content`, 'a string', brief(content), 'Join parts into one string; Nudge trains on text alone.');
    }
  });
}

function refuse(path: string, expected: string, received: string, remedy?: string): never {
  throw new NudgeError('BAD_ARGUMENT', 'This is not a chat that can be rendered.', {
    path,
    expected,
    received,
    ...(remedy === undefined ? {} : { remedy }),
  });
}
