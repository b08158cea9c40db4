/** What must be there before set-up can begin, each with its own message when it is not. */

import { accessSync, constants, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childEnvironment } from './context.mjs';
import { explainFileError, SetupError } from './failure.mjs';
import { size } from './progress.mjs';
import { lastLines } from './run.mjs';

/** @import { Context } from './context.mjs' */

/** What the PyTorch wheels (manylinux_2_28) need. */
const GLIBC_MINIMUM = 2.28;
/** Oldest Node that runs the set-up code; Nudge itself runs on the newer one that set-up installs. */
const SETUP_NODE_MINIMUM = 18;

/**
 * @typedef {object} Python
 * @property {string} version
 * @property {string} executable
 * @property {string | null} pip Its version.
 * @property {string | null} torch The folder of the installed torch package.
 */

/**
 * @param {Context} context
 * @throws {SetupError} UNSUPPORTED_PLATFORM or NODE_TOO_OLD.
 */
export function checkPlatform(context) {
  const { platform, arch } = context;
  /** @param {string} received @param {string} remedy */
  const unsupported = (received, remedy) =>
    new SetupError(
      'UNSUPPORTED_PLATFORM',
      'Nudge does not run on this platform: PyTorch publishes no libtorch for it.',
      {
        expected: 'Linux with glibc on x64 or arm64, or macOS on Apple silicon',
        received,
        remedy,
      },
    );
  if (platform === 'win32') {
    throw unsupported('Windows', 'use WSL 2 (`wsl --install`, then clone and set up inside it)');
  }
  if (platform !== 'linux' && platform !== 'darwin')
    throw unsupported(platform, 'use a supported machine or a container');
  if (arch !== 'x64' && arch !== 'arm64') {
    throw unsupported(`${platform} on ${arch}`, 'use a 64-bit system and a 64-bit Node (x64 or arm64)');
  }
  if (platform === 'darwin' && arch === 'x64') {
    throw unsupported(
      'macOS on Intel (or an x64 Node on Apple silicon)',
      'use an arm64 Node on Apple silicon, or Linux',
    );
  }
  if (platform === 'linux') {
    const glibc = context.glibc;
    if (glibc === null) {
      throw unsupported('Linux with musl (Alpine)', 'use an image with glibc, for example node:24-bookworm-slim');
    }
    const [major = 0, minor = 0] = glibc.split('.').map(Number);
    if (major < 2 || (major === 2 && minor < 28)) {
      throw unsupported(
        `glibc ${glibc}`,
        `use a distribution with glibc ${GLIBC_MINIMUM} or newer (Debian 10, Ubuntu 20.04, RHEL 8)`,
      );
    }
  }
  if (Number.parseInt(context.nodeVersion, 10) < SETUP_NODE_MINIMUM) {
    throw new SetupError('NODE_TOO_OLD', 'This Node is too old for the set-up.', {
      expected: `Node ${SETUP_NODE_MINIMUM} or newer (24 or newer without a development install)`,
      received: context.nodeVersion,
      remedy: 'install Node 24 from https://nodejs.org and run the same command again',
    });
  }
}

/**
 * Makes the cache and checks that this user can write to it.
 *
 * @param {Context} context
 * @throws {SetupError} CACHE_NOT_WRITABLE or DISK_FULL.
 */
export function checkCache({ cache }) {
  try {
    for (const folder of Object.values(cache)) {
      if (folder === cache.lock) continue;
      mkdirSync(folder, { recursive: true });
      accessSync(folder, constants.W_OK | constants.X_OK);
    }
  } catch (error) {
    const code = /** @type {NodeJS.ErrnoException} */ (error).code;
    if (code === 'ENOTDIR' || code === 'EEXIST') {
      throw new SetupError('CACHE_NOT_WRITABLE', 'The place of Nudge’s cache is taken by a file.', {
        path: cache.root,
        remedy: 'move the file away, or set NUDGE_CACHE to a folder',
        cause: error,
      });
    }
    throw explainFileError(error, cache.root);
  }
}

/**
 * @param {Context} context
 * @param {string} folder An existing folder.
 * @param {number} needed Bytes.
 * @param {string} purpose For example "fetching and unpacking libtorch".
 * @throws {SetupError} DISK_FULL
 */
export function checkFreeSpace(context, folder, needed, purpose) {
  const free = context.freeBytes(folder);
  if (free === null || free >= needed) return;
  throw new SetupError('DISK_FULL', `There is not enough free disk space for ${purpose}.`, {
    path: folder,
    expected: `${size(needed)} free`,
    received: `${size(free)} free`,
    remedy: 'free some space there, or set NUDGE_CACHE to a folder on another disk',
  });
}

