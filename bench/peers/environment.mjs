/** The virtual environment of the Python side: where it is, and making it. */

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { childEnvironment } from '../../src/setup/context.mjs';
import { SetupError } from '../../src/setup/failure.mjs';
import { withLock } from '../../src/setup/lock.mjs';
import { cacheFolder } from '../../src/setup/paths.mjs';
import { pip } from '../../src/setup/pip.mjs';
import { lastLines } from '../../src/setup/run.mjs';
import { TORCH_VERSION } from '../../src/setup/torch-info.mjs';

/** @import { Context } from '../../src/setup/context.mjs' */

/** The same libtorch as Nudge fetches: what differs is then the way to it. */
const REQUIREMENTS = [`torch==${TORCH_VERSION}`, 'numpy>=2,<3'];
/** From pip's own index: PyTorch's does not have it. */
const MORE_REQUIREMENTS = [
  'transformers>=5.23,<6',
  'trl==1.16.0',
  'peft==0.21.2',
  'datasets==5.2.0',
  'accelerate==1.15.0',
];
/** PyTorch's own index of CPU wheels; the one on PyPI for Linux brings CUDA along. */
const CPU_INDEX = 'https://download.pytorch.org/whl/cpu';

const ALL = [...REQUIREMENTS, ...MORE_REQUIREMENTS];

/**
 * @param {NodeJS.ProcessEnv} env
 */
export function peerFolder(env) {
  return join(cacheFolder(env), 'peers', 'torch');
}

/**
 * The Python to compare with: NUDGE_PEER_PYTHON, else that of the environment that `makePeer` made.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | null} Path of the program, null where there is none.
 */
export function peerPython(env) {
  if (env.NUDGE_PEER_PYTHON) return env.NUDGE_PEER_PYTHON;
  const folder = peerFolder(env);
  return isComplete(folder) ? join(folder, 'bin', 'python3') : null;
}

/** Written last, so that an interrupted installation is not taken for a finished one. */
const mark = (/** @type {string} */ folder) => join(folder, 'nudge-peer.txt');

/** @param {string} folder */
function isComplete(folder) {
  return existsSync(mark(folder)) && readFileSync(mark(folder), 'utf8') === ALL.join('\n');
}

/**
 * Makes the environment unless it is there.
 *
 * @param {Context} context
 * @returns {Promise<{ folder: string, changed: boolean }>}
 * @throws {SetupError}
 */
export async function makePeer(context) {
  const folder = peerFolder(context.env);
  const peers = join(context.cache.root, 'peers');
  mkdirSync(peers, { recursive: true });
  return withLock(join(peers, 'setup.lock'), async ({ addChild: onStart }) => {
    if (isComplete(folder)) return { folder, changed: false };
    rmSync(folder, { recursive: true, force: true });
    context.progress.plan(2);
    context.progress.begin('Making a virtual environment for Python');
    await createEnvironment(context, folder, onStart);
    context.progress.end('done');
    context.progress.begin('Installing PyTorch for Python');
    await installRequirements(context, folder, onStart);
    writeFileSync(mark(folder), ALL.join('\n'));
    context.progress.end('done');
    return { folder, changed: true };
  });
}

/**
 * @param {Context} context
 * @param {string} folder
 * @param {(pid: number) => void} onStart
 */
async function createEnvironment(context, folder, onStart) {
  const result = await context.run('python3', ['-m', 'venv', folder], { env: childEnvironment(context), onStart });
  if (result.code === 0) return;
  throw new SetupError('NO_PYTHON', 'python3 could not make a virtual environment.', {
    path: folder,
    received: result.missing ? 'no such program' : lastLines(result.output, 4),
    remedy: 'install python3 with its venv module (Debian and Ubuntu: `sudo apt-get install python3-venv`)',
  });
}

/**
 * @param {Context} context
 * @param {string} folder
 * @param {(pid: number) => void} onStart
 */
async function installRequirements(context, folder, onStart) {
  const inside = { ...context.env, PATH: `${join(folder, 'bin')}${delimiter}${context.env.PATH ?? ''}` };
  /** @param {string[]} what */
  const install = (...what) =>
    pip({ ...context, env: inside }, ['install', ...what], {
      folder,
      what: 'fetching PyTorch',
      onStart,
    });
  let result = await install(...REQUIREMENTS, '--index-url', CPU_INDEX, '--timeout', '5', '--retries', '0');
  if (result.code !== 0) {
    context.progress.note(
      'Note: PyTorch’s index of CPU builds did not serve; trying pip’s own, whose build may be larger.',
    );
    result = await install(...REQUIREMENTS);
  }
  if (result.code === 0) result = await install(...MORE_REQUIREMENTS);
  if (result.code === 0) return;
  throw new SetupError('PACKAGES_FAILED', 'pip could not install PyTorch for Python.', {
    path: folder,
    received: lastLines(result.output, 4),
    remedy: 'correct what pip complains about, or set NUDGE_PEER_PYTHON to a Python that has torch and numpy',
  });
}
