import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadRecords } from '../load.ts';
import type { AnyRecord, Format } from '../records.ts';
import { writeAtomically } from './atomic.ts';
import { toRow } from './flatten.ts';
import { writeJsonLines } from './jsonl.ts';
import { writeParquet } from './parquet.ts';

const folder = mkdtempSync(join(tmpdir(), 'nudge-write-'));
afterAll(() => rmSync(folder, { recursive: true }));

const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

const examples: [Format, AnyRecord[]][] = [
  ['text', [{ text: 'Once 🙂\n"upon"' }, { text: 'a time' }]],
  ['text', [{ text: [user('a'), assistant('b')] }]],
  [
    'prompt-only',
    [
      { prompt: 'a', extra: { id: 7, big: 2 ** 40, score: 0.25, good: true, tags: ['x', { y: 1 }] } },
      { prompt: 'b', extra: { id: 8 } },
    ],
  ],
  ['prompt-completion', [{ prompt: [user('a')], completion: [assistant('b')] }]],
  [
    'preference',
    [
      { prompt: 'a', chosen: 'b', rejected: '', margin: 1 },
      { prompt: 'a', chosen: 'c', rejected: 'd', margin: 0.5 },
      { prompt: 'e', chosen: 'f', rejected: 'g' },
    ],
  ],
  [
    'preference',
    [{ prompt: [user('a'), assistant('b'), user('c')], chosen: [assistant('d')], rejected: [assistant('')] }],
  ],
  [
    'ranking',
    [
      { prompt: 'a', completions: ['b', 'c', 'd'], ranks: [1, null, 1] },
      { prompt: 'a', completions: ['b', ''], ranks: [2, 1] },
    ],
  ],
  [
    'ranking',
    [
      {
        prompt: [user('a')],
        completions: [[assistant('b')], [assistant('c'), user('d'), assistant('e')]],
        ranks: [2, 1],
      },
    ],
  ],
  [
    'unpaired',
    [
      { prompt: 'a', completion: 'b', label: true },
      { prompt: 'a', completion: '', label: false },
    ],
  ],
  ['text', [{ text: [user('a'), { role: 'assistant', content: 'b', tool_calls: [{ name: 'f' }] }] }]],
];

describe('what is written reads back to the same records', () => {
  examples.forEach(([format, records], i) => {
    test(`${format} ${i} as JSON Lines`, async () => {
      const path = join(folder, `${i}.jsonl`);
      expect(await writeJsonLines(path, records.map(toRow))).toBe(records.length);
      const loaded = await loadRecords(path);
      expect(loaded.format).toBe(format);
      expect(loaded.records).toEqual(records);
    });

    test(`${format} ${i} as Parquet`, async () => {
      const path = join(folder, `${i}.parquet`);
      expect(await writeParquet(path, format, records, { rowGroupSize: 1 })).toBe(records.length);
      const loaded = await loadRecords(path);
      expect(loaded.format).toBe(format);
      expect(loaded.records).toEqual(records);
    });
  });

  test('many rows in many row groups', async () => {
    const path = join(folder, 'many.parquet');
    const records = Array.from({ length: 5000 }, (_, n) => ({
      prompt: `${n} ${'word '.repeat(n % 50)}`,
      extra: { n },
    }));
    await writeParquet(path, 'prompt-only', records, { rowGroupSize: 700 });
    expect((await loadRecords(path)).records).toEqual(records);
  });

  test('a column of two kinds is refused for Parquet, which has one a column', async () => {
    const records = [{ prompt: 'a' }, { prompt: [user('b')] }];
    await expect(writeParquet(join(folder, 'mixed.parquet'), 'prompt-only', records)).rejects.toThrow(
      /one kind[\s\S]*prompt/,
    );
  });
});

describe('a file takes its place in one step', () => {
  test('an old one stays where it may not be replaced, or the new one fails', async () => {
    const path = join(folder, 'once.jsonl');
    await writeJsonLines(path, [{ a: 1 }]);
    await expect(writeJsonLines(path, [{ a: 2 }])).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    const failing = async function* () {
      yield { a: 3 };
      throw new Error('the source broke');
    };
    await expect(writeJsonLines(path, failing(), { overwrite: true })).rejects.toThrow('the source broke');
    expect(readFileSync(path, 'utf8')).toBe('{"a":1}\n');
    await writeJsonLines(path, [{ a: 4 }], { overwrite: true });
    expect(readFileSync(path, 'utf8')).toBe('{"a":4}\n');
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('nothing is seen of it while it is written', async () => {
    const path = join(folder, 'unseen.txt');
    await writeAtomically(path, {}, async (append) => {
      await append(Buffer.alloc(3_000_000, 'x'));
      expect(readdirSync(folder)).not.toContain('unseen.txt');
    });
    expect(readFileSync(path)).toHaveLength(3_000_000);
  });

  test('folders are made; a path that cannot be is an error', async () => {
    await writeJsonLines(join(folder, 'new', 'deep', 'a.jsonl'), [{ a: 1 }]);
    writeFileSync(join(folder, 'file'), '');
    await expect(writeJsonLines(join(folder, 'file', 'a.jsonl'), [])).rejects.toMatchObject({ code: 'IO_FAILED' });
    mkdirSync(join(folder, 'taken'));
    await expect(writeJsonLines(join(folder, 'taken'), [], { overwrite: true })).rejects.toMatchObject({
      code: 'IO_FAILED',
    });
  });
});
