/** Pulls in processes of their own: killed in the middle, and two at once. */

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { cacheFolders, entryName, sizeOf } from './cache.ts';
import type { ResolvedModel } from './resolve.ts';
import { resolveModel } from './resolve.ts';
import { COMMIT, ID, NEEDED, World } from './testing/world.ts';

const WEIGHTS = 'model.safetensors';

/** Starts a pull; `ended` has its exit code (null when killed) and what it printed. */
function startPull(world: World) {
  const script = join(import.meta.dirname, 'testing', 'pull-child.ts');
  const child = spawn(process.execPath, [script, ID], { env: world.env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, stdout, stderr })),
  );
  return { child, ended };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await sleep(10);
  expect(condition()).toBe(true);
}

test('after kill -9 nothing counts as complete, and the next pull fetches only what is missing', async () => {
  await using world = await World.create();
  const partial = join(cacheFolders(world).partial, entryName(ID, COMMIT));
  world.hub.fault = ({ host, path }) =>
    host === 'cdn' && path.endsWith(WEIGHTS) ? { after: 100_000, cut: 'stall' } : undefined;
  const { child, ended } = startPull(world);
  const small = NEEDED.filter((path) => path !== WEIGHTS);
  await until(
    () =>
      small.every((path) => existsSync(join(partial, path))) &&
      (sizeOf(join(partial, `${WEIGHTS}.part`)) ?? 0) > 50_000,
  );
  child.kill('SIGKILL');
  expect((await ended).code).toBe(null);
  expect(world.names('models')).toEqual([]);

  world.hub.fault = () => undefined;
  world.hub.seen.length = 0;
  const there = statSync(join(partial, `${WEIGHTS}.part`)).size;
  const model = await resolveModel(ID, { env: world.env });
  expect(model.source).toBe('hub');
  for (const path of NEEDED) expect(readFileSync(join(model.path, path)).equals(world.content(path)), path).toBe(true);
  // The dead owner's lock was no obstacle, and of the files only the rest of one was fetched.
  expect(
    world.hub.seen
      .filter(({ path }) => path.includes('/resolve/') || path.startsWith(`/${ID}`))
      .map(({ path, range }) => [path.split('/').at(-1), range]),
  ).toEqual([
    [WEIGHTS, `bytes=${there}-`],
    [WEIGHTS, `bytes=${there}-`],
  ]);
  expect(readdirSync(cacheFolders(world).locks)).toEqual([]);
});

test('of two at once one fetches, the other waits for it and says so', async () => {
  await using world = await World.create();
  world.hub.fault = ({ host, path }) => (host === 'cdn' && path.endsWith(WEIGHTS) ? { slow: 60 } : undefined);
  const first = startPull(world);
  await until(() => world.hub.requests(`/${WEIGHTS}`).length > 0);
  const second = startPull(world);
  const [one, two] = await Promise.all([first.ended, second.ended]);
  expect([one.code, two.code]).toEqual([0, 0]);
  expect(two.stderr).toContain(`another process (${first.child.pid}) is fetching this model; waiting for it`);
  const [a, b] = [one, two].map(({ stdout }) => JSON.parse(stdout) as ResolvedModel);
  expect([a?.source, b?.source]).toEqual(['hub', 'cache']);
  expect(a?.path).toBe(b?.path);
  expect(world.hub.requests(`/${WEIGHTS}`).filter(({ host }) => host === 'cdn')).toHaveLength(1);
});

test('two calls in one process share one download too', async () => {
  await using world = await World.create();
  const models = await Promise.all([resolveModel(ID, { env: world.env }), resolveModel(ID, { env: world.env })]);
  expect(models.map(({ source }) => source).sort()).toEqual(['cache', 'hub']);
  expect(world.hub.requests(`/${WEIGHTS}`).filter(({ host }) => host === 'cdn')).toHaveLength(1);
});
