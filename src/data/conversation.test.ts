import { expect, test } from 'vitest';
import { answerMessages, promptKey, promptMessages } from './conversation.ts';

test('a string is what the user says, or the assistant', () => {
  expect(promptMessages('Why?')).toEqual([{ role: 'user', content: 'Why?' }]);
  expect(answerMessages('So.')).toEqual([{ role: 'assistant', content: 'So.' }]);
  const messages = [{ role: 'system', content: 'Be brief.' }];
  expect(promptMessages(messages)).toBe(messages);
});

test('prompts with one key ask the same: white space, Unicode form and kind do not tell them apart', () => {
  const key = promptKey('What is a café?');
  for (const same of [
    ' What is  a\ncafé?\t',
    'What is a cafe\u0301?',
    [{ role: 'user', content: 'What is a café? ' }],
  ]) {
    expect(promptKey(same)).toBe(key);
  }
  for (const other of ['what is a café?', 'What is a cafe?', [{ role: 'system', content: 'What is a café?' }]]) {
    expect(promptKey(other)).not.toBe(key);
  }
  const split = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
    { role: 'user', content: 'c' },
  ];
  expect(promptKey(split)).not.toBe(promptKey([{ role: 'user', content: 'a b c' }]));
});
