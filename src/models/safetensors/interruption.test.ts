/** `kill -9` in the middle of a save: what is on the disk afterwards is the old model or the new one, or an error says so. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NudgeError } from '../../errors.ts';
import { openSafetensors } from './reader.ts';
import { temporaryDirectory } from './testing.ts';
import { writeSafetensors } from './write.ts';

const ROUNDS = 6;
const TENSORS = 4;
const SIZE = 2_000_000;

/** Every byte of every tensor is the version's number, so that a mixture shows. */
const version = (number: number) =>
  Array.from({ length: TENSORS }, (_, i) => {
    return [`layers.${i}`, { dtype: 'U8', shape: [SIZE], bytes: Buffer.alloc(SIZE, number) }] as const;
  });

const CHILD = `
  const { writeSafetensors } = await import(${JSON.stringify(new URL('./write.ts', import.meta.url).href)});
  const [path, options] = [process.env.TARGET, JSON.parse(process.env.OPTIONS)];
  for (let number = 1; ; number = (number % 200) + 1) {
    const bytes = Buffer.alloc(${SIZE}, number);
    const tensors = Array.from({ length: ${TENSORS} }, (_, i) => ['layers.' + i, { dtype: 'U8', shape: [${SIZE}], bytes }]);
    await writeSafetensors(path, tensors, options);
    process.stdout.write('saved\\n');
  }`;

/** Saves version after version in a process of its own, which is killed some time after its first save. */
async function saveUntilKilled(path: string, options: object, delay: number): Promise<void> {
  const env = { ...process.env, TARGET: path, OPTIONS: JSON.stringify(options) };
  const child = spawn(process.execPath, ['--input-type=module', '-e', CHILD], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  await new Promise((resolve) => setTimeout(resolve, delay));
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  expect((await exited)[1]).toBe('SIGKILL');
}

/** The number of the version on the disk; throws when tensors are missing, damaged or of different versions. */
async function versionAt(path: string): Promise<number> {
  await using model = await openSafetensors(path);
  expect(model.names).toHaveLength(TENSORS);
  const tensors = await Promise.all(model.names.map((name) => model.read(name)));
  const number = tensors[0]?.[0] ?? Number.NaN;
  for (const tensor of tensors) expect(Buffer.alloc(SIZE, number).equals(tensor)).toBe(true);
  return number;
}

describe('a process that is killed while it saves', () => {
  it('leaves one whole version of a single file', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    let interrupted = 0;
    for (let round = 0; round < ROUNDS; round++) {
      await saveUntilKilled(path, { overwrite: true }, 5 + round * 7);
      expect(await versionAt(path)).toBeGreaterThan(0);
      interrupted +=
        (await readdir(directory.path)).filter((name) => name.endsWith('.tmp')).length > interrupted ? 1 : 0;
    }
    // Temporary files left behind prove that saves were cut short, and hinder nothing.
    expect(interrupted).toBeGreaterThan(0);
    await writeSafetensors(path, version(201), { overwrite: true });
    expect(await versionAt(path)).toBe(201);
  });

  it('leaves one whole version in shards, or a directory that does not open', async () => {
    await using directory = await temporaryDirectory();
    const options = { overwrite: true, maxShardBytes: SIZE };
    for (let round = 0; round < ROUNDS; round++) {
      await saveUntilKilled(join(directory.path, 'model.safetensors'), options, 5 + round * 7);
      const found = await versionAt(directory.path).catch((error: unknown) => error);
      if (found instanceof NudgeError) expect(found.message).toMatch(/This directory holds no safetensors model/);
      else expect(found).toEqual(expect.any(Number));
    }
  });
});
