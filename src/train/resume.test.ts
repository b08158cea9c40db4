/** A trainer in a process of its own, killed without warning: called again, it ends as if nothing had happened. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { Draws } from './random.ts';
import { temporaryDirectory, timeless } from './testing/index.ts';

interface Event {
  type: string;
  step?: number;
  text?: string;
}

function start(directory: string): { child: ChildProcess; ended: Promise<number | null>; events: Event[] } {
  const script = join(import.meta.dirname, 'testing/sft-child.ts');
  const child = spawn(process.execPath, [script, directory], {
    env: { ...process.env, OMP_NUM_THREADS: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const events: Event[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => events.push(JSON.parse(line)));
  return { child, events, ended: new Promise((resolve) => child.on('close', (code) => resolve(code))) };
}

/** Everything that a run leaves which no clock has touched. */
function outcome(directory: string) {
  const read = (name: string) => readFileSync(join(directory, 'adapter', name));
  return {
    weights: read('adapter_model.safetensors'),
    config: read('adapter_config.json'),
    metrics: timeless(directory),
  };
}

test('kill -9 at any moment', { timeout: 120_000 }, async () => {
  await using whole = await temporaryDirectory();
  const uninterrupted = start(whole.path);
  const begun = performance.now();
  expect(await uninterrupted.ended).toBe(0);
  const duration = performance.now() - begun;
  const expected = outcome(whole.path);
  expect(expected.metrics.length).toBeGreaterThan(40);

  await using broken = await temporaryDirectory();
  const draws = new Draws(Date.now());
  const resumedFrom: string[] = [];
  // Kills at moments drawn at random, each in a process that goes on from the one before; some come before the first checkpoint.
  for (let kill = 0; kill < 6; kill++) {
    const { child, ended, events } = start(broken.path);
    const timer = setTimeout(() => child.kill('SIGKILL'), duration * (0.3 + 0.5 * draws.uniform()));
    const code = await ended;
    clearTimeout(timer);
    resumedFrom.push(...events.flatMap(({ type, text = '' }) => (type === 'note' ? text : [])));
    if (code === 0) break;
  }
  const { ended, events } = start(broken.path);
  expect(await ended).toBe(0);
  expect(outcome(broken.path)).toEqual(expected);
  expect(events.at(-1)!.type).toBe('result');
  expect(resumedFrom.some((text) => text.startsWith('Going on from step'))).toBe(true);
});
