import { describe, expect, test } from 'vitest';
import { type CompletionRecord, type TokenExample, type TokeniseOptions, tokenise } from '../data/index.ts';
import { goldenTokenizer } from '../text/testing/golden.ts';
import { checkExamples, checkScores, requireFit } from './preflight.ts';
import { errorOf } from './testing/index.ts';

const llama = goldenTokenizer('llama', { 'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>' } });
const record = { prompt: 'Once upon a', completion: ' time' };

function check(
  records: readonly CompletionRecord[],
  options: TokeniseOptions = {},
  change = (example: TokenExample): TokenExample => example,
) {
  const { examples, report } = tokenise(llama, 'prompt-completion', records, options);
  const findings = checkExamples({ tokenizer: llama, examples: examples.map(change), report });
  return findings.filter(({ text }) => !text.includes('padding'));
}

describe('the preflight', () => {
  test('finds nothing where nothing is wrong', () => {
    expect(check([record, record])).toEqual([]);
  });

  test('refuses sequences with nothing to learn, all of them named', async () => {
    const findings = check([record, record, record], {}, (example) => ({
      ...example,
      mask: example.ids.map(() => false),
    }));
    const error = await errorOf(() => requireFit(findings, () => {}));
    expect(error.message).toContain('3 of 3 sequences (row 0, row 1, row 2)');
    expect(error.remedy).toContain('maxLength');
  });

  test('a first token is no target: nothing predicts it', () => {
    const only = check([record], {}, ({ ids }) => ({ ids, completionStart: 1, mask: ids.map((_, i) => i === 0) }));
    expect(only).toMatchObject([{ level: 'error' }, { level: 'warning' }]);
  });

  test('refuses a second beginning', () => {
    const twice = check([record], {}, ({ ids, completionStart }) => ({
      ids: [llama.bosId!, ...ids],
      completionStart: completionStart + 1,
    }));
    expect(twice).toMatchObject([{ level: 'error', text: expect.stringContaining('1 of 1 sequences (row 0)') }]);
  });

  test('warns of completions without an end', () => {
    expect(check([record], { appendEos: false })).toMatchObject([
      { level: 'warning', text: expect.stringContaining('No end-of-text') },
    ]);
  });

  test('warns of a boundary inside a token', () => {
    const gpt2 = goldenTokenizer('llama3', { 'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>' } });
    const { examples, report } = tokenise(gpt2, 'prompt-completion', [
      { prompt: 'Why?\nAnswer: ', completion: 'Because' },
    ]);
    expect(checkExamples({ tokenizer: gpt2, examples, report })).toContainEqual({
      level: 'warning',
      text: expect.stringContaining('1 of 1 rows have other tokens when encoded as one text'),
      remedy: expect.stringContaining('space'),
    });
  });

  test('warns when more than a twentieth is shortened or dropped, and counts which', () => {
    const long = { prompt: 'Once upon a', completion: ' time there was a fox who ran over the dog' };
    const many = Array.from({ length: 19 }, () => record);
    expect(check([...many, long], { maxCompletionLength: 8 })).toEqual([]);
    expect(check([...many.slice(1), long], { maxCompletionLength: 8, longCompletions: 'cut' })).toMatchObject([
      { level: 'warning', text: 'Many rows are too long. 19 rows: 1 completion cut.' },
    ]);
  });

  test('warns of padding that ends texts, as of none at all', () => {
    const eos = llama.special.eos!;
    const shared = goldenTokenizer('llama', {
      'tokenizer_config.json': { bos_token: '<s>', eos_token: eos, pad_token: eos },
    });
    for (const tokenizer of [llama, shared]) {
      const { examples, report } = tokenise(tokenizer, 'prompt-completion', [record]);
      expect(checkExamples({ tokenizer, examples, report })).toMatchObject([
        { level: 'warning', text: expect.stringContaining('padding') },
      ]);
    }
  });

  test('tells warnings as notes', () => {
    const notes: string[] = [];
    requireFit([{ level: 'warning', text: 'Careful.', remedy: 'Look.' }], (text) => notes.push(text));
    expect(notes).toEqual(['Careful. Look.']);
  });

  test('refuses scores that depend on the batch', () => {
    expect(checkScores([1.00001, -2], [1, -2])).toEqual([]);
    expect(checkScores([1, -2.1], [1, -2])).toMatchObject([
      { level: 'error', text: expect.stringContaining('sequence 1 has -2.1 among others and -2 by itself') },
    ]);
  });
});
