/** `nudge generate` as a program, over a tiny model: what it writes, and that no death costs or doubles a row. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Engine } from '../generate/index.ts';
import { kernels } from '../nn/index.ts';
import { openPretrained } from '../pretrained/index.ts';
import { renderChat } from '../text/index.ts';
import { BIN, nudge, saveTinyModel, temporaryFolder } from './testing/tiny.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder.path, name);
const tiny = at('tiny');
beforeAll(async () => {
  await saveTinyModel(tiny);
  await saveTinyModel(at('base'), { template: false });
  writeFileSync(
    at('few.jsonl'),
    '{"prompt": "One", "id": "first"}\n{"prompt": [{"role": "user", "content": "Two"}]}\n',
  );
  writeFileSync(
    at('many.txt'),
    Array.from({ length: 150 }, (_, i) => `Question number ${i}: ${'why '.repeat(i % 9)}`).join('\n'),
  );
});
afterAll(() => folder[Symbol.dispose]());

interface Row {
  [field: string]: unknown;
  promptIndex: number;
  sampleIndex: number;
  completion: string;
  tokens: number;
  logprob: number;
  seed: number;
  ids: number[];
  logprobs: number[];
}

function rowsOf(name: string): Row[] {
  return readFileSync(at(name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);
}

const generate = (model: string, prompts: string, out: string, ...args: string[]) =>
  nudge(['generate', model, '--prompts', at(prompts), '--out', at(out), ...args]);

describe('nudge generate', () => {
  test('--help has examples', async () => {
    const { code, stdout } = await nudge(['generate', '--help']);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('Examples:\n  nudge generate') });
  });

  test('writes a row a completion, in the order of the prompts, which the model would draw again', async () => {
    const options = ['-n', '3', '--max-tokens', '12', '--temperature', '0.8', '--top-k', '50', '--seed', '11', '--ids'];
    const { code, stdout } = await generate(tiny, 'few.jsonl', 'few.out', ...options, '--system', 'Be odd.', '--json');
    expect(code).toBe(0);
    const rows = rowsOf('few.out');
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      out: at('few.out'),
      prompts: 2,
      completions: 6,
      before: 0,
      tokens: rows.reduce((sum, { tokens }) => sum + tokens, 0),
    });
    expect(rows.map(({ promptIndex, sampleIndex }) => [promptIndex, sampleIndex])).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
    ]);
    const parameters = { n: 3, temperature: 0.8, topK: 50, topP: 1, maxTokens: 12, seed: 11, system: 'Be odd.' };
    expect(rows[0]).toMatchObject({ id: 'first', model: { name: tiny, dtype: 'float32' }, parameters });
    expect(rows[3]).not.toHaveProperty('id');
    // A string is what the user says; the row holds what the model was asked.
    expect(rows[0]!.prompt).toEqual([
      { role: 'system', content: 'Be odd.' },
      { role: 'user', content: 'One' },
    ]);

    using opened = await openPretrained(tiny);
    const { model, tokenizer } = opened;
    using engine = new Engine(model, { tokenizer, stopIds: tokenizer.eosIds });
    for (const row of rows.filter(({ sampleIndex }) => sampleIndex === 0)) {
      const promptIds = renderChat(tokenizer, row.prompt as { role: string; content: string }[]).ids;
      const { seed } = row;
      const again = await engine.generate({ promptIds, n: 3, maxTokens: 12, temperature: 0.8, topK: 50, seed });
      for (const { index, ids, text, finishReason } of again) {
        const written = rows.find((other) => other.promptIndex === row.promptIndex && other.sampleIndex === index)!;
        expect(written).toMatchObject({ ids, completion: text, finishReason, tokens: ids!.length });
        expect(written.logprobs).toHaveLength(ids!.length);
        expect(written.logprob).toBeCloseTo(written.logprobs.reduce((sum, value) => sum + value));
      }
    }
    expect(new Set(rows.map(({ completion }) => completion)).size).toBe(6);
  });

  test('goes on with strings as they stand where --raw says so, or the model has no chat template', async () => {
    await generate(tiny, 'few.jsonl', 'raw.out', '--raw', '--max-tokens', '4');
    expect(rowsOf('raw.out').map(({ prompt }) => prompt)).toEqual(['One', [{ role: 'user', content: 'Two' }]]);
    const { code, stderr } = await generate(at('base'), 'few.jsonl', 'base.out');
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /1 of 2 prompts cannot be used[\s\S]*few\.jsonl:2: is a list of messages, and the model has no/,
    );
    expect(existsSync(at('base.out'))).toBe(false);
  });

  test('tells bad rows before a model is opened, and prompts that are too long before anything is generated', async () => {
    writeFileSync(at('bad.jsonl'), '{"prompt": "One"}\n{"prompt": 1}\n');
    const bad = await generate(at('no-such-model'), 'bad.jsonl', 'bad.out');
    expect(bad).toMatchObject({ code: 2, stderr: expect.stringMatching(/bad\.jsonl:2: prompt/) });
    writeFileSync(at('long.txt'), `One\n${'1 2 3 4 '.repeat(100)}\n`);
    const long = await generate(tiny, 'long.txt', 'long.out', '--max-tokens', '200');
    expect(long.code).toBe(2);
    expect(long.stderr).toMatch(
      /long\.txt:2: is \d+ tokens long; the model takes 56, which leaves room for --max-tokens/,
    );
    expect(existsSync(at('long.out'))).toBe(false);
  });

  test('never writes over the prompts, or a file that is not its own', async () => {
    writeFileSync(at('mine.jsonl'), '{"prompt": "One"}\n');
    for (const force of [[], ['--force']]) {
      const { code, stderr } = await generate(tiny, 'mine.jsonl', 'mine.jsonl', ...force);
      expect({ code, stderr }).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/did not write it|are the prompts/),
      });
      expect(readFileSync(at('mine.jsonl'), 'utf8')).toBe('{"prompt": "One"}\n');
    }
  });

  test.each([
    [['-n', '0'], /whole number from 1/],
    [['--top-p', '0'], /where: {4}topP\n {2}expected: a number above 0, up to 1/],
    [['--map', 'prompt'], /not a field mapping/],
    [['--prompts', '/nowhere/prompts.jsonl'], /no such file of prompts/],
  ])('%s is bad input', async (args, message) => {
    const { code, stderr } = await generate(tiny, 'few.jsonl', 'refused.out', ...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});

describe('kill -9', () => {
  const OPTIONS = ['-n', '2', '--max-tokens', '40', '--seed', '3', '--batch', '16'];

  /** Runs until the file has this many bytes, and no longer. @returns whether it was killed. */
  async function runUntil(out: string, bytes: number): Promise<boolean> {
    const child = spawn(
      process.execPath,
      [BIN, 'generate', tiny, '--prompts', at('many.txt'), '--out', at(out), ...OPTIONS],
      { env: { ...process.env, OMP_NUM_THREADS: '1' }, stdio: 'ignore' },
    );
    const ended = new Promise<NodeJS.Signals | null>((resolve) => child.on('close', (_, signal) => resolve(signal)));
    const watch = setInterval(() => {
      if ((statSync(at(out), { throwIfNoEntry: false })?.size ?? 0) >= bytes) child.kill('SIGKILL');
    }, 1);
    const signal = await ended;
    clearInterval(watch);
    return signal === 'SIGKILL';
  }

  test('at any moment costs no row and doubles none', async ({ skip }) => {
    if (kernels.linearRows('float32') === 0) {
      skip('without kernels for this processor a row depends on what is computed beside it');
    }
    expect((await generate(tiny, 'many.txt', 'whole.out', ...OPTIONS)).code).toBe(0);
    const whole = readFileSync(at('whole.out'));
    expect(rowsOf('whole.out')).toHaveLength(300);

    let kills = 0;
    for (const share of [0, 0.37]) {
      // At 0 bytes it dies as soon as the file is there.
      if (await runUntil('killed.out', Math.floor(share * whole.length))) kills++;
      const size = statSync(at('killed.out'), { throwIfNoEntry: false })?.size ?? 0;
      expect(size).toBeLessThan(whole.length);
    }
    expect(kills).toBe(2);
    // And torn within a row, as a power cut leaves it.
    const torn = readFileSync(at('killed.out'));
    writeFileSync(at('killed.out'), torn.subarray(0, torn.length - 33));
    const { code, stdout } = await generate(tiny, 'many.txt', 'killed.out', ...OPTIONS);
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/300 completions, \d+ of them from before/),
    });
    expect(readFileSync(at('killed.out')).equals(whole)).toBe(true);
    expect(existsSync(at('killed.out.lock'))).toBe(false);

    const again = await generate(tiny, 'many.txt', 'killed.out', ...OPTIONS);
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('has all 300 completions already') });
    const other = await generate(tiny, 'many.txt', 'killed.out', ...OPTIONS, '--temperature', '0.5');
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('expected: temperature: 1') });
    writeFileSync(at('many.txt'), 'Another question\n', { flag: 'a' });
    const prompts = await generate(tiny, 'many.txt', 'killed.out', ...OPTIONS);
    expect(prompts).toMatchObject({ code: 2, stderr: expect.stringContaining('the prompts: other ones') });
    expect(readFileSync(at('killed.out')).equals(whole)).toBe(true);
    rmSync(at('killed.out'));
  }, 120_000);
});
