import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { type RawRow, type ReadOptions, readRows } from './index.ts';
import { showPlace } from './row.ts';

const folder = mkdtempSync(join(tmpdir(), 'nudge-read-'));
afterAll(() => rmSync(folder, { recursive: true }));
const golden = fileURLToPath(new URL('../../../tests/golden/data/parquet', import.meta.url));

function file(name: string, contents: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
}

async function collect(path: string | string[], options: ReadOptions = {}): Promise<RawRow[]> {
  const rows: RawRow[] = [];
  for await (const row of readRows(path, options)) rows.push(row);
  return rows;
}

/** Each row as its value, or as `line: reason`. */
async function read(path: string | string[], options: ReadOptions = {}): Promise<unknown[]> {
  return (await collect(path, options)).map((row) =>
    'value' in row
      ? row.value
      : `${row.where.line ?? row.where.row}: ${[row.fault.field, row.fault.reason].join(' ').trim()}`,
  );
}

const rejection = async (run: Promise<unknown>): Promise<string> => {
  try {
    await run;
  } catch (error) {
    return (error as Error).message.replaceAll(folder, '.');
  }
  return 'nothing was thrown';
};

const rows = [{ prompt: 'Why?', n: 1 }, { prompt: 'Zoë asks:\n"how?" 🙂' }, { prompt: 'x'.repeat(3000) }];
const jsonLines = rows.map((row) => `${JSON.stringify(row)}\n`).join('');

