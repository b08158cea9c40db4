/** What the user asked for: command line options, environment and project configuration, validated. */

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SetupError } from './failure.mjs';

/**
 * @typedef {object} Request
 * @property {{ path: string, from: string } | null} torch A libtorch named by the user, and where it was named.
 * @property {'cpu' | 'cuda' | null} device The build asked for; null means: decide by the machine.
 * @property {boolean} deviceIsFirm True when a command line option says so: another build is then not good enough.
 * @property {boolean} fresh Forget what earlier set-ups chose.
 */

/**
 * @typedef {object} SetupOptions
 * @property {boolean} [cpu]
 * @property {boolean} [cuda]
 * @property {boolean} [fresh]
 */

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string} cwd
 * @param {SetupOptions} [options]
 * @returns {Request}
 * @throws {SetupError} exit code 2: an option, a variable or a file says something that cannot be meant.
 */
export function readRequest(env, cwd, options = {}) {
  if (options.cpu && options.cuda) {
    throw new SetupError('BAD_OPTION', '--cpu and --cuda exclude each other.', { remedy: 'give one of them' }, 2);
  }
  const option = options.cpu ? 'cpu' : options.cuda ? 'cuda' : null;
  return {
    torch: namedTorch(env, cwd),
    device: option ?? deviceFromEnvironment(env),
    deviceIsFirm: option !== null,
    fresh: options.fresh === true,
  };
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {'cpu' | 'cuda' | null}
 */
function deviceFromEnvironment(env) {
  const value = env.NUDGE_DEVICE;
  if (!value) return null;
  if (/^cuda(:\d+)?$/.test(value)) return 'cuda';
  // Apple's GPU needs no other build: it is in the ordinary one.
  if (value === 'cpu' || value === 'mps') return 'cpu';
  throw new SetupError(
    'BAD_OPTION',
    'NUDGE_DEVICE names no device that Nudge knows.',
    {
      path: 'environment variable NUDGE_DEVICE',
      expected: 'cpu, cuda, cuda:N or mps',
      received: JSON.stringify(value),
    },
    2,
  );
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string} cwd
 */
function namedTorch(env, cwd) {
  const variable = env.NUDGE_TORCH;
  if (variable) return { path: resolve(cwd, variable), from: 'environment variable NUDGE_TORCH' };
  for (const [file, key] of /** @type {const} */ ([
    ['nudge.config.json', 'torch'],
    ['package.json', 'nudge.torch'],
  ])) {
    const path = join(cwd, file);
    const config = readJson(path);
    const torch = file === 'package.json' ? config?.nudge?.torch : config?.torch;
    if (torch === undefined) continue;
    if (typeof torch === 'string' && torch !== '') return { path: resolve(cwd, torch), from: `${key} in ${path}` };
    throw new SetupError(
      'BAD_CONFIG',
      'The path of libtorch in the project configuration is not a path.',
      { path: `${key} in ${path}`, expected: 'a non-empty string', received: JSON.stringify(torch) },
      2,
    );
  }
  return null;
}

/**
 * @param {string} path
 * @returns {Record<string, any> | undefined} undefined where there is no such file.
 */
function readJson(path) {
  let text;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SetupError(
      'BAD_CONFIG',
      'A project file is not valid JSON.',
      {
        path,
        received: error instanceof Error ? error.message : String(error),
        remedy: 'correct the file',
        cause: error,
      },
      2,
    );
  }
}
