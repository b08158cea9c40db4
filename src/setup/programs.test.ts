/** The parts of set-up that start real programs: the two Python scripts, the runner, the command line. */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jobCount } from './addon.mjs';
import { headerFolder } from './headers.mjs';
import { run } from './run.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const BOOTSTRAP = join(HERE, '..', '..', 'scripts', 'bootstrap.mjs');

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'nudge-programs-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Runs a Python script of set-up. */
function python(script: string, args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
  const { status, stdout, stderr } = spawnSync('python3', [join(HERE, script), ...args], {
    encoding: 'utf8',
    ...options,
  });
  return { status, stdout, stderr };
}

describe('unpack_wheel.py', () => {
  const makeWheel = (damage = '') => {
    const folder = mkdtempSync(join(dir, 'wheel-'));
    return python('testing/make_wheel.py', [folder, '2.13.0', 'cpu', damage]).stdout.trim();
  };
  const unpack = (wheel: string) => {
    const site = join(mkdtempSync(join(dir, 'site-')), 'site');
    return { site, ...python('unpack_wheel.py', [wheel, site]) };
  };

  test('unpacks libraries, headers and metadata, and nothing else', () => {
    const { status, site, stdout } = unpack(makeWheel());
    expect(status).toBe(0);
    expect(readdirSync(join(site, 'torch')).sort()).toEqual(['include', 'lib', 'version.py']);
    expect(readdirSync(join(site, 'torch', 'lib'))).not.toContain('libtorch_python.so');
    expect(existsSync(join(site, 'torch-2.13.0.dist-info', 'METADATA'))).toBe(true);
    expect(stdout).toMatch(/^progress (\d+) \1\n$/);
  });

  test.each([
    ['content', /the checksum of torch\/lib\/libtorch_cpu\.so does not match/],
    ['missing', /it lacks 1 of its files, for example torch\/lib\/libc10\.so/],
    ['outside', /it would write outside its folder/],
    ['truncated', /not a zip file/],
  ])('refuses a wheel with damage: %s', (damage, message) => {
    const { status, stderr } = unpack(makeWheel(damage));
    expect(status).toBe(3);
    expect(stderr).toMatch(message);
    expect(existsSync(join(dir, 'outside'))).toBe(false);
  });

  test.skipIf(!existsSync('/dev/full'))('says that the disk is full', () => {
    const script = [
      'import builtins, runpy, sys',
      'real = open',
      'builtins.open = lambda path, mode="r", *rest: real("/dev/full" if mode == "wb" else path, mode, *rest)',
      `sys.argv = ["unpack_wheel.py", ${JSON.stringify(makeWheel())}, ${JSON.stringify(join(dir, 'full'))}]`,
      `runpy.run_path(${JSON.stringify(join(HERE, 'unpack_wheel.py'))}, run_name="__main__")`,
    ].join('\n');
    const { status, stderr } = spawnSync('python3', ['-c', script], { encoding: 'utf8' });
    expect({ status, stderr }).toMatchObject({ status: 4, stderr: expect.stringContaining('No space left on device') });
  });
});

describe('probe.py', () => {
  const site = () => {
    const folder = mkdtempSync(join(dir, 'python-'));
    mkdirSync(join(folder, 'torch'));
    writeFileSync(join(folder, 'torch', '__init__.py'), 'raise SystemExit("torch was imported")');
    return folder;
  };

  test('finds an installed torch without importing it', () => {
    const folder = site();
    const { status, stdout } = python('probe.py', [], { env: { ...process.env, PYTHONPATH: folder } });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      torch: join(folder, 'torch'),
      version: expect.stringMatching(/^3\.\d+\.\d+/),
    });
  });

  test('does not take a folder of the working directory for it', () => {
    const folder = site();
    const { stdout } = python('probe.py', [], { cwd: folder });
    expect(JSON.parse(stdout).torch).not.toBe(join(folder, 'torch'));
  });
});

describe('run', () => {
  test('gives the exit code, the lines and the output of both streams', async () => {
    const lines: string[] = [];
    const result = await run('sh', ['-c', 'echo one; echo two >&2; printf three; exit 3'], {
      onLine: (line) => lines.push(line),
    });
    expect(result).toMatchObject({ code: 3, missing: false });
    expect(lines.sort()).toEqual(['one', 'three', 'two']);
  });

  test('a program that does not exist', async () => {
    expect(await run('nudge-no-such-program', [])).toMatchObject({ code: 127, missing: true });
  });

  test('a program that a signal ended', async () => {
    expect(await run('sh', ['-c', 'kill -SEGV $$'])).toMatchObject({ code: 139 });
  });
});

describe('npm run setup', () => {
  const bootstrap = (args: string[], env: NodeJS.ProcessEnv = {}) =>
    spawnSync(process.execPath, [BOOTSTRAP, ...args], {
      encoding: 'utf8',
      cwd: join(HERE, '..', '..'),
      env: { ...process.env, ...env },
    });

  test('--help says what it does', () => {
    const { status, stdout } = bootstrap(['--help']);
    expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining('NUDGE_TORCH') });
  });

  test('an unknown option is bad input', () => {
    const { status, stderr } = bootstrap(['--gpu']);
    expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.stringContaining('received: --gpu') });
  });

  test('--json prints the error as one object', () => {
    const { status, stdout } = bootstrap(['--json'], { NUDGE_CACHE: 'relative' });
    expect(status).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      error: { code: 'BAD_OPTION', path: 'environment variable NUDGE_CACHE' },
    });
  });

  test('imports nothing that has to be installed', () => {
    const sources = readdirSync(HERE)
      .filter((name) => name.endsWith('.mjs'))
      .map((name) => join(HERE, name));
    const imports = execFileSync('grep', ['-hoE', "from '[^']+'", ...sources, BOOTSTRAP], { encoding: 'utf8' });
    for (const line of new Set(imports.trim().split('\n'))) expect(line).toMatch(/^from '(node:|\.\/)/);
  });
});

describe('the build', () => {
  test('compiles at most one source per core and 1.5 GB of memory', () => {
    expect(jobCount({ cores: 8, memory: 4e9, env: {} } as never)).toBe(2);
    expect(jobCount({ cores: 2, memory: 64e9, env: {} } as never)).toBe(2);
    expect(jobCount({ cores: 2, memory: 1e9, env: {} } as never)).toBe(1);
    expect(jobCount({ cores: 2, memory: 1e9, env: { NUDGE_BUILD_JOBS: '4' } } as never)).toBe(4);
  });

  test('finds the headers of the Node that runs, or leaves them to node-gyp', () => {
    const headers = headerFolder(process.execPath);
    if (headers !== null) expect(existsSync(join(headers, 'include', 'node', 'node_api.h'))).toBe(true);
  });
});
