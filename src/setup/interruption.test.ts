/** Killed anywhere, set-up leaves nothing half-done that a later one could take for whole; two at once do not clash. */

import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { locateEngine } from './engine.mjs';
import { isAlive, processStart, withLock } from './lock.mjs';
import { setUp } from './setup.mjs';
import { World } from './testing/world.ts';

const SET_UP_HERE = join(dirname(fileURLToPath(import.meta.url)), 'testing', 'set_up_here.mjs');
/** Leaves something half-done, says so by its process id in the file `mark`, and never ends. */
const HANG = 'echo $$ > "$MARK"; exec sleep 60';

const STUB_PYTHON = `#!/bin/sh
case "$*" in
  *probe.py*) echo '{"version":"3.11.7","executable":"python3","pip":"24.0","torch":null}' ;;
  *"pip download"*)
    if [ "$STAGE" = download ]; then echo half > part; ${HANG}; fi
    mkdir -p wheel && echo wheel > wheel/torch-2.13.0-test.whl ;;
  *unpack_wheel.py*)
    mkdir -p "$3/torch/lib" "$3/torch/include/ATen"
    echo half > "$3/torch/lib/libtorch_cpu.so"; echo c10 > "$3/torch/lib/libc10.so"
    echo "__version__ = '2.13.0'" > "$3/torch/version.py"
    if [ "$STAGE" = unpack ]; then ${HANG}; fi ;;
esac
`;
const STUB_GYP = `
const { mkdirSync, writeFileSync } = require('node:fs');
if (process.argv[2] === 'build') {
  mkdirSync('build/Release', { recursive: true });
  writeFileSync('build/Release/nudge.node', 'half');
  writeFileSync(process.env.MARK, String(process.pid));
  setInterval(() => {}, 1000);
}
`;

let world: World;
let mark: string;
const started: ChildProcess[] = [];
beforeEach(() => {
  world = new World();
  mark = join(world.dir, 'mark');
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  world[Symbol.dispose]();
});

/** Starts a set-up in a process of its own and waits until it hangs in the given stage. */
async function hangingIn(
  stage: 'download' | 'unpack' | 'build',
): Promise<{ child: ChildProcess; workerEnded: () => Promise<void> }> {
  const programs = { python3: STUB_PYTHON, make: '#!/bin/sh\n', 'g++': '#!/bin/sh\ncat > /dev/null\n' };
  for (const [name, script] of Object.entries(programs)) chmodSync(world.write(`bin/${name}`, script), 0o755);
  world.write('package/node_modules/node-gyp/bin/node-gyp.js', STUB_GYP);
  const env = { ...world.env, PATH: `${join(world.dir, 'bin')}:${process.env.PATH}`, STAGE: stage, MARK: mark };
  const child = spawn(process.execPath, [SET_UP_HERE], { cwd: world.root, env, stdio: 'ignore' });
  started.push(child);
  await until(() => existsSync(mark) && readFileSync(mark, 'utf8').trim() !== '');
  const worker = Number(readFileSync(mark, 'utf8'));
  const start = processStart(worker);
  return { child, workerEnded: () => until(() => !isAlive(worker, start)) };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('it did not happen within 5 s');
}

const exit = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => child.on('exit', (code) => resolve(code)));
const engine = () => locateEngine({ env: world.env, cwd: world.root, root: world.root, platform: 'linux' });

describe.each(['download', 'unpack', 'build'] as const)('in the %s', (stage) => {
  test('kill -9: no half result is used, the orphan is ended, the next set-up works', async () => {
    const { child, workerEnded } = await hangingIn(stage);
    child.kill('SIGKILL');
    await exit(child);
    expect(world.cached('torch')).toEqual(stage === 'build' ? ['2.13.0-cpu-linux-x64'] : []);
    expect(world.cached('addon')).toEqual([]);
    expect(engine).toThrow(/not been set up/);

    await setUp(world.context());
    expect(readFileSync(engine().addon, 'utf8')).toBe('an addon');
    expect(world.cached('temporary')).toEqual([]);
    await workerEnded();
  });

  test('Ctrl-C: ends the child, cleans up and exits with 130', async () => {
    const { child, workerEnded } = await hangingIn(stage);
    const code = exit(child);
    child.kill('SIGINT');
    expect(await code).toBe(130);
    expect(world.cached('temporary')).toEqual([]);
    expect(existsSync(join(world.cache, 'setup.lock'))).toBe(false);
    await workerEnded();
  });
});

describe('two set-ups at once', () => {
  test('the second waits, says so, and finds everything done', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    world.play(/node-gyp\.js configure/, async () => {
      await gate;
      return {};
    });
    const first = setUp(world.context());
    await until(() => world.calls(/node-gyp\.js configure/).length > 0);
    const second = setUp(world.context());
    await until(() => world.printed.includes(`Waiting: another set-up (process ${process.pid}`));
    release();
    expect((await first).changed).toBe(true);
    expect((await second).changed).toBe(false);
    expect(world.calls(/pip download/)).toHaveLength(1);
  });
});

describe('the lock', () => {
  const path = () => join(world.dir, 'test.lock');
  const owned = (owner: object) => {
    mkdirSync(path());
    writeFileSync(
      join(path(), 'owner.json'),
      JSON.stringify({ host: 'elsewhere', start: null, children: [], ...owner }),
    );
  };
  const host = async () => (await import('node:os')).hostname();

  test('is exclusive among many', async () => {
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inside--;
    };
    await Promise.all(Array.from({ length: 5 }, () => withLock(path(), work)));
    expect(most).toBe(1);
  });

  test('of a process that is gone is taken over', async () => {
    owned({ pid: 2 ** 22 + 1, host: await host() });
    expect(await withLock(path(), async () => 'done')).toBe('done');
  });

  test('of a process whose id now belongs to another is taken over', async () => {
    owned({ pid: process.pid, host: await host(), start: 'long ago' });
    expect(await withLock(path(), async () => 'done')).toBe('done');
  });

  test('of a living machine elsewhere is respected until it is silent for two minutes', async () => {
    owned({ pid: 1 });
    let waited = false;
    const work = withLock(
      path(),
      async () => 'done',
      () => {
        waited = true;
      },
    );
    await until(() => waited);
    const { utimesSync } = await import('node:fs');
    const past = new Date(Date.now() - 121_000);
    utimesSync(path(), past, past);
    expect(await work).toBe('done');
  });

  test('is given back when the work fails', async () => {
    await expect(withLock(path(), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(existsSync(path())).toBe(false);
  });
});
