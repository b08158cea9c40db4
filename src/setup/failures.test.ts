/** Every way in which set-up fails has a message of its own, with the remedy, and an exit code. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Context } from './context.mjs';
import { explainFileError, SetupError, type SetupErrorCode } from './failure.mjs';
import { parseSetupArguments } from './main.mjs';
import { cacheFolder } from './paths.mjs';
import { readRequest } from './request.mjs';
import { setUp } from './setup.mjs';
import { World } from './testing/world.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world[Symbol.dispose]());

/** The error that a set-up in the world ends with. */
async function failure(replaced: Partial<Context> = {}): Promise<SetupError> {
  const error = await setUp(world.context(replaced)).then(
    () => new Error('the set-up succeeded'),
    (error: unknown) => error,
  );
  if (!(error instanceof SetupError)) throw error;
  // Whatever happens, nothing half-done stays, and every message says what to do.
  expect(world.cached('temporary')).toEqual([]);
  expect(existsSync(join(world.cache, 'setup.lock'))).toBe(false);
  expect(error.details.remedy).toMatch(/\w{3,}/);
  return error;
}

/** The error that a function throws. */
function thrown(work: () => unknown): SetupError {
  try {
    work();
  } catch (error) {
    if (error instanceof SetupError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('the platform', () => {
  test.each<[string, Partial<Context>, RegExp]>([
    ['Windows', { platform: 'win32' }, /WSL 2/],
    ['FreeBSD', { platform: 'freebsd' }, /supported machine/],
    ['32-bit', { arch: 'arm' }, /64-bit/],
    ['musl', { glibc: null }, /node:24-bookworm-slim/],
    ['an old glibc', { glibc: '2.27' }, /glibc 2\.28 or newer/],
    ['an Intel Mac', { platform: 'darwin', arch: 'x64' }, /arm64 Node/],
  ])('%s is not supported', async (_, replaced, remedy) => {
    const error = await failure(replaced);
    expect(error).toMatchObject({ code: 'UNSUPPORTED_PLATFORM', exitCode: 1 });
    expect(error.details.remedy).toMatch(remedy);
  });

  test('a Node that is too old for set-up itself', async () => {
    expect(await failure({ nodeVersion: '16.20.0' })).toMatchObject({ code: 'NODE_TOO_OLD', exitCode: 1 });
  });
});

describe('the tools', () => {
  test('no python3', async () => {
    world.withoutProgram('python3');
    const error = await failure();
    expect(error).toMatchObject({ code: 'NO_PYTHON', exitCode: 1 });
    expect(error.message).toMatch(/python3 was not found[\s\S]*apt-get install python3 python3-pip/);
  });

  test('a python3 that does not run', async () => {
    world.play(/probe\.py/, { code: 1, output: 'pyenv: version `3.9` is not installed' });
    expect((await failure()).message).toMatch(/python3 does not work[\s\S]*pyenv: version/);
  });

  test('no pip', async () => {
    world.python.pip = null;
    const error = await failure();
    expect(error.code).toBe('NO_PIP');
    expect(error.message).toMatch(/apt-get install python3-pip[\s\S]*NUDGE_TORCH/);
  });

  test('no make', async () => {
    world.withoutProgram('make');
    expect(await failure()).toMatchObject({ code: 'NO_MAKE', exitCode: 1 });
  });

  test('no compiler', async () => {
    world.withoutProgram('g++');
    expect(await failure()).toMatchObject({ code: 'NO_COMPILER', exitCode: 1 });
  });

  test('a compiler named by CXX that does not exist', async () => {
    world.env.CXX = 'clang++-99';
    world.withoutProgram('clang++-99');
    expect((await failure()).message).toMatch(/environment variable CXX[\s\S]*`clang\+\+-99` to run/);
  });

  test('a compiler without C++20', async () => {
    world.play(/^sh -c .*-std=c\+\+20/, { code: 1, output: '<stdin>:4:2: error: #error NUDGE_TOO_OLD' });
    const error = await failure();
    expect(error.code).toBe('COMPILER_TOO_OLD');
    expect(error.message).toMatch(/GCC 11 or newer[\s\S]*tool 12\.2\.0/);
  });

  test('a libtorch that is there already needs no pip', async () => {
    world.python.pip = null;
    world.env.NUDGE_TORCH = world.torch('2.13.0');
    expect(await setUp(world.context())).toMatchObject({ changed: true });
  });
});

describe('fetching libtorch', () => {
  test.each<[string, SetupErrorCode, string, RegExp]>([
    [
      'no network',
      'NO_NETWORK',
      'NewConnectionError: Temporary failure in name resolution',
      /HTTPS_PROXY[\s\S]*NUDGE_TORCH/,
    ],
    ['a proxy’s certificate', 'CERTIFICATE', 'SSLError: [SSL: CERTIFICATE_VERIFY_FAILED]', /global\.cert/],
    [
      'no wheel',
      'NO_WHEEL',
      'ERROR: No matching distribution found for torch==2.13.0',
      /upgrade pip[\s\S]*NUDGE_TORCH/,
    ],
    [
      'pip’s own checksum error',
      'CHECKSUM',
      'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE INDEX',
      /cache purge/,
    ],
    ['a full disk', 'DISK_FULL', 'ERROR: Could not install: [Errno 28] No space left on device', /NUDGE_CACHE/],
    ['anything else', 'DOWNLOAD_FAILED', 'Traceback: something new', /what pip complains about/],
  ])('%s', async (_, code, output, remedy) => {
    world.play(/pip download/, { code: 1, output });
    const error = await failure();
    expect(error).toMatchObject({ code, exitCode: 1 });
    expect(error.details.remedy).toMatch(remedy);
  });

  test('no network is not mistaken for a missing wheel', async () => {
    const output = 'WARNING: Retrying: Network is unreachable\nERROR: No matching distribution found for torch==2.13.0';
    world.play(/pip download/, { code: 1, output });
    expect((await failure()).code).toBe('NO_NETWORK');
  });

  test('a full disk while asking the CPU index ends there', async () => {
    world.play(/pip download/, { code: 1, output: 'OSError: [Errno 28] No space left on device' });
    await failure();
    expect(world.calls(/pip download/)).toHaveLength(1);
  });

  test('a wheel that is not the published one', async () => {
    world.wheel.name = 'torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl';
    const error = await failure();
    expect(error).toMatchObject({ code: 'CHECKSUM', exitCode: 1 });
    expect(error.message).toMatch(/expected: SHA-256 6746dbcb[\s\S]*received: SHA-256 /);
    expect(world.cached('torch')).toEqual([]);
  });

  test.each<[number, string, SetupErrorCode]>([
    [3, 'damaged: the checksum of torch/lib/libtorch_cpu.so does not match', 'CHECKSUM'],
    [4, 'error: [Errno 28] No space left on device', 'DISK_FULL'],
    [1, 'error: [Errno 13] Permission denied', 'UNPACK_FAILED'],
  ])('unpacking ends with code %i', async (code, output, expected) => {
    world.play(/unpack_wheel/, { code, output: `progress 1 2\n${output}` });
    const error = await failure();
    expect(error).toMatchObject({ code: expected, exitCode: 1 });
    expect(error.details.received).toBe(output);
    expect(world.cached('torch')).toEqual([]);
  });

  test('too little disk space is said before anything is fetched', async () => {
    const error = await failure({ freeBytes: () => 1.5e9 });
    expect(error.code).toBe('DISK_FULL');
    expect(error.message).toMatch(/expected: 2\.0 GB free[\s\S]*received: 1\.5 GB free/);
    expect(world.calls(/pip/)).toEqual([]);
  });

  test('CUDA asked for, but only a CPU wheel found', async () => {
    world.env.NUDGE_DEVICE = 'cuda';
    expect(await failure()).toMatchObject({ code: 'NO_CUDA_WHEEL', exitCode: 1 });
  });

  test('NVIDIA’s libraries cannot be fetched', async () => {
    world.env.NUDGE_DEVICE = 'cuda';
    world.wheel = { version: '2.13.0', variant: 'cuda' };
    world.play(/pip install/, { code: 1, output: 'ReadTimeoutError: Read timed out.' });
    expect((await failure()).message).toMatch(/cannot reach its index to fetch NVIDIA’s libraries/);
    expect(world.cached('torch')).toEqual([]);
  });
});

describe('a libtorch that was named', () => {
  test.each<[string, SetupErrorCode, RegExp]>([
    ['2.10.3', 'TORCH_TOO_OLD', /2\.11 <= version < 2\.14[\s\S]*received: 2\.10\.3/],
    ['2.14.0', 'TORCH_TOO_NEW', /fetches 2\.13\.0 by itself/],
  ])('%s is refused', async (version, code, message) => {
    world.env.NUDGE_TORCH = world.torch(version);
    const error = await failure();
    expect(error).toMatchObject({ code, exitCode: 2 });
    expect(error.message).toMatch(message);
  });

  test('a path that does not exist', async () => {
    world.env.NUDGE_TORCH = '/nowhere/torch';
    const error = await failure();
    expect(error).toMatchObject({ code: 'BAD_TORCH', exitCode: 2 });
    expect(error.message).toMatch(/\/nowhere\/torch \(environment variable NUDGE_TORCH\)[\s\S]*no such folder/);
  });

  test('the folder above it', async () => {
    const dir = world.torch('2.13.0');
    world.env.NUDGE_TORCH = join(dir, '..');
    expect((await failure()).details.remedy).toBe(`name ${dir}`);
  });

  test('libraries without headers', async () => {
    world.env.NUDGE_TORCH = world.torch('2.13.0');
    world.remove('site-2.13.0/torch/include');
    expect((await failure()).message).toMatch(/a folder without \S+include\/ATen/);
  });
});

describe('what the user wrote', () => {
  test.each<[string, SetupErrorCode, () => unknown]>([
    ['an unknown option', 'BAD_OPTION', () => parseSetupArguments(['--gpu'])],
    ['--cpu with --cuda', 'BAD_OPTION', () => readRequest({}, world.root, { cpu: true, cuda: true })],
    ['an unknown NUDGE_DEVICE', 'BAD_OPTION', () => readRequest({ NUDGE_DEVICE: 'gpu' }, world.root)],
    ['a relative NUDGE_CACHE', 'BAD_OPTION', () => cacheFolder({ NUDGE_CACHE: 'cache' })],
  ])('%s', (_, code, work) => {
    expect(thrown(work)).toMatchObject({ code, exitCode: 2 });
  });

  test.each([
    ['{ "torch": 3 }', /torch in .*nudge\.config\.json[\s\S]*received: 3/],
    ['{ torch }', /not valid JSON/],
  ])('nudge.config.json with %s', (text, message) => {
    world.write('package/nudge.config.json', text);
    const error = thrown(() => readRequest({}, world.root));
    expect(error).toMatchObject({ code: 'BAD_CONFIG', exitCode: 2 });
    expect(error.message).toMatch(message);
  });
});

describe('the cache', () => {
  test('a file in its place', async () => {
    world.write('cache', '');
    expect(await failure()).toMatchObject({ code: 'CACHE_NOT_WRITABLE', exitCode: 1 });
  });

  test.each([
    ['EACCES', 'CACHE_NOT_WRITABLE'],
    ['EROFS', 'CACHE_NOT_WRITABLE'],
    ['ENOSPC', 'DISK_FULL'],
    ['EDQUOT', 'DISK_FULL'],
  ])('%s from any step means %s', (code, expected) => {
    const error = explainFileError(Object.assign(new Error(`${code}: write`), { code }), '/cache');
    expect(error).toMatchObject({
      code: expected,
      details: { path: '/cache', remedy: expect.stringContaining('NUDGE_CACHE') },
    });
  });
});

describe('the build', () => {
  test('a compile error shows its lines and keeps the log', async () => {
    world.play(/node-gyp\.js build/, {
      code: 1,
      output: 'src/addon.cc:3:1: error: expected ;\nmake: *** [addon.o] Error 1\n',
    });
    const error = await failure();
    expect(error).toMatchObject({ code: 'BUILD_FAILED', exitCode: 1 });
    expect(error.message).toContain('src/addon.cc:3:1: error: expected ;');
    expect(world.cached('logs')).toEqual(['addon-build.log']);
    expect(world.cached('addon')).toEqual([]);
  });

  test.each<[string, SetupErrorCode, string]>([
    ['out of memory', 'OUT_OF_MEMORY', 'g++: fatal error: Killed signal terminated program cc1plus'],
    ['a full disk', 'DISK_FULL', 'fatal error: error writing to addon.o: No space left on device'],
    ['no network for Node’s headers', 'NO_NETWORK', 'gyp ERR! stack FetchError: getaddrinfo ENOTFOUND nodejs.org'],
  ])('%s', async (_, code, output) => {
    world.play(/node-gyp\.js (configure|build)/, { code: 1, output });
    expect((await failure()).code).toBe(code);
  });

  test('an addon that does not load never becomes the engine', async () => {
    const output =
      'Error: libcudart.so.13: cannot open shared object file: No such file or directory\n    at Object.<anonymous>';
    world.play(/dlopen/, { code: 1, output });
    const error = await failure();
    expect(error.code).toBe('ADDON_UNLOADABLE');
    expect(error.message).toMatch(
      /received: libcudart\.so\.13: cannot open[^\n]*\n\s+remedy: {3}libtorch lacks a library/,
    );
    expect(world.cached('addon')).toEqual([]);
  });

  test('sources are missing', async () => {
    world.remove('package/native/binding.gyp');
    expect((await failure()).message).toMatch(/sources of the addon are missing/);
  });
});
