import { describe, expect, test } from 'vitest';
import { checkRecord, type Format } from './records.ts';

const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

const fault = (format: Format, value: unknown): string | null => {
  const result = checkRecord(format, value);
  if ('record' in result) return null;
  return result.fault.field === undefined ? result.fault.reason : `${result.fault.field}: ${result.fault.reason}`;
};

describe('records', () => {
  test.each<[Format, unknown]>([
    ['text', { text: 'Once' }],
    ['text', { text: [user('a'), assistant('b')] }],
    ['prompt-only', { prompt: 'a', extra: { id: 1 } }],
    ['prompt-only', { prompt: [{ role: 'system', content: '' }, user('a')] }],
    ['prompt-completion', { prompt: [user('a')], completion: 'b' }],
    ['preference', { prompt: 'a', chosen: 'b', rejected: '', margin: -1.5 }],
    ['preference', { prompt: [user('a')], chosen: [assistant('b')], rejected: [assistant('c')] }],
    ['ranking', { prompt: 'a', completions: ['b', 'c', 'd'], ranks: [1, 1, null] }],
    ['ranking', { prompt: 'a', completions: ['', 'c'], ranks: [7, 3] }],
    ['unpaired', { prompt: 'a', completion: '', label: false }],
    [
      'text',
      { text: [user('a'), { role: 'assistant', tool_calls: [{}] }, { role: 'tool', content: '' }, assistant('b')] },
    ],
  ])('%s: %j', (format, value) => {
    expect(checkRecord(format, value)).toEqual({ record: value });
  });

  test.each<[Format, unknown, string]>([
    ['prompt-only', {}, 'prompt: is missing'],
    ['prompt-only', { prompt: 3 }, 'prompt: expected a string or a list of messages, received 3'],
    ['prompt-only', { prompt: ' \n' }, 'prompt: is empty'],
    ['prompt-only', { prompt: 'a\0b' }, 'prompt: holds a NUL character (U+0000): the text is damaged'],
    [
      'prompt-only',
      { prompt: 'a\ud800' },
      'prompt: holds a lone surrogate: the text is damaged (toWellFormed() replaces it)',
    ],
    ['prompt-only', { prompt: [] }, 'prompt: expected a list of at least one message'],
    [
      'prompt-only',
      { prompt: [{ role: 'usr', content: 'a' }] },
      'prompt[0].role: expected one of system, developer, user, assistant, tool, received "usr"',
    ],
    ['prompt-only', { prompt: [{ content: 'a' }] }, 'prompt[0].role: is missing'],
    [
      'prompt-only',
      { prompt: [user('a'), { role: 'user' }] },
      'prompt[1].content: is missing (only an assistant that calls tools may say nothing)',
    ],
    [
      'prompt-only',
      { prompt: [user('a'), assistant('b')] },
      "prompt: ends with the assistant's message: nothing is asked",
    ],
    ['prompt-only', { prompt: [user(' ')] }, 'prompt: has an empty message'],
    ['prompt-only', { prompt: 'a', answer: 'b' }, 'Unrecognized key: "answer"'],
    ['text', { text: [user('a')] }, 'text: has no message of the assistant'],
    ['prompt-completion', { prompt: 'a', completion: '' }, 'completion: is empty'],
    [
      'prompt-completion',
      { prompt: 'a', completion: [user('b')] },
      "completion: does not begin with the assistant's message",
    ],
    [
      'prompt-completion',
      { prompt: 'a', completion: [assistant('b'), user('c')] },
      "completion: does not end with the assistant's message",
    ],
    ['preference', { prompt: 'a', chosen: '', rejected: 'c' }, 'chosen: is empty'],
    ['preference', { prompt: 'a', chosen: 'b', rejected: 'b' }, 'rejected: is the same as chosen'],
    [
      'preference',
      { prompt: 'a', chosen: 'b', rejected: 'c', margin: Infinity },
      'margin: expected a number, received Infinity',
    ],
    ['ranking', { prompt: 'a', completions: ['b'], ranks: [1] }, 'completions: expected at least two completions'],
    [
      'ranking',
      { prompt: 'a', completions: ['b', 'c'], ranks: [1] },
      'ranks: expected one rank a completion: 1 ranks for 2 completions',
    ],
    [
      'ranking',
      { prompt: 'a', completions: ['b', 'c'], ranks: [0, 1] },
      'ranks[0]: expected a whole number from 1, or null, received 0',
    ],
    [
      'ranking',
      { prompt: 'a', completions: ['b', 'c'], ranks: [1.5, 1] },
      'ranks[0]: expected a whole number from 1, or null, received 1.5',
    ],
    [
      'ranking',
      { prompt: 'a', completions: ['b', 3], ranks: [1, 2] },
      'completions[1]: expected a string or a list of messages, received 3',
    ],
    ['unpaired', { prompt: 'a', completion: '', label: true }, 'completion: is empty, and yet found good'],
    ['unpaired', { prompt: 'a', completion: 'b', label: 1 }, 'label: expected true or false, received 1'],
    ['unpaired', null, 'Invalid input: expected object, received null'],
  ])('%s: %j is refused', (format, value, reason) => {
    expect(fault(format, value)).toBe(reason);
  });
});
