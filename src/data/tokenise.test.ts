import { describe, expect, test } from 'vitest';
import { ChatTemplate, renderChat, renderTrainingChat } from '../text/index.ts';
import { goldenTokenizer } from '../text/testing/golden.ts';
import { promptMessages } from './conversation.ts';
import { encodeCompletion, encodePrompt } from './encode.ts';
import { checkRecord, type RankingRecord } from './records.ts';
import { type TokenExample, tokenise } from './tokenise.ts';
import { describeTruncation } from './truncate.ts';

const plain = goldenTokenizer('llama3', { 'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>' } });
const chatml = goldenTokenizer('chatml', { 'tokenizer_config.json': { eos_token: '<|im_end|>' } });
const template = ChatTemplate.builtin('chatml');
const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

const show = (tokenizer: typeof plain, { ids, completionStart, mask }: TokenExample) => ({
  before: tokenizer.decode(ids.slice(0, completionStart)),
  learned: tokenizer.decode(ids.filter((_, i) => (mask === undefined ? i >= completionStart : mask[i]))),
});

describe('a prompt and its completion', () => {
  test('begin with what generation begins with, and end with the end of text', () => {
    const { examples, report } = tokenise(plain, 'prompt-completion', [{ prompt: 'Q: Why?\nA:', completion: ' So' }]);
    const [example] = examples as [TokenExample];
    expect(example.ids.slice(0, example.completionStart)).toEqual(encodePrompt(plain, 'Q: Why?\nA:'));
    expect(example.ids.slice(0, example.completionStart)).toEqual(plain.encode('Q: Why?\nA:'));
    expect(show(plain, example).learned).toBe(' So</s>');
    expect(example.ids.at(-1)).toBe(plain.eosId);
    expect(example.mask).toBeUndefined();
    expect(report).toMatchObject({ rows: 1, boundaryMerges: 0, truncatedPrompts: 0, dropped: 0 });
  });

  test('share no token, and say where one would have reached over the boundary', () => {
    const { examples, report } = tokenise(plain, 'prompt-completion', [
      { prompt: 'A: ', completion: 'Because' },
      { prompt: 'A:', completion: ' Because' },
    ]);
    expect(examples.map((example) => show(plain, example).learned)).toEqual(['Because</s>', ' Because</s>']);
    expect(report.boundaryMerges).toBe(1);
  });

  test('are ended once, whoever writes the end', () => {
    const ids = (completion: string, appendEos = true) =>
      encodeCompletion(plain, 'A:', completion, { appendEos }).completionIds;
    expect(ids(' So</s>')).toEqual(ids(' So'));
    expect(ids(' So', false)).toEqual(ids(' So').slice(0, -1));
  });

  test('that are strings are a chat where one asks for it', () => {
    const record = { prompt: 'Why?', completion: 'Because.' };
    const { examples } = tokenise(chatml, 'prompt-completion', [record], { strings: 'chat', template, system: 'Hi.' });
    const asked = renderChat(chatml, [user('Why?')], { template, system: 'Hi.' });
    expect(examples[0]?.ids.slice(0, examples[0].completionStart)).toEqual(asked.ids);
    expect(show(chatml, examples[0]!).learned).toBe('Because.<|im_end|>');
  });

  test('may be of different kinds: sampled text answers messages', () => {
    const messages = [user('Why?')];
    const mixed = tokenise(chatml, 'prompt-completion', [{ prompt: messages, completion: 'So.' }], { template });
    const whole = { prompt: messages, completion: [assistant('So.')] };
    expect(mixed.examples).toEqual(tokenise(chatml, 'prompt-completion', [whole], { template }).examples);
  });

  test("end where a model stops: no line break of the template's after the end of text", () => {
    const { examples } = tokenise(chatml, 'prompt-completion', [{ prompt: [user('Why?')], completion: 'So.' }], {
      template,
    });
    expect(examples[0]?.ids.at(-1)).toBe(chatml.eosId);
    const whole = template.render({
      messages: [user('Why?'), assistant('So.')],
      addGenerationPrompt: false,
      special: {},
    });
    expect(whole.endsWith('<|im_end|>\n')).toBe(true);
  });

  test('have the ids that the whole conversation has up to its end, whether or not the template marks the turns', () => {
    const plainText = template.text.replaceAll(/\{%-? *(end)?generation *-?%\}/g, '');
    const prompts = [[user('Why?')], [{ role: 'system', content: 'Be brief.' }, user('a'), assistant('b'), user('c')]];
    for (const used of [template, new ChatTemplate(plainText, 'test')]) {
      for (const prompt of prompts) {
        for (const said of ['So.', ' So\n', '', 'A <|im_end|> inside', '\n\n    Because.']) {
          const chat = renderTrainingChat(chatml, [...prompt, assistant(said)], { template: used, turns: 'last' });
          const found = encodeCompletion(chatml, prompt, said, { template: used });
          const whole = chat.ids.slice(0, chat.assistantMask.lastIndexOf(1) + 1);
          expect([...found.promptIds, ...found.completionIds]).toEqual(whole);
          expect(found.promptIds).toEqual(whole.slice(0, chat.assistantMask.indexOf(1)));
          expect(found.boundaryMerges).toBe(chat.boundaryMerges);
        }
      }
    }
  });

  test('are found where a template prompts with more than it keeps', () => {
    const thinks = new ChatTemplate(
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think></think>' }}{% endif %}",
      'test',
    );
    const { promptIds, completionIds } = encodeCompletion(chatml, [user('Why?')], 'So.', { template: thinks });
    expect(chatml.decode(promptIds)).toBe('<|im_start|>user\nWhy?<|im_end|><|im_start|>assistant\n');
    expect(chatml.decode(completionIds)).toBe('So.<|im_end|>');
  });

  test('learn the prompt too where one asks for it, but never the first token, which nothing predicts', () => {
    const record = { prompt: 'Why?', completion: ' So' };
    const [example] = tokenise(plain, 'prompt-completion', [record], { completionOnlyLoss: false }).examples;
    expect(example?.mask).toEqual(example?.ids.map((_, i) => i > 0));
    expect(example?.completionStart).toBe(plain.encode('Why?').length);
  });

  test('learn of several messages only what the assistant says', () => {
    const completion = [assistant('So.'), user('Really?'), assistant('Yes.')];
    const [example] = tokenise(chatml, 'prompt-completion', [{ prompt: [user('Why?')], completion }], {
      template,
    }).examples;
    expect(show(chatml, example!).learned).toBe('So.<|im_end|>Yes.<|im_end|>');
    expect(example?.mask).toHaveLength(example!.ids.length);
    expect(example?.completionStart).toBe(example?.mask?.indexOf(true));
  });
});

