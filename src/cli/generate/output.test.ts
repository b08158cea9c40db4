import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../testing/tiny.ts';
import { OutputFile, type OutputOptions, prepareOutput } from './output.ts';

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
let path = '';
let count = 0;
beforeEach(() => {
  path = join(folder.path, `out-${count++}.jsonl`);
});

const identity = { run: 'abc', model: { name: 'm' }, parameters: { n: 2, temperature: 1 } };
const options: OutputOptions = { n: 2, prompts: 3, identity, force: false };
const group = (promptIndex: number) =>
  [0, 1].map((sampleIndex) => ({ ...identity, promptIndex, sampleIndex, text: 'héllo\n' }));

/** Goes on from wherever the file is, to the end. @returns where it went on. */
async function finish(): Promise<number> {
  const file = await OutputFile.open(path, options);
  for (let prompt = file.done; prompt < 3; prompt++) await file.append(group(prompt));
  await file.close();
  return file.done;
}

describe('a file of completions', () => {
  test('goes on behind the last whole group, wherever it was cut off', async () => {
    expect(await finish()).toBe(0);
    const whole = readFileSync(path);
    const lineEnds = [...whole.entries()].flatMap(([at, byte]) => (byte === 10 ? [at + 1] : []));
    expect(lineEnds).toHaveLength(6);
    for (let cut = whole.length; cut >= 0; cut -= 23) {
      writeFileSync(path, whole.subarray(0, cut));
      const rows = lineEnds.filter((end) => end <= cut).length;
      expect(await finish()).toBe(Math.floor(rows / 2));
      expect(readFileSync(path).equals(whole)).toBe(true);
    }
  });

  test('goes on where a power cut left zeros', async () => {
    await finish();
    const whole = readFileSync(path);
    truncateSync(path, whole.length - 20);
    appendFileSync(path, Buffer.alloc(20));
    expect(await finish()).toBe(2);
    expect(readFileSync(path).equals(whole)).toBe(true);
    writeFileSync(path, Buffer.alloc(100));
    expect(await finish()).toBe(0);
  });

  test('is left alone where it was begun with other parameters, another model or other prompts', async () => {
    await finish();
    const whole = readFileSync(path);
    const parameters = { ...identity.parameters, temperature: 0.5, stop: ['x'] };
    const open = (changed: object) =>
      OutputFile.open(path, { ...options, identity: { ...identity, run: 'other', ...changed } });
    await expect(open({ parameters })).rejects.toThrow(
      /expected: temperature: 1, stop: not set\s+received: temperature: 0\.5, stop: \["x"\]/,
    );
    await expect(open({ model: { name: 'other' } })).rejects.toThrow(/expected: name: "m"\s+received: name: "other"/);
    await expect(open({})).rejects.toThrow(/the prompts: other ones/);
    expect(readFileSync(path).equals(whole)).toBe(true);
  });

  test('starts over with force', async () => {
    writeFileSync(path, 'precious\n');
    await expect(prepareOutput(path, false)).rejects.toThrow(/`nudge generate` did not write it/);
    await expect(OutputFile.open(path, options)).rejects.toThrow(/did not write it/);
    const file = await OutputFile.open(path, { ...options, force: true });
    expect(file.done).toBe(0);
    await file.append(group(0));
    await file.close();
    await expect(prepareOutput(path, false)).resolves.toBeUndefined();
  });

  test('is refused where a row before the end is damaged, missing or too many', async () => {
    await finish();
    const lines = readFileSync(path, 'utf8').split('\n');
    for (const changed of [
      lines.with(2, `${lines[2]!.slice(0, -5)}`),
      lines.toSpliced(3, 1),
      lines.toSpliced(3, 0, lines[2]!),
      [...lines.slice(0, -1), ...lines],
    ]) {
      writeFileSync(path, changed.join('\n'));
      await expect(OutputFile.open(path, options)).rejects.toThrow(/damaged, or was changed[\s\S]*out-\d+\.jsonl:\d/);
    }
  });

  test('without a line end is torn if it begins as ours do, and foreign otherwise', async () => {
    writeFileSync(path, '{"run":"abc","prom');
    await expect(prepareOutput(path, false)).resolves.toBeUndefined();
    writeFileSync(path, '{"r');
    await expect(prepareOutput(path, false)).resolves.toBeUndefined();
    writeFileSync(path, 'notes of mine');
    await expect(prepareOutput(path, false)).rejects.toThrow(/did not write it/);
    await expect(prepareOutput(folder.path, true)).rejects.toThrow(/go into a file/);
    await expect(prepareOutput(join(path, 'below.jsonl'), false)).rejects.toThrow(/could not be written/);
  });
});
