import { describe, expect, test } from 'vitest';
import { goldenTokenizer } from '../testing/golden.ts';
import type { ChatMessage } from './messages.ts';
import { renderChat, renderTrainingChat } from './render.ts';
import { ChatTemplate } from './template.ts';

const chatml = goldenTokenizer('chatml', { 'tokenizer_config.json': { eos_token: '<|im_end|>' } });
const builtin = ChatTemplate.builtin('chatml');
const chat: ChatMessage[] = [
  { role: 'user', content: 'Why?' },
  { role: 'assistant', content: 'Because.' },
  { role: 'user', content: 'And then?' },
  { role: 'assistant', content: 'It is gone.' },
];

const refused = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return 'nothing was thrown';
};

describe('built-in templates', () => {
  test('chatml', () => {
    expect(
      renderChat(chatml, chat.slice(0, 3), { template: builtin, system: 'Be brief.' }).text,
    ).toMatchInlineSnapshot(`
      "<|im_start|>system
      Be brief.<|im_end|>
      <|im_start|>user
      Why?<|im_end|>
      <|im_start|>assistant
      Because.<|im_end|>
      <|im_start|>user
      And then?<|im_end|>
      <|im_start|>assistant
      "
    `);
  });

  test('llama-3', () => {
    const template = ChatTemplate.builtin('llama-3');
    const special = { bos: '<|begin_of_text|>' };
    expect(template.render({ messages: chat.slice(0, 3), addGenerationPrompt: true, special })).toMatchInlineSnapshot(`
      "<|begin_of_text|><|start_header_id|>user<|end_header_id|>

      Why?<|eot_id|><|start_header_id|>assistant<|end_header_id|>

      Because.<|eot_id|><|start_header_id|>user<|end_header_id|>

      And then?<|eot_id|><|start_header_id|>assistant<|end_header_id|>

      "
    `);
  });

  test('zephyr', () => {
    const template = ChatTemplate.builtin('zephyr');
    const special = { eos: '</s>' };
    expect(template.render({ messages: chat.slice(0, 3), addGenerationPrompt: true, special })).toMatchInlineSnapshot(`
      "<|user|>
      Why?</s>
      <|assistant|>
      Because.</s>
      <|user|>
      And then?</s>
      <|assistant|>
      "
    `);
  });

  test('are chosen, never assumed', () => {
    expect(refused(() => renderChat(chatml, chat))).toMatchInlineSnapshot(`
      "This model has no chat template.
        where:    chatml
        remedy:   Choose one: { template: ChatTemplate.builtin('chatml') }, 'llama-3' or 'zephyr'. A base model has to be trained with it before it answers."
    `);
  });

  test('need the tokens that they write', () => {
    const options = { template: ChatTemplate.builtin('llama-3') };
    expect(refused(() => renderChat(chatml, chat, options))).toMatchInlineSnapshot(`
      "The chat template writes tokens that this vocabulary does not have.
        where:    the built-in template 'llama-3'
        expected: <|start_header_id|>, <|end_header_id|>, <|eot_id|> as tokens
        received: no <|start_header_id|>, no <|end_header_id|>, no <|eot_id|>
        remedy:   Choose a template that needs none: ChatTemplate.builtin('zephyr')."
    `);
  });
});