describe('texts and conversations', () => {
  test('a text is learned from its second token on, and its end', () => {
    const [example] = tokenise(plain, 'text', [{ text: 'Once upon a time' }]).examples;
    expect(example?.ids).toEqual([...plain.encode('Once upon a time'), plain.eosId]);
    expect(example?.completionStart).toBe(1);
    expect(show(plain, example!).learned).toBe(
      plain.frame.prefix.length === 1 ? 'Once upon a time</s>' : expect.any(String),
    );
  });

  const text = [user('Why?'), assistant('So.'), user('And?'), assistant('No.')];

  test('a conversation is learned where the assistant speaks: always, the last time, or all of it', () => {
    const learned = (options: object) =>
      show(chatml, tokenise(chatml, 'text', [{ text }], { template, ...options }).examples[0]!).learned;
    expect(learned({})).toBe('So.<|im_end|>No.<|im_end|>');
    expect(learned({ turns: 'last' })).toBe('No.<|im_end|>');
    expect(learned({ assistantOnlyLoss: false })).toContain('user\nWhy?<|im_end|>');
  });

  test('one that is cut before the assistant speaks is dropped, for it would teach nothing', () => {
    const asked = renderChat(chatml, [user('Why?')], { template }).ids.length;
    const run = (maxLength: number) => () =>
      tokenise(chatml, 'text', [{ text }], { template, maxLength, longCompletions: 'cut' });
    expect(run(asked + 1)().examples[0]?.ids).toHaveLength(asked + 1);
    expect(run(asked)).toThrow(/Every row is too long/);
  });
});

