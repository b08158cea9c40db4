/** The npm packages of a checkout: installed with `npm ci`, and only when they are not right already. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundledNode, childEnvironment, findNode, NODE_MINIMUM } from './context.mjs';
import { DISK_FULL, diskFull, SetupError } from './failure.mjs';
import { readJsonOrNull, writeFileAtomic } from './files.mjs';
import { lastLines } from './run.mjs';

/** @import { Context } from './context.mjs' */
/** @import { RunResult } from './run.mjs' */

/** Goes away with node_modules, as it should. */
const STAMP = '.nudge-set-up';

/**
 * Whether there is nothing to do. Reads a few files and starts no process.
 *
 * @param {Context} context
 */
export function packagesAreReady(context) {
  const lock = readLock(context.root);
  // A published package has no lock file: npm installed its dependencies with it.
  if (lock === null) return true;
  if (findNode(context) === null) return false;
  const stamp = join(context.root, 'node_modules', STAMP);
  const wanted = stampFor(context, lock);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return true;
  if (!matchesLock(context.root, lock)) return false;
  writeFileAtomic(stamp, wanted);
  return true;
}

/**
 * Installs what the lock file says and makes sure that there is a Node that can run Nudge.
 *
 * @param {Context} context
 * @param {{ addChild: (pid: number) => void }} lock
 * @throws {SetupError} NO_NPM, NO_NETWORK, DISK_FULL, CHECKSUM, PACKAGES_FAILED or NODE_TOO_OLD.
 */
export async function installPackages(context, lock) {
  const lockFile = readLock(context.root);
  if (lockFile === null) return;
  if (!matchesLock(context.root, lockFile)) {
    const result = await context.run('npm', ['ci', '--no-audit', '--no-fund', '--no-progress'], {
      cwd: context.root,
      env: childEnvironment(context),
      onStart: lock.addChild,
      onLine: (line) => context.progress.update(`npm: ${line.trim()}`),
    });
    if (result.code !== 0) throw explainNpmFailure(result, context.root);
  }
  await repairNode(context, lock);
  writeFileAtomic(join(context.root, 'node_modules', STAMP), stampFor(context, lockFile));
}

/**
 * npm may be told not to run install scripts (`ignore-scripts`, or its list of allowed ones); the package `node` then
 * lies there without its program.
 *
 * @param {Context} context
 * @param {{ addChild: (pid: number) => void }} lock
 */
async function repairNode(context, lock) {
  if (bundledNode(context.root) === null) {
    const result = await restoreNodePackage(context, lock);
    if (result !== null && findNode(context) === null) throw explainNpmFailure(result, context.root);
  }
  if (findNode(context) !== null) return;
  throw new SetupError('NODE_TOO_OLD', 'There is no Node that can run Nudge.', {
    path: context.root,
    expected: `Node ${NODE_MINIMUM} or newer, on the PATH or as the npm package "node" in node_modules`,
    received: `Node ${context.nodeVersion} on the PATH and no such package`,
    remedy: 'run `npm ci --include=dev` here, or install Node 24 from https://nodejs.org',
  });
}

/**
 * Runs the install script of the npm package `node`, which fetches Node's program and headers. They are in a package
 * that no lock file lists, so an ordinary `npm install` deletes the headers as something foreign.
 *
 * @param {Context} context
 * @param {{ addChild: (pid: number) => void }} lock
 * @returns {Promise<RunResult | null>} null where there is no such package.
 */
export async function restoreNodePackage(context, lock) {
  const folder = join(context.root, 'node_modules', 'node');
  const script = join(folder, 'installArchSpecificPackage.js');
  if (!existsSync(script)) return null;
  const env = childEnvironment(context, { npm_config_ignore_scripts: 'false', npm_config_global: 'false' });
  return context.run(context.execPath, [script], { cwd: folder, env, onStart: lock.addChild });
}

/** @param {string} root */
function readLock(root) {
  const path = join(root, 'package-lock.json');
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

/**
 * @param {Context} context
 * @param {string} lock
 */
function stampFor({ platform, arch }, lock) {
  return `${createHash('sha256').update(lock).digest('hex')} ${platform} ${arch}\n`;
}

/**
 * Whether node_modules holds what the lock file says, by npm's own list of what it installed. `npm ci` deletes
 * node_modules, under the feet of whatever runs from it; after an ordinary `npm install` that is not needed.
 *
 * @param {string} root
 * @param {string} lock
 */
function matchesLock(root, lock) {
  const installed = readJsonOrNull(join(root, 'node_modules', '.package-lock.json'))?.packages;
  if (!installed) return false;
  const wanted = JSON.parse(lock).packages ?? {};
  for (const [path, entry] of Object.entries(wanted)) {
    // Workspaces and the package itself are no copies; their links are listed under node_modules/.
    if (!path.startsWith('node_modules/')) continue;
    const there = installed[path];
    if (there === undefined && (entry.optional || entry.peer)) continue;
    if (there === undefined || there.version !== entry.version || there.integrity !== entry.integrity) return false;
    if (!existsSync(join(root, path))) return false;
  }
  return Object.keys(installed).every((path) => path in wanted);
}

/**
 * @param {{ code: number, output: string, missing: boolean }} result
 * @param {string} path
 */
function explainNpmFailure({ code, output, missing }, path) {
  if (missing) {
    return new SetupError('NO_NPM', 'npm was not found.', {
      expected: '`npm` on the PATH; it comes with Node',
      remedy: 'install Node with npm from https://nodejs.org (or `sudo apt-get install npm`)',
    });
  }
  // The reason comes first; after it npm prints its usage.
  const errors = output.split('\n').filter((line) => /^npm (error|ERR!) \S/.test(line));
  const received = errors.length > 0 ? errors.slice(0, 6).join('\n            ') : lastLines(output);
  if (DISK_FULL.test(output)) return diskFull(path, received);
  if (/EINTEGRITY/.test(output)) {
    return new SetupError('CHECKSUM', 'An npm package does not have the checksum that package-lock.json expects.', {
      path,
      received,
      remedy: 'run `npm cache clean --force` and try again; if it stays so, do not trust the registry you use',
    });
  }
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|network request to/.test(output)) {
    return new SetupError('NO_NETWORK', 'npm cannot reach its registry.', {
      path,
      received,
      remedy: 'check the connection, the proxy (`npm config get proxy`) and the registry (`npm config get registry`)',
    });
  }
  return new SetupError('PACKAGES_FAILED', `npm could not install the packages (exit code ${code}).`, {
    path,
    received,
    remedy: /EUSAGE|can only install packages when/.test(output)
      ? 'package.json and package-lock.json disagree: run `npm install` and commit the new lock file'
      : 'run `npm ci` here to see all of what it says, correct that, and try again',
  });
}
