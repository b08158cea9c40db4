import { describe, expect, test } from 'vitest';
import { ChatTemplate } from '../../text/index.ts';
import { goldenTokenizer } from '../../text/testing/golden.ts';
import { Conversation } from './conversation.ts';

const tokenizer = goldenTokenizer('chatml', { 'tokenizer_config.json': { eos_token: '<|im_end|>' } });
const template = ChatTemplate.builtin('chatml');
const make = (contextTokens: number, chat = true) =>
  new Conversation({ tokenizer, template: chat ? template : null, contextTokens });
const textOf = (ids: readonly number[]) => tokenizer.decode(ids, { skipSpecialTokens: false });

describe('a conversation', () => {
  test('is rendered by the chat template, and ends where the model begins to answer', () => {
    const conversation = make(1000);
    conversation.system = 'Be brief.';
    conversation.add('user', 'Why?');
    conversation.add('assistant', 'So.');
    conversation.add('user', 'And?');
    expect(textOf(conversation.ask(10).ids)).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n' +
        '<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  test('of a base model is one text, a line for each of the user', () => {
    const conversation = make(1000, false);
    conversation.add('user', 'Once upon');
    conversation.add('assistant', ' a time.');
    conversation.add('user', 'Then');
    expect(textOf(conversation.ask(10).ids)).toBe('Once upon a time.\nThen');
    expect(() => {
      conversation.system = 'Be brief.';
    }).toThrow(/no place for a system message/);
  });

  test('that gets too long loses its oldest turns, for good, and keeps the system message', () => {
    const conversation = make(120);
    conversation.system = 'S';
    let dropped = 0;
    for (let turn = 0; turn < 8; turn++) {
      conversation.add('user', `question ${turn}`);
      const asked = conversation.ask(40);
      expect(asked.ids.length + asked.maxTokens).toBeLessThanOrEqual(120);
      expect(asked.maxTokens).toBeGreaterThan(0);
      // Turns go whole: a question with its answer.
      expect(asked.newlyDropped % 2).toBe(0);
      dropped += asked.newlyDropped;
      expect(asked.dropped).toBe(dropped);
      const text = textOf(asked.ids);
      expect(text.startsWith('<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nquestion ')).toBe(true);
      expect(text).toContain(`question ${turn}`);
      expect(text.includes('question 0')).toBe(dropped === 0);
      conversation.add('assistant', `answer ${turn}`);
    }
    expect(dropped).toBeGreaterThan(0);
    // What was said is all there: for the transcript.
    expect(conversation.messages).toHaveLength(16);
  });

  test('leaves half of the context for what was said, however long an answer may be', () => {
    const conversation = make(120);
    conversation.add('user', 'x'.repeat(20));
    const { ids, maxTokens } = conversation.ask(100_000);
    expect(ids.length).toBeLessThan(60);
    expect(maxTokens).toBe(120 - ids.length);
  });

  test('refuses a message that is too long alone', () => {
    const conversation = make(60);
    conversation.add('user', '1 2 3 4 5 6 7 8 9 '.repeat(10));
    expect(() => conversation.ask(20)).toThrow(/too long[\s\S]*at most 40 tokens, which leaves 20[\s\S]*received: \d+/);
  });
});