describe('comparisons', () => {
  test('chosen and rejected follow the same prompt ids', () => {
    const record = { prompt: [user('Why?')], chosen: 'Because.', rejected: '', margin: 0.5 };
    const [pair] = tokenise(chatml, 'preference', [record], { template }).examples;
    expect(pair?.promptIds).toEqual(renderChat(chatml, [user('Why?')], { template }).ids);
    expect(chatml.decode(pair!.chosen.ids)).toBe('Because.<|im_end|>');
    expect(chatml.decode(pair!.rejected.ids)).toBe('<|im_end|>');
    expect(pair?.margin).toBe(0.5);
  });

  const ranking: RankingRecord = {
    prompt: 'Why?',
    completions: [' a', ' b c d e f g h i j k l m n o p q r s t u v', ' no', ' maybe'],
    ranks: [2, 1, 2, null],
  };

  test('a ranking keeps ties and what was not ranked', () => {
    const [example] = tokenise(plain, 'ranking', [ranking]).examples;
    expect(example?.ranks).toEqual([2, 1, 2, null]);
    expect(example?.completions.map(({ ids }) => plain.decode(ids))).toEqual(
      ranking.completions.map((text) => `${text}</s>`),
    );
  });

  test('a completion that was cut off when it was sampled has no end of text', () => {
    const truncated = [true, false, false, true];
    const { examples, report } = tokenise(plain, 'ranking', [{ ...ranking, truncated }]);
    expect(examples[0]?.completions.map(({ ids }) => plain.decode(ids))).toEqual(
      ranking.completions.map((text, i) => (truncated[i] ? text : `${text}</s>`)),
    );
    expect(report).toMatchObject({ openCompletions: 2, truncatedCompletions: 0 });
    expect(checkRecord('ranking', { ...ranking, truncated: [true] })).toMatchObject({ fault: { field: 'truncated' } });
  });

  test('a ranking loses the completions that are too long, and the row once fewer than two ranked ones are left', () => {
    const { examples, report } = tokenise(plain, 'ranking', [ranking], { maxCompletionLength: 8 });
    expect(examples[0]?.ranks).toEqual([2, 2, null]);
    expect(report).toMatchObject({ rows: 1, dropped: 0, droppedCompletions: 1, truncatedCompletions: 0 });
    const few = { ...ranking, ranks: [2, 1, null, null] };
    const both = tokenise(plain, 'ranking', [ranking, few], { maxCompletionLength: 8 });
    expect(both.sources).toEqual([0]);
    expect(both.report).toMatchObject({ rows: 2, dropped: 1, droppedCompletions: 1 });
  });

  test('an unpaired answer keeps its label', () => {
    const [example] = tokenise(plain, 'unpaired', [{ prompt: 'Why?', completion: ' So', label: false }]).examples;
    expect(example?.label).toBe(false);
  });
});