/**
 * Asks python3 for its version, its pip and its torch, without importing torch.
 *
 * @param {Context} context
 * @returns {Promise<Python>}
 * @throws {SetupError} NO_PYTHON
 */
export async function probePython(context) {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'probe.py');
  const result = await context.run('python3', [script], { env: childEnvironment(context), cwd: context.cwd });
  // Deprecation warnings may come before it; the answer is the last line.
  const answer = result.output.trim().split('\n').pop() ?? '';
  if (result.code === 0 && answer.startsWith('{')) return JSON.parse(answer);
  throw new SetupError('NO_PYTHON', result.missing ? 'python3 was not found.' : 'python3 does not work.', {
    expected: 'Python 3.8 or newer as `python3` on the PATH (set-up needs it for pip and for the native build)',
    received: result.missing ? 'no such program' : `exit code ${result.code}: ${lastLines(result.output, 3)}`,
    remedy: install(context, 'python3 python3-pip', 'python3 (xcode-select --install)'),
  });
}

/**
 * @param {Context} context
 * @param {Python} python
 * @throws {SetupError} NO_PIP
 */
export function checkPip(context, python) {
  if (python.pip !== null) return;
  throw new SetupError('NO_PIP', 'python3 has no pip, which set-up needs to fetch libtorch.', {
    path: python.executable,
    expected: '`python3 -m pip` to work',
    remedy: `${install(context, 'python3-pip', 'pip (python3 -m ensurepip)')}; or set NUDGE_TORCH to the folder of an installed torch`,
  });
}

const CXX20_PROBE = '#include <concepts>\n#include <string>\n#if __cplusplus < 202002L\n#error NUDGE_TOO_OLD\n#endif\n';

/**
 * Checks for make and for a compiler that knows C++20 and has its headers.
 *
 * @param {Context} context
 * @throws {SetupError} NO_MAKE, NO_COMPILER or COMPILER_TOO_OLD.
 */
export async function checkBuildTools(context) {
  const env = childEnvironment(context);
  const make = await context.run('make', ['--version'], { env });
  if (make.code !== 0) {
    throw new SetupError('NO_MAKE', make.missing ? 'make was not found.' : 'make does not work.', {
      expected: '`make` on the PATH (set-up compiles a small native addon)',
      received: make.missing ? 'no such program' : `exit code ${make.code}: ${lastLines(make.output, 3)}`,
      remedy: install(context, 'build-essential', 'the command line tools (xcode-select --install)'),
    });
  }
  const compiler = compilerName(context);
  const [command = '', ...rest] = compiler.split(/\s+/);
  const version = await context.run(command, [...rest, '--version'], { env });
  if (version.code !== 0) {
    throw new SetupError('NO_COMPILER', `The C++ compiler ${version.missing ? 'was not found' : 'does not work'}.`, {
      path: context.env.CXX ? 'environment variable CXX' : 'PATH',
      expected: `\`${compiler}\` to run`,
      received: version.missing ? 'no such program' : `exit code ${version.code}: ${lastLines(version.output, 3)}`,
      remedy: install(context, 'g++', 'the command line tools (xcode-select --install)'),
    });
  }
  const probe = await context.run(
    'sh',
    ['-c', `printf '%s' "$1" | ${compiler} -std=c++20 -fsyntax-only -x c++ -`, 'sh', CXX20_PROBE],
    { env },
  );
  if (probe.code === 0) return;
  throw new SetupError('COMPILER_TOO_OLD', 'The C++ compiler cannot compile C++20.', {
    path: compiler,
    expected: 'GCC 11 or newer, or Clang 13 or newer, with its standard library',
    received: `${version.output.split('\n')[0]}; it says: ${lastLines(probe.output, 3)}`,
    remedy: `${install(context, 'g++-11', 'newer command line tools')} and name it, for example CXX=g++-11`,
  });
}

/** @param {Context} context */
export function compilerName(context) {
  return context.env.CXX?.trim() || (context.platform === 'darwin' ? 'c++' : 'g++');
}

/**
 * @param {Context} context
 * @param {string} debian Package names.
 * @param {string} mac
 */
function install(context, debian, mac) {
  return context.platform === 'darwin'
    ? `install ${mac}`
    : `install it: \`sudo apt-get install ${debian}\` on Debian or Ubuntu`;
}
