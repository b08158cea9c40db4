import { describe, expect, test } from 'vitest';
import { Inbox } from './inbox.ts';

async function all(inbox: Inbox): Promise<string[]> {
  const messages: string[] = [];
  for await (const message of inbox) messages.push(message);
  return messages;
}

/** All messages of these lines; numbers are pauses in milliseconds. */
async function messagesOf(...lines: (string | number)[]): Promise<string[]> {
  const inbox = new Inbox();
  for (const line of lines) {
    if (typeof line === 'number') await new Promise((resolve) => setTimeout(resolve, line));
    else inbox.push(line);
  }
  inbox.close();
  return await all(inbox);
}

describe('lines become messages', () => {
  test('one each, when they are typed', async () => {
    expect(await messagesOf('one', 60, 'two')).toEqual(['one', 'two']);
  });

  test('together, when they are pasted', async () => {
    expect(await messagesOf('one', 'two', '', 'three')).toEqual(['one\ntwo\n\nthree']);
  });

  test('commands stand alone, also in what is pasted', async () => {
    expect(await messagesOf('/reset', 'one', 'two', '/exit')).toEqual(['/reset', 'one\ntwo', '/exit']);
  });

  test('from quotes to quotes', async () => {
    expect(await messagesOf('"""one', '/two', '', 'three"""', 60, 'four')).toEqual(['one\n/two\n\nthree', 'four']);
    expect(await messagesOf('"""', 'one', '"""')).toEqual(['one']);
    expect(await messagesOf('"""one"""')).toEqual(['one']);
  });

  test('an unfinished one can be dropped', async () => {
    const inbox = new Inbox();
    inbox.push('"""one');
    expect(inbox.isOpen).toBe(true);
    inbox.drop();
    expect(inbox.isOpen).toBe(false);
    inbox.push('two');
    inbox.close();
    expect(await all(inbox)).toEqual(['two']);
  });

  test('a reader gets them as they come', async () => {
    const inbox = new Inbox();
    const reader = inbox[Symbol.asyncIterator]();
    const first = reader.next();
    inbox.push('one');
    expect(await first).toEqual({ done: false, value: 'one' });
    inbox.close();
    expect((await reader.next()).done).toBe(true);
  });
});
