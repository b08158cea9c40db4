import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { NudgeError } from '../errors.ts';
import { type LoadOptions, loadRecords, type SkipOptions } from './load.ts';

const folder = mkdtempSync(join(tmpdir(), 'nudge-load-'));
afterAll(() => rmSync(folder, { recursive: true }));

function lines(name: string, rows: readonly unknown[]): string {
  const path = join(folder, name);
  writeFileSync(path, rows.map((row) => `${typeof row === 'string' ? row : JSON.stringify(row)}\n`).join(''));
  return path;
}

const rejection = async (path: string, options: LoadOptions & SkipOptions = {}): Promise<NudgeError> => {
  try {
    await loadRecords(path, options);
  } catch (error) {
    if (error instanceof NudgeError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

const good = (n: number) => ({ prompt: `Question ${n}?`, chosen: 'yes', rejected: 'no' });

describe('loading', () => {
  test('finds the format and keeps the places', async () => {
    const path = lines('a.jsonl', [good(1), '', good(2)]);
    const loaded = await loadRecords([path, path]);
    expect(loaded.format).toBe('preference');
    expect(loaded.records).toEqual([good(1), good(2), good(1), good(2)]);
    expect(loaded.places.map(({ line }) => line)).toEqual([1, 3, 1, 3]);
    expect(loaded.badRows).toBe(0);
  });

  test('takes a format by name, of which every row then has to be', async () => {
    const path = lines('b.jsonl', [{ ...good(1), completion: 'yes', label: true }]);
    const { records } = await loadRecords(path, { format: 'unpaired', extra: 'none' });
    expect(records[0]?.label).toBe(true);
    expect((await rejection(path, { format: 'ranking' })).message).toContain('completions is missing');
  });

  test('maps columns', async () => {
    const path = lines('c.jsonl', [{ question: 'Why?', answer: 'So.' }]);
    const map = { prompt: 'question', completion: 'answer' };
    expect((await loadRecords(path, { map })).records).toEqual([{ prompt: 'Why?', completion: 'So.' }]);
    expect((await rejection(path)).remedy).toBe('Say which columns they are: --map prompt=question,completion=answer');
    expect((await rejection(path, { map: { promt: 'question' } })).message).toContain('No record has this field');
  });

  test('a file of no format is given up early, or at its end', async () => {
    const nothing = Array.from({ length: 50 }, () => ({ a: 1 }));
    expect((await rejection(lines('d.jsonl', nothing))).message).toContain('those of no format');
    expect((await rejection(lines('e.jsonl', nothing.slice(0, 3)))).message).toContain('those of no format');
  });

  test('a file without rows is an error', async () => {
    expect((await rejection(lines('f.jsonl', []))).message).toContain('There are no rows');
  });

  test('of a table, cells become what the fields are', async () => {
    const path = join(folder, 'g.csv');
    writeFileSync(path, 'prompt,completion,label,topic\nWhy?,So.,true,life\nHow?,"Well, so.",FALSE,\n');
    expect((await loadRecords(path)).records).toEqual([
      { prompt: 'Why?', completion: 'So.', label: true, extra: { topic: 'life' } },
      { prompt: 'How?', completion: 'Well, so.', label: false, extra: { topic: '' } },
    ]);
  });
});

describe('bad rows', () => {
  test('are listed with file, line, field and reason, and nothing is loaded', async () => {
    const path = lines('bad.jsonl', [
      good(1),
      { ...good(2), chosen: '' },
      '{"prompt": "torn',
      { ...good(3), margin: 'big' },
    ]);
    const error = await rejection(path);
    expect(error.code).toBe('BAD_FILE');
    expect(error.message.replaceAll(folder, '.')).toMatchInlineSnapshot(`
      "3 of 4 rows cannot be used.
        where:    ./bad.jsonl
        received: ./bad.jsonl:2: chosen is empty
                  ./bad.jsonl:3: the row is not JSON: Unterminated string in JSON at position 16 (line 1 column 17)
                  ./bad.jsonl:4: margin expected a number, received "big"
        remedy:   Correct them, or go on without them: --skip-bad-rows bad.jsonl (skipBadRows: { to }) sets them aside with their reasons."
    `);
  });

  test('beyond twenty are counted', async () => {
    const rows = Array.from({ length: 1234 }, (_, n) => (n === 0 ? good(0) : { ...good(n), rejected: 'yes' }));
    const error = await rejection(lines('many.jsonl', rows));
    expect(error.message).toContain('1,233 of 1,234 rows cannot be used.');
    expect(error.received?.split('\n')).toHaveLength(21);
    expect(error.received).toContain('and 1,213 more');
  });

  test('are set aside where one asks for it, whole and with the reason', async () => {
    const bad = { ...good(2), chosen: '' };
    const to = join(folder, 'aside', 'bad.jsonl');
    const path = lines('some.jsonl', [good(1), bad, '{"prompt": "torn', good(3)]);
    const { records, badRows } = await loadRecords(path, { skipBadRows: { to } });
    expect(records).toEqual([good(1), good(3)]);
    expect(badRows).toBe(2);
    const written = readFileSync(to, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(written).toEqual([
      { file: path, row: 2, line: 2, field: 'chosen', reason: 'is empty', value: bad },
      { file: path, row: 3, line: 3, reason: expect.stringMatching(/^is not JSON/), value: '{"prompt": "torn' },
    ]);
  });

  test('leave no file where there are none, and an error where nothing else is left', async () => {
    const to = join(folder, 'none.jsonl');
    await loadRecords(lines('fine.jsonl', [good(1)]), { skipBadRows: { to } });
    expect(existsSync(to)).toBe(false);
    const error = await rejection(lines('worst.jsonl', [{ ...good(1), chosen: '' }]), { skipBadRows: { to } });
    expect(error.message).toContain('No row of these files can be used');
    expect(readFileSync(to, 'utf8')).toContain('is empty');
  });
});
