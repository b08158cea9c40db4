import { describe, expect, test } from 'vitest';
import { splitPrompt } from './implicit.ts';
import type { Format } from './records.ts';
import {
  checkFormat,
  detectFormat,
  parseFieldMap,
  type Row,
  type RowOptions,
  toRecord,
  unknownFormat,
} from './rows.ts';
import { parseTranscript } from './transcript.ts';

const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

/** The record, or `field: reason`. */
function read(format: Format, row: Row, options: RowOptions = {}): unknown {
  const result = toRecord(row, format, options);
  if ('record' in result) return result.record;
  const { field, reason } = result.fault;
  return field === undefined ? reason : `${field}: ${reason}`;
}

describe('the format', () => {
  test.each<[Format | null, Row]>([
    ['text', { text: 'Once upon a time' }],
    ['text', { messages: [user('a'), assistant('b')] }],
    ['text', { conversations: [{ from: 'human', value: 'a' }] }],
    ['prompt-only', { prompt: 'Why?' }],
    ['prompt-only', { prompt: 'Why?', label: 'safe', text: 'a note' }],
    ['prompt-completion', { prompt: 'Why?', completion: 'So.' }],
    ['unpaired', { prompt: 'Why?', completion: 'So.', label: true }],
    ['preference', { chosen: 'a b', rejected: 'a c' }],
    ['preference', { prompt: 'a', chosen: 'b', rejected: 'c', completion: 'd' }],
    ['ranking', { prompt: 'a', completions: ['b', 'c'], ranks: [1, 2] }],
    ['prompt-only', { prompt: 'a', completion: null }],
    [null, { question: 'a', answer: 'b' }],
    [null, {}],
  ])('is %s where the fields are those of %j', (format, row) => {
    expect(detectFormat(row)).toBe(format);
  });

  test('is found by mapped columns', () => {
    expect(detectFormat({ question: 'a', answer: 'b' }, { prompt: 'question', completion: 'answer' })).toBe(
      'prompt-completion',
    );
  });

  test('that nobody knows is an error that names the columns and guesses what they are', () => {
    expect(unknownFormat({ question: 'a', answer: 'b' }, 'a.jsonl').message).toMatchInlineSnapshot(`
      "The rows' fields are those of no format.
        where:    a.jsonl
        expected: prompt, completions, ranks (ranking); chosen, rejected (preference); prompt, completion, label (unpaired); prompt, completion (prompt-completion); prompt (prompt-only); text (text)
        received: "question", "answer"
        remedy:   Say which columns they are: --map prompt=question,completion=answer"
    `);
    expect(() => checkFormat('pairs')).toThrow(/expected: text, prompt-only, .*\n.*received: "pairs"/);
  });
});

describe('mapping', () => {
  test('takes columns, and paths into them', () => {
    const row = { question: 'Why?', model: { solution: 'So.', 'is.right': true } };
    const map = { prompt: 'question', completion: 'model.solution' };
    expect(read('prompt-completion', row, { map, extra: 'none' })).toEqual({ prompt: 'Why?', completion: 'So.' });
    expect(
      read(
        'prompt-completion',
        { 'a.b': 'x', a: { b: 'y' } },
        { map: { prompt: 'a.b', completion: 'a.b' }, extra: 'none' },
      ),
    ).toEqual({ prompt: 'x', completion: 'x' });
  });

  test('of a column that a row lacks says so', () => {
    expect(read('prompt-only', { question: 'a' }, { map: { prompt: 'qestion' } })).toBe(
      'prompt: is missing: there is no "qestion"',
    );
    expect(read('prompt-only', { question: 'a' }, { map: { prompt: 'constructor' } })).toBe(
      'prompt: is missing: there is no "constructor"',
    );
    expect(read('prompt-only', { question: 'a' }, { map: { prompt: 'question.length' } })).toBe(
      'prompt: is missing: there is no "question.length"',
    );
  });

  test('is read from FIELD=COLUMN', () => {
    expect(parseFieldMap('prompt=question,completion=model.solution')).toEqual({
      prompt: 'question',
      completion: 'model.solution',
    });
    expect(parseFieldMap(['prompt=a=b', 'label = ok'])).toEqual({ prompt: 'a=b', label: 'ok' });
    expect(() => parseFieldMap('prompt')).toThrow(/not a field mapping/);
    expect(() => parseFieldMap('question=prompt')).toThrow(/No record has this field[\s\S]*map.question/);
  });
});

