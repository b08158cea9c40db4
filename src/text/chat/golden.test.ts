/** The same texts, ids and masks as transformers' apply_chat_template: see scripts/golden/text_chat.py. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Tokenizer } from '../tokenizer.ts';
import type { ChatMessage } from './messages.ts';
import { renderChat, renderTrainingChat } from './render.ts';

interface Chat {
  chat: string;
  messages: ChatMessage[];
  tools: unknown[] | null;
  add_generation_prompt: boolean;
  text: string;
  ids: number[];
  mask?: number[];
}

const golden: {
  tokenizers: Record<string, Record<string, unknown>>;
  models: { name: string; tokenizer: string; template: string; chats: Chat[] }[];
} = JSON.parse(readFileSync(new URL('../../../tests/golden/data/text-chat.json', import.meta.url), 'utf8'));

describe.each(golden.models)('the template of $name', ({ name, tokenizer: base, template, chats }) => {
  const files = Object.entries(golden.tokenizers[base]!).map(([file, value]) => [file, JSON.stringify(value)] as const);
  const tokenizer = Tokenizer.fromFiles(new Map([...files, ['chat_template.jinja', template]]), name);

  test.each(chats)('$chat, generation prompt $add_generation_prompt', (chat) => {
    const options = chat.tools === null ? {} : { tools: chat.tools };
    const rendered = renderChat(tokenizer, chat.messages, {
      ...options,
      addGenerationPrompt: chat.add_generation_prompt,
    });
    expect(rendered).toEqual({ text: chat.text, ids: chat.ids });
    if (chat.add_generation_prompt || chat.messages.at(-1)?.role !== 'assistant') return;

    const training = renderTrainingChat(tokenizer, chat.messages, options);
    expect(training.text).toBe(chat.text);
    // Without a token between them, "?", a line break and "A" become one token there, half of it the assistant's.
    expect(training.boundaryMerges).toBe(name === 'marked text');
    if (training.boundaryMerges) return;
    expect(training.ids).toEqual(chat.ids);
    if (chat.mask !== undefined) expect([...training.assistantMask]).toEqual(chat.mask);
    // What is learned is what the assistant says, with the end of its turn.
    const learned = training.ids.filter((_, i) => training.assistantMask[i] === 1);
    const said = chat.messages.filter((message) => message.role === 'assistant' && message.content !== '');
    const heard = tokenizer.decode(learned);
    for (const message of said) expect(heard).toContain(message.content?.trim());
    expect(learned.filter((id) => id === tokenizer.eosId)).toHaveLength(
      chat.messages.filter((message) => message.role === 'assistant').length,
    );
    expect(training.openTurns).toBe(0);
  });
});