describe('what is too long', () => {
  const words = (n: number, word = ' the') => word.repeat(n);
  const example = (prompt: string, completion: string, options: object) =>
    tokenise(plain, 'prompt-completion', [{ prompt, completion }], options);

  test('of a prompt, the end is kept, and the beginning of text before it', () => {
    const prompt = `Once upon a time there was${words(30)} fox`;
    const { examples, report } = example(prompt, ' So', { maxPromptLength: 6 });
    const { before } = show(plain, examples[0]!);
    expect(examples[0]?.completionStart).toBeLessThanOrEqual(6);
    expect(
      prompt.endsWith(plain.decode(examples[0]!.ids.slice(plain.frame.prefix.length, examples[0]!.completionStart))),
    ).toBe(true);
    expect(before.endsWith(' fox')).toBe(true);
    expect(examples[0]?.ids.slice(0, plain.frame.prefix.length)).toEqual(plain.frame.prefix);
    expect(report).toMatchObject({ truncatedPrompts: 1, truncatedCompletions: 0, dropped: 0 });
  });

  test('a prompt and a completion that fit together are left alone, however they share the room', () => {
    const { examples } = example(`Why${words(20)}`, ' So', {});
    const maxLength = examples[0]!.ids.length;
    expect(example(`Why${words(20)}`, ' So', { maxLength }).report).toMatchObject({ truncatedPrompts: 0, dropped: 0 });
    expect(example(`Why${words(20)}`, ' So', { maxLength: maxLength - 1 }).report.truncatedPrompts).toBe(1);
  });

  test('a completion is dropped with its row, or cut without an end of text', () => {
    const completion = words(40);
    expect(() => example('Why?', completion, { maxCompletionLength: 10 })).toThrow(/Every row is too long/);
    const { examples, report } = example('Why?', completion, { maxCompletionLength: 10, longCompletions: 'cut' });
    expect(show(plain, examples[0]!).learned).toBe(completion.slice(0, 4 * 10));
    expect(examples[0]?.ids.includes(plain.eosId!)).toBe(false);
    expect(report).toMatchObject({ truncatedCompletions: 1, dropped: 0 });
  });

  test('never exceeds maxLength, and gives the prompt at least half', () => {
    for (const [asked, answered] of [
      [3, 40],
      [40, 3],
      [40, 40],
      [19, 21],
    ] as const) {
      const { examples } = example(`Why${words(asked)}`, words(answered), { maxLength: 24, longCompletions: 'cut' });
      const { ids, completionStart } = examples[0]!;
      expect(ids.length).toBeLessThanOrEqual(24);
      expect(ids.length - completionStart).toBeGreaterThan(0);
      if (asked > 20) expect(completionStart).toBeGreaterThanOrEqual(11);
    }
  });

  test('a conversation loses its oldest turns, and keeps its system message', () => {
    const prompt = [
      { role: 'system', content: 'Be brief.' },
      user(`First${words(30)}`),
      assistant('One.'),
      user('Second?'),
      assistant('Two.'),
      user('Third?'),
    ];
    const short = [prompt[0]!, prompt[5]!];
    const maxPromptLength = renderChat(chatml, [prompt[0]!, ...prompt.slice(3)], { template }).ids.length;
    const run = (room: number) => tokenise(chatml, 'prompt-only', [{ prompt }], { template, maxPromptLength: room });
    expect(chatml.decode(run(maxPromptLength).examples[0]!.ids)).toBe(
      renderChat(chatml, [prompt[0]!, ...prompt.slice(3)], { template }).text,
    );
    expect(chatml.decode(run(maxPromptLength - 1).examples[0]!.ids)).toBe(renderChat(chatml, short, { template }).text);
  });

  test("of a user's message that is too long by itself, the end is kept inside the template", () => {
    const prompt = promptMessages(`Begin${words(60)} end?`);
    const { examples, report } = tokenise(chatml, 'prompt-only', [{ prompt }], { template, maxPromptLength: 40 });
    const text = chatml.decode(examples[0]!.ids);
    expect(text).toMatch(/^<\|im_start\|>user\n.* end\?<\|im_end\|>\n<\|im_start\|>assistant\n$/);
    expect(text).not.toContain('Begin');
    expect(examples[0]!.ids.length).toBeLessThanOrEqual(40);
    expect(report.truncatedPrompts).toBe(1);
  });

  test('a prompt for which not even a word is left is dropped', () => {
    const records = [{ prompt: [user('Why?')] }, { prompt: [user(words(50))] }];
    const shortest = renderChat(chatml, records[0]!.prompt, { template }).ids.length;
    const { sources, report } = tokenise(chatml, 'prompt-only', records, { template, maxPromptLength: shortest });
    expect(sources).toContain(0);
    expect(report.dropped + report.truncatedPrompts).toBe(1);
    expect(() => tokenise(chatml, 'prompt-only', records, { template, maxPromptLength: 3 })).toThrow(
      /Every row is too long/,
    );
  });

  test('room is kept for what will be generated', () => {
    const { examples } = tokenise(plain, 'prompt-only', [{ prompt: `Why${words(40)}` }], {
      maxLength: 30,
      maxCompletionLength: 20,
    });
    expect(examples[0]!.ids.length).toBeLessThanOrEqual(10);
  });

  test('lengths that leave no room are refused', () => {
    expect(() => example('a', 'b', { maxLength: 8, maxPromptLength: 8 })).toThrow(/no room for a completion/);
    expect(() => example('a', 'b', { maxLength: 8, maxCompletionLength: 9 })).toThrow(/no room for a prompt/);
  });

  test('is reported in one line', () => {
    const none = { rows: 1, truncatedPrompts: 0, truncatedCompletions: 0, droppedCompletions: 0, dropped: 0 };
    expect(describeTruncation(none)).toBe('1 row: all fit');
    const some = { rows: 2312, truncatedPrompts: 14, truncatedCompletions: 1, droppedCompletions: 2, dropped: 3 };
    expect(describeTruncation(some)).toBe(
      '2,312 rows: 14 prompts shortened to the end, 1 completion cut, 2 completions dropped as too long, 3 rows dropped as too long',
    );
  });
});

test('a record that cannot be rendered is named', () => {
  const records = [{ prompt: [user('a')] }, { prompt: [{ role: 'usr', content: 'a' }] }];
  expect(() => tokenise(chatml, 'prompt-only', records, { template })).toThrow(/records\[1\], messages\[0\]\.role/);
});