describe('columns that the format does not know', () => {
  const row = { prompt: 'a', id: 7, topic: 'food', note: null };

  test('are kept as extra, all or some', () => {
    expect(read('prompt-only', row)).toEqual({ prompt: 'a', extra: { id: 7, topic: 'food' } });
    expect(read('prompt-only', row, { extra: ['topic'] })).toEqual({ prompt: 'a', extra: { topic: 'food' } });
    expect(read('prompt-only', row, { extra: 'none' })).toEqual({ prompt: 'a' });
  });

  test('do not hold what was mapped', () => {
    expect(read('prompt-only', { question: 'a', id: 1 }, { map: { prompt: 'question' } })).toEqual({
      prompt: 'a',
      extra: { id: 1 },
    });
  });
});

describe('a preference without a prompt', () => {
  const opening = [user('Why?'), assistant('So.'), user('And?')];

  test('has as its prompt the messages that both begin with', () => {
    expect(
      read('preference', { chosen: [...opening, assistant('Yes.')], rejected: [...opening, assistant('No.')] }),
    ).toEqual({
      prompt: opening,
      chosen: [assistant('Yes.')],
      rejected: [assistant('No.')],
    });
  });

  test('has as its prompt the whole words that both begin with', () => {
    expect(splitPrompt('The sky is black.', 'The sky is blue.')).toEqual({
      prompt: 'The sky is',
      chosen: ' black.',
      rejected: ' blue.',
    });
    expect(splitPrompt('The sky is', 'The sky is blue.')).toEqual({
      prompt: 'The sky is',
      chosen: '',
      rejected: ' blue.',
    });
    expect(splitPrompt('The sky  is', 'The sky \n was')).toEqual({
      prompt: 'The sky',
      chosen: '  is',
      rejected: ' \n was',
    });
  });

  test.each<[string, Row, string]>([
    [
      'no beginning in common',
      { chosen: 'Yes', rejected: 'No' },
      'prompt: is missing, and chosen and rejected have no beginning in common',
    ],
    [
      'no message in common',
      { chosen: [user('a'), assistant('b')], rejected: [user('c'), assistant('b')] },
      'prompt: is missing, and chosen and rejected have no beginning in common',
    ],
    ['the same twice', { chosen: opening, rejected: opening }, 'rejected: is the same as chosen'],
    [
      'one that goes on where the other ends',
      { chosen: opening.slice(0, 2), rejected: [...opening, assistant('a')] },
      'rejected: goes on from the end of chosen: nothing is left to compare',
    ],
    [
      'other questions',
      { chosen: [...opening, assistant('a')], rejected: [...opening.slice(0, 2), user('But?'), assistant('a')] },
      'rejected[2]: answers another question than chosen: they part before the answer',
    ],
    [
      'different kinds',
      { chosen: opening, rejected: 'a' },
      'rejected: is of another kind than chosen: both are strings, or both are messages',
    ],
  ])('is refused with %s', (_, row, reason) => {
    expect(read('preference', row)).toBe(reason);
  });

  test('states it, and repeats it in both conversations: the answers are what follows', () => {
    const row = {
      prompt: 'Why?',
      chosen: [user('Why?'), assistant('So.')],
      rejected: [user('Why?'), assistant('No.')],
    };
    expect(read('preference', row)).toEqual({
      prompt: [user('Why?')],
      chosen: [assistant('So.')],
      rejected: [assistant('No.')],
    });
    expect(read('preference', { ...row, prompt: 'How?' })).toBe(
      'chosen: begins with another conversation than the prompt',
    );
  });
});

