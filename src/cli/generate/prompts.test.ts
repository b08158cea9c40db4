import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../testing/tiny.ts';
import { checkPrompts, type PromptRow, readPrompts } from './prompts.ts';

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

function file(name: string, text: string | Uint8Array): string {
  const path = join(folder.path, name);
  writeFileSync(path, text);
  return path;
}

async function read(path: string, map = {}): Promise<PromptRow[]> {
  const rows: PromptRow[] = [];
  for await (const row of readPrompts(path, map)) rows.push(row as PromptRow);
  return rows;
}

describe('prompts', () => {
  test('of JSONL are strings or messages, with an id or without', async () => {
    const messages = [{ role: 'user', content: 'Why?' }];
    const path = file(
      'a.jsonl',
      `{"prompt": "One", "id": "x", "other": 1}\n\n{"prompt": ${JSON.stringify(messages)}, "id": 7}\r\n"Three"\n`,
    );
    expect(await read(path)).toEqual([
      { index: 0, place: `${path}:1`, id: 'x', prompt: 'One' },
      { index: 1, place: `${path}:3`, id: 7, prompt: messages },
      { index: 2, place: `${path}:4`, id: null, prompt: 'Three' },
    ]);
    expect(await checkPrompts(path, {})).toBe(3);
  });

  test('of text are lines, empty ones left out', async () => {
    const path = file('a.txt', 'Ünser\r\n\n  \n {"prompt": 1}\nlast');
    expect((await read(path)).map(({ prompt, place }) => [prompt, place])).toEqual([
      ['Ünser', `${path}:1`],
      [' {"prompt": 1}', `${path}:4`],
      ['last', `${path}:5`],
    ]);
  });

  test('may be in another column', async () => {
    const path = file('a.csv', 'id,question\nq1,"Why, though?"\n');
    expect(await read(path, { prompt: 'question' })).toMatchObject([{ id: 'q1', prompt: 'Why, though?' }]);
  });

  test('that cannot be used are told together, with their lines', async () => {
    const path = file(
      'bad.jsonl',
      '{"prompt": "One"}\n{"prompt": ""}\n{"prompt": [{"role": "user"}]}\n{"question": "Why?"}\nnot JSON\n',
    );
    await expect(checkPrompts(path, {})).rejects.toThrow(
      /^4 of 5 prompts cannot be used[\s\S]*bad\.jsonl:2: prompt is empty\n[\s\S]*bad\.jsonl:3: prompt\[0\][\s\S]*bad\.jsonl:4: prompt is missing\n[\s\S]*bad\.jsonl:5: is not JSON[\s\S]*Nothing was generated/,
    );
  });

  test('may be refused for what they say', async () => {
    const path = file('long.txt', Array.from({ length: 30 }, (_, i) => `line ${i}`).join('\n'));
    const check = ({ index }: PromptRow) => (index < 13 ? 'is too odd' : null);
    await expect(checkPrompts(path, {}, check)).rejects.toThrow(
      /^13 of 30[\s\S]*long\.txt:1: is too odd[\s\S]*long\.txt:10: is too odd\n +and 3 more/,
    );
  });

  test('must be there, and be text', async () => {
    await expect(checkPrompts(file('empty.txt', '\n \n'), {})).rejects.toThrow(/no prompts in this file/);
    await expect(checkPrompts(file('empty.jsonl', ''), {})).rejects.toThrow(/no prompts in this file/);
    const latin1 = file('latin1.txt', Buffer.from('gut\nschön\n', 'latin1'));
    await expect(checkPrompts(latin1, {})).rejects.toThrow(/not UTF-8[\s\S]*latin1\.txt/);
    await expect(checkPrompts(join(folder.path, 'none.txt'), {})).rejects.toThrow(/cannot be read/);
  });
});
