/** Programs of others that Nudge is tested with: which versions, where they lie in the cache, and fetching them. */

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { childEnvironment } from '../../src/setup/context.mjs';
import { SetupError } from '../../src/setup/failure.mjs';
import { withLock } from '../../src/setup/lock.mjs';
import { cacheFolder } from '../../src/setup/paths.mjs';
import { pip } from '../../src/setup/pip.mjs';
import { lastLines } from '../../src/setup/run.mjs';

/** @import { Context } from '../../src/setup/context.mjs' */
/** @import { RunResult } from '../../src/setup/run.mjs' */

/**
 * @typedef {object} Peer
 * @property {string} name
 * @property {string} folder Its name in the cache.
 * @property {readonly string[]} packages What is asked for, versions included; another list is another installation.
 * @property {(context: Context, packages: readonly string[], folder: string, onStart: (pid: number) => void) => Promise<RunResult>} fetch
 */

/** Its own platform's build alone: with all optional ones it is 1 GB. */
const PLATFORM = `${process.platform === 'darwin' ? 'mac' : process.platform === 'win32' ? 'win' : 'linux'}-${process.arch}`;
const CLIENT_VERSION = '3.22.1';

/** @type {Peer} */
export const CLIENT = {
  name: "llama.cpp's client",
  folder: 'node-llama-cpp',
  packages: [
    `node-llama-cpp@${CLIENT_VERSION}`,
    `@node-llama-cpp/${PLATFORM === 'mac-arm64' ? 'mac-arm64-metal' : PLATFORM}@${CLIENT_VERSION}`,
  ],
  // Its install script would build llama.cpp where no build fits.
  fetch: (context, packages, folder, onStart) =>
    context.run(
      'npm',
      ['install', '--prefix', folder, '--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund', ...packages],
      {
        cwd: folder,
        env: childEnvironment(context),
        onStart,
        onLine: (line) => context.progress.update(`npm: ${line.trim()}`),
      },
    ),
};

/** @type {Peer} */
export const SERVER = {
  name: "llama.cpp's server",
  folder: 'xllamacpp',
  packages: ['xllamacpp==2026.10.11549'],
  fetch: (context, packages, folder, onStart) =>
    pip(context, ['install', '--target', folder, '--only-binary', ':all:', ...packages], {
      folder,
      what: 'fetching xllamacpp',
      onStart,
    }),
};

export const COMMAND = 'node scripts/peers/llama.mjs';

/** Comes with the rest when the finished folder takes its name. */
const mark = (/** @type {string} */ folder) => join(folder, 'nudge-peer.txt');

/**
 * Where a peer is installed.
 *
 * @param {NodeJS.ProcessEnv} env
 * @param {Peer} peer
 * @returns {{ folder: string, missing: string | null }} `missing` says why it cannot be used and what helps.
 */
export function findPeer(env, { name, folder, packages }) {
  const path = join(cacheFolder(env), 'peers', folder);
  const isThere = existsSync(mark(path)) && readFileSync(mark(path), 'utf8') === packages.join('\n');
  return { folder: path, missing: isThere ? null : `${name} is not in the cache; \`${COMMAND}\` fetches it` };
}

/**
 * Fetches a peer unless it is there.
 *
 * @param {Context} context
 * @param {Peer} peer
 * @returns {Promise<{ folder: string, changed: boolean }>}
 * @throws {SetupError} PACKAGES_FAILED
 */
export async function install(context, peer) {
  const { folder } = findPeer(context.env, peer);
  mkdirSync(join(context.cache.root, 'peers'), { recursive: true });
  return withLock(`${folder}.lock`, async ({ addChild }) => {
    if (findPeer(context.env, peer).missing === null) return { folder, changed: false };
    const temporary = `${folder}.partial`;
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary);
    context.progress.plan(1);
    context.progress.begin(`Fetching ${peer.name}`);
    const result = await peer.fetch(context, peer.packages, temporary, addChild);
    if (result.code !== 0) {
      rmSync(temporary, { recursive: true, force: true });
      throw failed(peer, result);
    }
    writeFileSync(mark(temporary), peer.packages.join('\n'));
    rmSync(folder, { recursive: true, force: true });
    renameSync(temporary, folder);
    context.progress.end('done');
    return { folder, changed: true };
  });
}

/**
 * @param {Peer} peer
 * @param {RunResult} result
 */
function failed({ name, packages }, { output, missing }) {
  return new SetupError('PACKAGES_FAILED', `${name} could not be fetched.`, {
    path: packages.join(', '),
    received: missing ? 'the package manager is not installed' : reasonOf(output),
    remedy: 'correct what is complained about, or do without: the tests that need it are skipped',
  });
}

/**
 * npm says the reason first and then how to find its log, pip says it last.
 *
 * @param {string} output
 */
function reasonOf(output) {
  const errors = output.split('\n').filter((line) => /^npm (error|ERR!) \S/.test(line));
  return errors.length > 0 ? errors.slice(0, 4).join('\n            ') : lastLines(output, 4);
}