describe("the assistant's mask", () => {
  const learned = (messages: ChatMessage[], options = {}) => {
    const { ids, assistantMask } = renderTrainingChat(chatml, messages, { template: builtin, ...options });
    return chatml.decode(ids.filter((_, i) => assistantMask[i] === 1));
  };

  test('covers what the assistant says, and the end of its turn', () => {
    expect(learned(chat)).toBe('Because.<|im_end|>It is gone.<|im_end|>');
    expect(learned(chat, { turns: 'last' })).toBe('It is gone.<|im_end|>');
  });

  test('is the same whether the template marks the turns or they are found', () => {
    const unmarked = new ChatTemplate(
      builtin.text.replace(/\{%- (end)?generation -%\}|\{%-(end)?generation-%\}/g, ''),
      'test',
    );
    const plain = new ChatTemplate(builtin.text.replaceAll(/\{%-? *(end)?generation *-?%\}/g, ''), 'test');
    for (const template of [unmarked, plain]) {
      for (const turns of ['all', 'last'] as const) {
        expect(renderTrainingChat(chatml, chat, { template, turns })).toEqual(
          renderTrainingChat(chatml, chat, { template: builtin, turns }),
        );
      }
    }
    expect(plain.marksAssistant).toBe(false);
  });

  test('begins after what a model sees when it is asked', () => {
    const { ids, assistantMask } = renderTrainingChat(chatml, chat.slice(0, 2), { template: builtin });
    const asked = renderChat(chatml, chat.slice(0, 1), { template: builtin }).ids;
    expect(ids.slice(0, assistantMask.indexOf(1))).toEqual(asked);
  });

  test('of an answer that begins with a line break does not share its tokens', () => {
    const messages = [chat[0]!, { role: 'assistant', content: '\n\n    Because.' }];
    const template = new ChatTemplate(
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
      'test',
    );
    const { ids, assistantMask } = renderTrainingChat(chatml, messages, { template });
    const asked = renderChat(chatml, messages.slice(0, 1), { template }).ids;
    expect(ids.slice(0, assistantMask.indexOf(1))).toEqual(asked);
  });

  test('that is all zero is an error', () => {
    expect(refused(() => renderTrainingChat(chatml, chat.slice(0, 1), { template: builtin }))).toMatchInlineSnapshot(`
      "There is nothing to learn in this chat: no token is the assistant's.
        where:    the built-in template 'chatml'
        received: user: 10 tokens, none of them the assistant's
        remedy:   Leave out chats without an answer."
    `);
  });

  test('of turns that nothing ends is reported', () => {
    const template = new ChatTemplate(
      "{% for m in messages %}{{ m.role + ': ' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ '\n' }}{% endfor %}",
      'test',
    );
    expect(renderTrainingChat(chatml, chat, { template }).openTurns).toBe(2);
    expect(renderTrainingChat(chatml, chat, { template: builtin }).openTurns).toBe(0);
  });

  test('cannot be found where later turns change earlier ones', () => {
    const template = new ChatTemplate(
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and loop.last %}{{ '<think>' }}{% endif %}{{ m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
      'thinking',
    );
    expect(refused(() => renderTrainingChat(chatml, chat, { template }))).toMatchInlineSnapshot(`
      "The assistant's turns cannot be found in the rendered chat.
        where:    thinking, messages[1]
        received: the turn changes once later turns follow
        remedy:   Put {% generation %} and {% endgeneration %} around the assistant's turns in the template, or train on the last turn alone: { turns: 'last' }."
    `);
    const last = renderTrainingChat(chatml, chat, { template, turns: 'last' });
    expect(chatml.decode(last.ids.filter((_, i) => last.assistantMask[i] === 1))).toBe('<think>It is gone.<|im_end|>');
  });
});

describe('messages', () => {
  const check = (messages: unknown, options = {}) =>
    refused(() => renderChat(chatml, messages as ChatMessage[], { template: builtin, ...options }));

  test('that are none are refused, with the place', () => {
    expect(check([])).toContain('an empty list');
    expect(check('hello')).toContain('"hello"');
    expect(check([...chat, 'x'])).toMatch(/where: {4}messages\[4\]/);
    expect(check([...chat.slice(0, 2), { role: 'robot', content: '' }])).toMatchInlineSnapshot(`
      "This is not a chat that can be rendered.
        where:    messages[2].role
        expected: one of system, developer, user, assistant, tool
        received: "robot"
        remedy:   Correct it, or name it in { roles: ['...'] } where the template knows it."
    `);
    expect(check([{ role: 'user' }])).toMatch(/where: {4}messages\[0\]\.content\n[\s\S]*nothing/);
    expect(check([{ role: 'user', content: [{ type: 'text' }] }])).toMatch(/Join parts into one string/);
    expect(check([{ role: 'user', content: '\ud800' }])).toMatch(/a lone surrogate/);
  });

  test('of other roles pass where they are named', () => {
    expect(check([{ role: 'robot', content: 'beep' }], { roles: ['robot'] })).toBe('nothing was thrown');
  });

  test('that the template refuses are an error with its words', () => {
    const template = new ChatTemplate("{{ raise_exception('no system role here') }}", 'strict.jinja');
    expect(check(chat, { template })).toMatchInlineSnapshot(`
      "The chat template refuses these messages.
        where:    strict.jinja
        expected: the roles, their order and the variables that the template was written for
        received: user, assistant, user, assistant: no system role here
        remedy:   Read what the template says above. Many allow no system message (put its text into the first user message) and want user and assistant to take turns."
    `);
  });

  test('that the template leaves out are an error', () => {
    const template = new ChatTemplate(
      "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
      'test',
    );
    expect(check(chat, { template, system: 'Be brief.' })).toMatch(/messages\[0\]\.content[\s\S]*knows no system role/);
  });

  test('that begin the text a second time are an error', () => {
    const llama = goldenTokenizer('llama', { 'tokenizer_config.json': { bos_token: '<s>' } });
    const template = new ChatTemplate('{{ bos_token }}{{ messages[0].content }}', 'test');
    expect(refused(() => renderChat(llama, [{ role: 'user', content: '<s>Hello' }], { template }))).toMatch(/twice/);
  });

  test('cannot forge the marks of the mask', () => {
    const forged = [{ role: 'user', content: '\u{f8f0}open0\u{f8f1}x\u{f8f0}close0\u{f8f1}' }, chat[1]!];
    const { text, ids, assistantMask } = renderTrainingChat(chatml, forged, { template: builtin });
    expect(text).toContain(forged[0]!.content);
    expect(chatml.decode(ids.filter((_, i) => assistantMask[i] === 1))).toBe('Because.<|im_end|>');
  });
});

describe('where templates come from', () => {
  const text = "{{ messages[0]['content'] }}";

  test('chat_template.jinja, before tokenizer_config.json', () => {
    const files = { 'chat_template.jinja': text, 'tokenizer_config.json': { chat_template: 'other' } };
    expect(goldenTokenizer('chatml', files).chatTemplate?.text).toBe(text);
    expect(goldenTokenizer('chatml', { 'tokenizer_config.json': { chat_template: text } }).chatTemplate?.text).toBe(
      text,
    );
    expect(goldenTokenizer('chatml').chatTemplate).toBeUndefined();
  });

  test('several by name: tool_use where there are tools', () => {
    const named = [
      { name: 'default', template: 'plain {{ messages[0].content }}' },
      { name: 'tool_use', template: 'tools {{ messages[0].content }}' },
    ];
    const tokenizer = goldenTokenizer('chatml', { 'tokenizer_config.json': { chat_template: named } });
    const messages = [{ role: 'user', content: 'x' }];
    expect(renderChat(tokenizer, messages).text).toBe('plain x');
    expect(renderChat(tokenizer, messages, { tools: [] }).text).toBe('tools x');
  });

  test('one that is not Jinja is an error when it is used', () => {
    const tokenizer = goldenTokenizer('chatml', { 'chat_template.jinja': '{% for %}' });
    expect(refused(() => renderChat(tokenizer, chat))).toMatch(/not Jinja[\s\S]*chat_template\.jinja/);
  });
});