describe('a dialogue in one string', () => {
  const dialogue = '\n\nHuman: Why?\n\nAssistant: So.\n\nMore of it.\n\nHuman: And?';

  test('is read as messages, and what both begin with is the prompt', () => {
    expect(
      read('preference', { chosen: `${dialogue}\n\nAssistant: Yes.`, rejected: `${dialogue}\n\nAssistant:` }),
    ).toEqual({
      prompt: [user('Why?'), assistant('So.\n\nMore of it.'), user('And?')],
      chosen: [assistant('Yes.')],
      rejected: [assistant('')],
    });
  });

  test('may be the prompt, with an open turn at its end, and bare answers beside it', () => {
    const row = { prompt: '\n\nHuman: Why?\n\nAssistant:', chosen: ' So.', rejected: ' No.' };
    expect(read('preference', row)).toEqual({ prompt: [user('Why?')], chosen: 'So.', rejected: 'No.' });
  });

  test('is left alone where one asks for it', () => {
    expect(read('text', { text: dialogue }, { transcripts: false })).toEqual({ text: dialogue });
  });

  test.each([
    ['\n\nHuman: a\n\nAssistant: b\n\nAssistant: c', 'has two turns of "Assistant:" in a row (turns 2 and 3)'],
    ['\n\nAssistant: b', 'begins with "Assistant:": nobody asked'],
    ['\n\nHuman: \n\nAssistant: c', 'has an empty turn of "Human:" (turn 1)'],
    ['Once upon a time', 'does not begin with "\\n\\nHuman:"'],
  ])('%j is impossible', (text, reason) => {
    expect(parseTranscript(text, 'keep')).toBe(reason);
  });

  test('that ends with a question has no answer to compare', () => {
    expect(read('preference', { chosen: dialogue, rejected: `${dialogue}\n\nAssistant: a` })).toBe(
      'chosen: ends with "Human:": there is no answer',
    );
  });

  test('begins at the start of a text, not in its middle', () => {
    const text = 'He wrote:\n\nHuman: a\n\nAssistant: b';
    expect(read('text', { text })).toEqual({ text });
  });
});

describe("other tools' messages", () => {
  test("ShareGPT's from and value, OpenAI's content in parts", () => {
    const conversations = [
      { from: 'human', value: 'Why?' },
      { from: 'gpt', value: 'So.' },
    ];
    expect(read('text', { conversations })).toEqual({ text: [user('Why?'), assistant('So.')] });
    const parts = [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Wh' },
          { type: 'text', text: 'y?' },
        ],
      },
    ];
    expect(read('prompt-only', { prompt: parts })).toEqual({ prompt: [user('Why?')] });
    const empty = [{ role: 'user', content: 'Why?', tool_calls: null, name: null }];
    expect(read('prompt-only', { prompt: empty })).toEqual({ prompt: [user('Why?')] });
    const image = [{ role: 'user', content: [{ type: 'image' }] }];
    expect(read('prompt-only', { prompt: image })).toBe('prompt[0].content: expected a string');
  });
});

describe('cells of a table', () => {
  const cells = true;

  test('stand for truth, numbers and messages', () => {
    expect(read('unpaired', { prompt: 'a', completion: '3', label: 'True' }, { cells })).toEqual({
      prompt: 'a',
      completion: '3',
      label: true,
    });
    expect(read('preference', { prompt: 'a', chosen: 'b', rejected: 'c', margin: '0.5' }, { cells })).toMatchObject({
      margin: 0.5,
    });
    expect(read('preference', { prompt: 'a', chosen: 'b', rejected: 'c', margin: '' }, { cells })).toEqual({
      prompt: 'a',
      chosen: 'b',
      rejected: 'c',
    });
    expect(read('prompt-only', { prompt: '[{"role": "user", "content": "a"}]' }, { cells })).toEqual({
      prompt: [user('a')],
    });
    expect(read('ranking', { prompt: 'a', completions: '["b", "c"]', ranks: '[1, null]' }, { cells })).toBe(
      'ranks: expected at least two completions that were ranked: fewer cannot be compared',
    );
  });

  test('that stand for nothing are said as they are', () => {
    expect(read('unpaired', { prompt: 'a', completion: 'b', label: 'maybe' }, { cells })).toBe(
      'label: expected true or false, received "maybe"',
    );
    expect(read('preference', { prompt: 'a', chosen: 'b', rejected: 'c', margin: 'x' }, { cells })).toBe(
      'margin: expected a number, received "x"',
    );
    expect(read('unpaired', { prompt: 'a', completion: 'b', label: 'true' })).toBe(
      'label: expected true or false, received "true"',
    );
  });
});
