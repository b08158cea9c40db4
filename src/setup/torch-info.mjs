/** What a folder with libtorch is: its version, its build, its libraries. Nothing is loaded or run to find out. */

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './failure.mjs';

/** The version that set-up fetches. */
export const TORCH_VERSION = '2.13.0';
/** The versions that the addon compiles against: MINIMUM <= version < LIMIT. */
export const TORCH_MINIMUM = '2.11';
export const TORCH_LIMIT = '2.14';

/**
 * @typedef {object} TorchInfo
 * @property {string} dir The folder that has lib/ and include/.
 * @property {string} libDir
 * @property {string} version For example 2.13.0+cpu.
 * @property {'cpu' | 'cuda'} variant
 * @property {{ size: number, mtimeMs: number }} fingerprint Of libtorch_cpu; it changes when torch is replaced in place.
 * @property {string[]} extraLibraries Absolute paths of the device libraries to load beside libtorch_cpu.
 */

/**
 * @param {NodeJS.Platform} platform
 * @param {string} name For example torch_cpu.
 */
export function libraryFile(platform, name) {
  return platform === 'darwin' ? `lib${name}.dylib` : `lib${name}.so`;
}

/**
 * Looks at a torch package folder or an unpacked libtorch.
 *
 * @param {string} dir
 * @param {NodeJS.Platform} platform
 * @param {string} from Where the folder was named, for the message.
 * @returns {TorchInfo}
 * @throws {SetupError} BAD_TORCH (exit code 2) when it is no libtorch that an addon can be built against.
 */
export function inspectTorch(dir, platform, from) {
  const libDir = join(dir, 'lib');
  const main = join(libDir, libraryFile(platform, 'torch_cpu'));
  for (const needed of [main, join(libDir, libraryFile(platform, 'c10')), join(dir, 'include', 'ATen')]) {
    if (!existsSync(needed)) throw notTorch(dir, from, needed);
  }
  const version = readVersion(dir);
  if (version === null) throw notTorch(dir, from, join(dir, 'version.py'));
  const { size, mtimeMs } = statSync(main);
  const cuda = join(libDir, libraryFile(platform, 'torch_cuda'));
  const extraLibraries = existsSync(cuda) ? [cuda] : [];
  return {
    dir,
    libDir,
    version,
    variant: extraLibraries.length > 0 ? 'cuda' : 'cpu',
    fingerprint: { size, mtimeMs },
    extraLibraries,
  };
}

/**
 * Refuses a version that the addon does not compile against.
 *
 * @param {TorchInfo} torch
 * @param {string} from
 * @throws {SetupError} TORCH_TOO_OLD or TORCH_TOO_NEW (exit code 2).
 */
export function checkTorchVersion(torch, from) {
  const problem = versionProblem(torch.version);
  if (problem === null) return;
  throw new SetupError(
    problem === 'too old' ? 'TORCH_TOO_OLD' : 'TORCH_TOO_NEW',
    `The libtorch that you named is ${problem}.`,
    {
      path: `${torch.dir} (${from})`,
      expected: `${TORCH_MINIMUM} <= version < ${TORCH_LIMIT}`,
      received: torch.version,
      remedy: `name a supported torch, or name none: set-up then fetches ${TORCH_VERSION} by itself`,
    },
    2,
  );
}

/**
 * @param {string} version
 * @returns {'too old' | 'too new' | null}
 */
export function versionProblem(version) {
  if (compareVersions(version, TORCH_MINIMUM) < 0) return 'too old';
  return compareVersions(version, TORCH_LIMIT) < 0 ? null : 'too new';
}

/**
 * Compares the numbers in front: 2.9 < 2.13.0+cpu. A pre-release (2.14.0a0) counts as its release.
 *
 * @param {string} a
 * @param {string} b
 */
export function compareVersions(a, b) {
  const [left, right] = [a, b].map((text) => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * A Python package says its version in version.py, an unpacked libtorch in build-version.
 *
 * @param {string} dir
 */
function readVersion(dir) {
  const python = readText(join(dir, 'version.py'));
  const fromPython = python && /^__version__\s*(?::\s*\w+\s*)?=\s*['"]([^'"]+)['"]/m.exec(python)?.[1];
  return fromPython || readText(join(dir, 'build-version'))?.trim() || null;
}

/** @param {string} path */
function readText(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/**
 * @param {string} dir
 * @param {string} from
 * @param {string} missing
 */
function notTorch(dir, from, missing) {
  const inside = existsSync(join(dir, 'torch', 'lib'));
  return new SetupError(
    'BAD_TORCH',
    `This folder is not a torch package or an unpacked libtorch with its headers.`,
    {
      path: `${dir} (${from})`,
      expected: 'a folder with lib/, include/ and version.py or build-version',
      received: existsSync(dir) ? `a folder without ${missing}` : 'no such folder',
      remedy: inside
        ? `name ${join(dir, 'torch')}`
        : `correct the path, or name none: set-up then finds or fetches libtorch by itself`,
    },
    2,
  );
}
