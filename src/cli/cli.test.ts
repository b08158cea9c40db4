import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { InvariantError, NudgeError } from '../errors.ts';
import { reportError } from './report.ts';

const BIN = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'bin', 'nudge.js');
/** A cache in which nothing is set up. */
const emptyCache = mkdtempSync(join(tmpdir(), 'nudge-empty-'));
afterAll(() => rmSync(emptyCache, { recursive: true, force: true }));

function nudge(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...args], {
    encoding: 'utf8',
    env: { ...process.env, NUDGE_CACHE: emptyCache, NUDGE_TORCH: '' },
  });
  return { status, stdout, stderr };
}

describe('nudge', () => {
  test('--help lists the commands and the exit codes', () => {
    const { status, stdout } = nudge('--help');
    expect(status).toBe(0);
    expect(stdout).toMatch(/setup[\s\S]*doctor[\s\S]*Exit codes: 0 ok, 1 failed, 2 bad input/);
  });

  test.each(['setup', 'doctor'])('%s --help has examples', (command) => {
    const { status, stdout } = nudge(command, '--help');
    expect({ status, stdout }).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(`Examples:\n  nudge ${command}`),
    });
  });

  test('an unknown command or option is bad input', () => {
    expect(nudge('tain')).toMatchObject({ status: 2, stderr: expect.stringContaining("unknown command 'tain'") });
    expect(nudge('doctor', '--jsn')).toMatchObject({ status: 2, stderr: expect.stringContaining('--json') });
  });

  test('with --json a usage error is one object on stdout and nothing on stderr', () => {
    const { status, stdout, stderr } = nudge('tain', '--json');
    expect({ status, stderr }).toEqual({ status: 2, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { code: 'BAD_ARGUMENT' } });
  });

  test('setup hands its options on', () => {
    expect(nudge('setup', '--cpu', '--cuda')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('exclude each other'),
    });
  });

  test('a reader that closes the pipe early is no failure', async () => {
    const child = spawn(process.execPath, [BIN, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.on('data', (text) => {
      stderr += text;
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  // Debian's Node; where it is new enough, there is nothing to hand over.
  const old = '/usr/bin/node';
  const version = existsSync(old) ? spawnSync(old, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout : '99';
  test.skipIf(Number.parseInt(version, 10) >= 24)(
    'goes on with the Node of the packages when started with an old one',
    () => {
      const { status, stdout } = spawnSync(old, [BIN, '--version'], { encoding: 'utf8' });
      expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    },
  );
});

describe('nudge doctor', () => {
  test('without an engine says what to run and fails', () => {
    const { status, stdout } = nudge('doctor');
    expect(status).toBe(1);
    expect(stdout).toMatch(
      /✗ libtorch .*not been set up[\s\S]*-> run `npm run setup`[\s\S]*cannot run here yet: 1 thing to do/,
    );
    expect(stdout).not.toContain('\x1b');
  });

  test('--json prints one object with the same findings', () => {
    const { status, stdout } = nudge('doctor', '--json');
    expect(status).toBe(1);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ ok: false, engine: null, probe: null, versions: { node: process.versions.node } });
    expect(report.findings.map(({ name }: { name: string }) => name)).toContain('libtorch');
  });
});

describe('reportError', () => {
  function printed(error: unknown, json: boolean) {
    const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    try {
      const code = reportError(error, json);
      return { code, stdout: out.mock.calls.join(''), stderr: err.mock.calls.join('') };
    } finally {
      out.mockRestore();
      err.mockRestore();
    }
  }
  const error = new NudgeError('BAD_ARGUMENT', 'beta is negative', { path: 'train.beta', received: '-1' });

  test('a NudgeError has no stack, and bad input is exit code 2', () => {
    expect(printed(error, false)).toEqual({ code: 2, stdout: '', stderr: `Error: ${error.message}\n` });
  });

  test('NUDGE_DEBUG=1 adds the stack', () => {
    vi.stubEnv('NUDGE_DEBUG', '1');
    expect(printed(error, false).stderr).toContain('cli.test.ts');
    vi.unstubAllEnvs();
  });

  test('as JSON it keeps its parts', () => {
    const { stdout, stderr } = printed(error, true);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      error: { code: 'BAD_ARGUMENT', path: 'train.beta', received: '-1' },
    });
  });

  test('anything else is a bug and says so, with its stack, once', () => {
    for (const bug of [new TypeError('x is not a function'), new InvariantError('two is three')]) {
      const { code, stderr } = printed(bug, false);
      expect(code).toBe(1);
      expect(stderr).toContain('cli.test.ts');
      expect(stderr.match(/This is a bug in Nudge/g)).toHaveLength(1);
    }
  });
});