describe('every kind of file', () => {
  test.each([
    ['a.jsonl', jsonLines],
    ['a.ndjson', jsonLines.replaceAll('\n', '\r\n')],
    ['bom.jsonl', `\ufeff${jsonLines}`],
    ['no-end.jsonl', jsonLines.trimEnd()],
    ['blank.jsonl', `\n${jsonLines.replaceAll('\n', '\n \t\r\n\n')}`],
    ['a.jsonl.gz', gzipSync(jsonLines)],
    ['b.jsonl.gz', Buffer.concat(jsonLines.split(/(?<=\n)/).map((line) => gzipSync(line)))],
    ['plain-inside.jsonl.gz', jsonLines],
    ['hidden-gzip.jsonl', gzipSync(jsonLines)],
    ['a.jsonl.zst', zstdCompressSync(jsonLines)],
    ['lines.json', jsonLines],
    ['compact.json', JSON.stringify(rows)],
    ['pretty.json', JSON.stringify(rows, null, 2)],
    ['bom.json', `\ufeff  ${JSON.stringify(rows, null, '\t')}\r\n\r\n`],
    ['a.json.gz', gzipSync(JSON.stringify(rows))],
  ])('%s', async (name, contents) => {
    expect(await read(file(name, contents))).toEqual(rows);
  });

  test('several files, one after another, up to a limit', async () => {
    const paths = [file('one.jsonl', jsonLines), file('two.json', JSON.stringify(rows))];
    expect(await read(paths)).toEqual([...rows, ...rows]);
    expect(await read(paths, { limit: 4 })).toEqual([...rows, rows[0]]);
    expect((await collect(paths)).map(({ where }) => `${basename(where.file)} ${where.row}`)).toEqual([
      'one.jsonl 1',
      'one.jsonl 2',
      'one.jsonl 3',
      'two.json 1',
      'two.json 2',
      'two.json 3',
    ]);
  });

  test('pieces of any size, cut anywhere, give the same rows', async () => {
    const long = Array.from({ length: 9000 }, (_, i) => ({
      prompt: `${i} “quoted \\" and [bracketed]” ${'é'.repeat(i % 97)}`,
    }));
    expect(await read(file('long.json', JSON.stringify(long)))).toEqual(long);
    expect(await read(file('long.jsonl', long.map((row) => `${JSON.stringify(row)}\n`).join('')))).toEqual(long);
    expect(
      await read(
        file('long.csv', `prompt\n${long.map(({ prompt }) => `"${prompt.replaceAll('"', '""')}"`).join('\n')}`),
      ),
    ).toEqual(long);
  });

  test('a list of strings is a list of texts', async () => {
    expect(await read(file('texts.json', '["Once", "upon"]'))).toEqual([{ text: 'Once' }, { text: 'upon' }]);
  });

  test('an empty file has no rows', async () => {
    for (const name of ['e.jsonl', 'e.json', 'e.csv']) expect(await read(file(name, ''))).toEqual([]);
    expect(await read(file('list.json', ' [ ] '))).toEqual([]);
    expect(await read(join(golden, 'empty.parquet'))).toEqual([]);
  });

  test('a link is followed, and reading may stop early', async () => {
    const link = join(folder, 'link.jsonl');
    symlinkSync(file('target.jsonl', jsonLines), link);
    for await (const row of readRows(link)) {
      expect('value' in row && row.value).toEqual(rows[0]);
      break;
    }
  });
});

describe('damaged rows', () => {
  test('of JSON Lines leave the others alone', async () => {
    const path = file(
      'bad.jsonl',
      Buffer.concat([
        Buffer.from('{"prompt": "a"}\n{"prompt": "b"\n\n[1]\n"text"\nnull\n3\n{"prompt": "'),
        Buffer.from([0xff, 0xfe]),
        Buffer.from('"}\n\0\0\0\n{"prompt": "c"}\n{"__proto__": {"admin": true}, "prompt": "d"}\n'),
        Buffer.from(
          '{"prompt": [{"role": "user", "\\u005f_proto__": 1}]}\n{"prompt": "e", "constructor": 1}\n{"prompt": "cut',
        ),
      ]),
    );
    expect(await read(path)).toMatchInlineSnapshot(`
      [
        {
          "prompt": "a",
        },
        "2: is not JSON: Expected ',' or '}' after property value in JSON at position 14 (line 1 column 15)",
        "4: is a list: expected an object, such as { "prompt": "..." }",
        {
          "text": "text",
        },
        "6: is null: expected an object, such as { "prompt": "..." }",
        "7: is a number: expected an object, such as { "prompt": "..." }",
        "8: is not UTF-8",
        "9: holds a NUL byte (byte 1 of it): the file is damaged here",
        {
          "prompt": "c",
        },
        "11: __proto__ is no name for a field",
        "12: __proto__ is no name for a field",
        {
          "constructor": 1,
          "prompt": "e",
        },
        "14: is not JSON: Unterminated string in JSON at position 15 (line 1 column 16). The file ends here: it was cut off while it was written",
      ]
    `);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  test('that are too long are passed over without being held', async () => {
    const path = file('huge.jsonl', `{"prompt":"a"}\n{"prompt":"${'x'.repeat(5_000_000)}"}\n{"prompt":"b"}\n`);
    expect(await read(path, { maxRowBytes: 1000 })).toEqual([
      { prompt: 'a' },
      '2: is 5,000,013 bytes long, more than the limit of 1,000 bytes (maxRowBytes)',
      { prompt: 'b' },
    ]);
    const [, bad] = await collect(path, { maxRowBytes: 1000 });
    expect(bad !== undefined && 'raw' in bad && bad.raw?.length).toBeLessThan(2100);
  });

  test('that are nested without end', async () => {
    const path = file('deep.jsonl', `{"prompt":${'['.repeat(100_000)}${']'.repeat(100_000)}}\n{"prompt":"a"}\n`);
    expect(await read(path)).toEqual(['1: is nested more than 64 levels deep', { prompt: 'a' }]);
  });

  test('of a JSON list name their line', async () => {
    expect(await read(file('b1.json', '[\n{"prompt": "a"},\n{"prompt": b},\n\n7,\n{"prompt": "c"}\n]'))).toEqual([
      { prompt: 'a' },
      expect.stringMatching(/^3: is not JSON: Unexpected token/),
      '5: is a number: expected an object, such as { "prompt": "..." }',
      { prompt: 'c' },
    ]);
    expect(await read(file('b2.json', '[{"prompt": "a"},]'))).toEqual([
      { prompt: 'a' },
      expect.stringMatching(/^1: is not JSON/),
    ]);
    expect(await read(file('b3.json', '[{"prompt": "a"}{"prompt": "b"}]'))).toEqual([
      expect.stringMatching(/^1: is not JSON/),
    ]);
    expect(await read(file('b4.json', '[{"prompt": "a"}]\n[{"prompt": "b"}]'))).toEqual([
      { prompt: 'a' },
      '2: stands after the end of the list: the file holds more than one value',
    ]);
  });

  test.each([
    ['in a row', '[{"prompt": "a"}, {"prompt": "b', /cut off while it was written/],
    ['after a row', '[{"prompt": "a"}, {"prompt": "b"}', /the file ends inside the list, it was cut off/],
    ['after a comma', '[{"prompt": "a"}, ', /the file ends inside the list, it was cut off/],
    ['at its beginning', '[', /the file ends inside the list, it was cut off/],
  ])('a JSON list that was cut off %s says so', async (_, text, reason) => {
    expect((await read(file('cut.json', text))).at(-1)).toMatch(reason);
  });

  test('a JSON list is never held whole', async () => {
    const path = file('endless.json', `[{"prompt":"a"},{"prompt":"${'x'.repeat(5_000_000)}"},{"prompt":"b"}]`);
    expect(await read(path, { maxRowBytes: 1000 })).toEqual([
      { prompt: 'a' },
      '1: is 5,000,013 bytes long, more than the limit of 1,000 bytes (maxRowBytes)',
      { prompt: 'b' },
    ]);
  });
});

describe('tables', () => {
  const table = '\ufeffprompt,completion\r\n"a ""x"" b","more\r\nlines"\r\n\r\n c ,é\r\n';

  test('quotes, line breaks and empty lines; rows name the line that they begin on', async () => {
    const path = file('t.csv', table);
    expect(await read(path)).toEqual([
      { prompt: 'a "x" b', completion: 'more\r\nlines' },
      { prompt: ' c ', completion: 'é' },
    ]);
    expect((await collect(path)).map(({ where }) => showPlace(where))).toEqual([`${path}:2`, `${path}:5`]);
    expect((await collect(path)).every((row) => 'value' in row && row.cells)).toBe(true);
    expect(await read(file('t.csv.gz', gzipSync(table)))).toEqual(await read(path));
  });

  test('tabs, other separators, and files that quote nothing', async () => {
    expect(await read(file('t.tsv', 'prompt\tn\n"a\tb"\t1\n'))).toEqual([{ prompt: 'a\tb', n: '1' }]);
    expect(await read(file('semicolon.csv', 'prompt;n\na,b;1\n'), { delimiter: ';' })).toEqual([
      { prompt: 'a,b', n: '1' },
    ]);
    expect(await read(file('unquoted.tsv', 'a\tb\n"so\tx\ny\t"z\n'), { quote: null })).toEqual([
      { a: '"so', b: 'x' },
      { a: 'y', b: '"z' },
    ]);
    expect(await read(file('letters.csv', 'a,b\n"c"x,d\ng,h"i\n'))).toEqual([
      { a: '"c"x', b: 'd' },
      { a: 'g', b: 'h"i' },
    ]);
  });

  test('damaged rows leave the others alone', async () => {
    const path = file('bad.csv', Buffer.from('prompt,n\na,1,2\nb\xff,1\nc\0,1\nonly\nd,1\n', 'latin1'));
    expect(await read(path)).toMatchInlineSnapshot(`
      [
        "2: has 3 cells where the first line names 2: a cell with a separator or a line break needs quotes",
        "3: prompt is not UTF-8",
        "4: prompt holds a NUL byte (byte 2 of it): the file is damaged here",
        "5: has 1 cell where the first line names 2: a cell with a separator or a line break needs quotes",
        {
          "n": "1",
          "prompt": "d",
        },
      ]
    `);
  });

  test('a quote that is never closed', async () => {
    const path = file('open.csv', 'prompt,n\na,1\n"b,1\nc,1\n');
    expect(await read(path)).toEqual([
      { prompt: 'a', n: '1' },
      '3: opens a quote that is never closed: the file was cut off, or is no CSV',
    ]);
    const long = file('open-long.csv', `prompt,n\na,1\n"b,1\n${'c,1\n'.repeat(1000)}`);
    expect(await rejection(read(long, { maxRowBytes: 1000 }))).toMatchInlineSnapshot(`
      "A row of this table is longer than the limit.
        where:    ./open-long.csv:3
        expected: at most 1,000 bytes (maxRowBytes)
        remedy:   Look for a quote that is opened there and never closed. A file that does not quote its cells is read with { quote: null }."
    `);
  });

  test.each([
    ['prompt,prompt\na,b\n', 'two columns called "prompt"'],
    ['prompt,\na,b\n', 'no name for column 2'],
    ['prompt,__proto__\na,b\n', 'a column called __proto__'],
  ])('%j does not name its columns', async (text, received) => {
    expect(await rejection(read(file('names.csv', text)))).toContain(`received: ${received}`);
  });
});

describe('Parquet', () => {
  const first = {
    chosen: [
      { role: 'user', content: 'What is 0 + 0?' },
      { role: 'assistant', content: '0 🙂' },
    ],
    rejected: [
      { role: 'user', content: 'What is 0 + 0?' },
      { role: 'assistant', content: 'I do not know.' },
    ],
    margin: 0.5,
    id: 0,
    large: String(2n ** 60n),
    source: 'a',
    when: '2024-01-02T03:04:05.000Z',
    scores: [1.5, 2.5],
    image: null,
  };

  test.each(['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4'])("Arrow's files with %s compression", async (codec) => {
    const found = await collect(join(golden, `preferences.${codec}.parquet`));
    expect(found).toHaveLength(7);
    expect(found.map((row) => 'value' in row && row.value.id)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect('value' in found[0]! && found[0].value).toEqual(first);
    expect('value' in found[1]! && found[1].value.margin).toBeNull();
    expect(found.map(({ where }) => where.row)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  test('inside gzip, and some columns alone', async () => {
    const path = file('p.parquet.gz', gzipSync(readFileSync(join(golden, 'preferences.snappy.parquet'))));
    expect((await read(path, { columns: ['id', 'margin', 'absent'] }))[0]).toEqual({ id: 0, margin: 0.5 });
  });

  test('lists of texts and numbers', async () => {
    expect(await read(join(golden, 'rankings.parquet'))).toEqual([
      { prompt: 'Why?', completions: ['a', 'b', 'c'], ranks: [1, 2, 2] },
      { prompt: 'How?', completions: ['d', 'e', 'f'], ranks: [2, null, 1] },
    ]);
  });

  test('a text that is no UTF-8 costs its row alone', async () => {
    expect(await read(join(golden, 'damaged_text.parquet'))).toEqual([
      { prompt: 'a' },
      '2: prompt is not UTF-8',
      { prompt: 'b' },
    ]);
  });

  test('a damaged file is an error, wherever it is damaged', async () => {
    const whole = readFileSync(join(golden, 'preferences.zstd.parquet'));
    for (const cut of [0, 3, 200, whole.length - 1]) {
      expect(await rejection(read(file('cut.parquet', whole.subarray(0, cut))))).toMatch(
        /^This Parquet file cannot be read/,
      );
    }
    let refused = 0;
    for (let at = 4; at < whole.length; at += 97) {
      const damaged = Buffer.from(whole);
      damaged[at] = damaged[at]! ^ 0xff;
      const message = await rejection(read(file('bits.parquet', damaged)));
      // A changed letter inside a page is a changed letter; anything else must be Nudge's own error.
      if (message !== 'nothing was thrown') expect(message).toMatch(/Parquet file/);
      if (message !== 'nothing was thrown') refused++;
    }
    expect(refused).toBeGreaterThan(0);
  });
});

describe('files that are no datasets', () => {
  test.each([
    ['utf16.jsonl', Buffer.from('\ufeff{"prompt":"a"}\n', 'utf16le'), /UTF-16[\s\S]*iconv/],
    ['lfs.jsonl', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', /Git LFS[\s\S]*git lfs pull/],
    ['page.jsonl', '<!DOCTYPE html><html>', /web page/],
    ['value.json', '3', /no list of rows[\s\S]*begins with "3"/],
    ['data.xyz', '', /name does not say/],
    ['short.jsonl.gz', gzipSync(jsonLines).subarray(0, 60), /archive ends early/],
    ['short.jsonl.zst', zstdCompressSync(jsonLines).subarray(0, 40), /archive ends early/],
    ['damaged.jsonl.gz', Buffer.concat([gzipSync(jsonLines).subarray(0, 40), Buffer.alloc(80)]), /archive is damaged/],
  ])('%s', async (name, contents, message) => {
    expect(await rejection(read(file(name, contents)))).toMatch(message);
  });

  test('a file that is missing, a folder', async () => {
    expect(await rejection(read(join(folder, 'none.jsonl')))).toMatch(
      /Could not open[\s\S]*ENOENT[\s\S]*Check the path/,
    );
    expect(await rejection(read(folder, { kind: 'jsonl' }))).toMatch(/folder, not a file/);
    expect(await rejection(read(folder, { kind: 'parquet' }))).toMatch(/folder, not a file/);
  });
});
