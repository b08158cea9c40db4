/** Where things are: the package, the cache and what lies in it. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SetupError } from './failure.mjs';

/**
 * Nudge's own folder, the one with its package.json.
 *
 * In a checkout this file is src/setup/paths.mjs, in the published package dist/src/setup/paths.mjs.
 *
 * @returns {string}
 */
export function packageRoot() {
  const here = dirname(fileURLToPath(import.meta.url));
  const checkout = dirname(dirname(here));
  return existsSync(join(checkout, 'package.json')) ? checkout : dirname(checkout);
}

/** @returns {string} The version in Nudge's package.json. */
export function packageVersion() {
  const manifest = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8'));
  return manifest.version;
}

/**
 * The command that (re)does the set-up, as the user of this package folder would type it.
 *
 * @param {string} root
 * @param {string} [option] For example --fresh.
 */
export function setupCommand(root, option) {
  const inCheckout = existsSync(join(root, 'src', 'setup'));
  if (option === undefined) return inCheckout ? 'npm run setup' : 'npx nudge setup';
  return inCheckout ? `npm run setup -- ${option}` : `npx nudge setup ${option}`;
}

/**
 * The cache: `NUDGE_CACHE`, else `$XDG_CACHE_HOME/nudge`, else `~/.cache/nudge`. It is never inside a checkout, so that
 * checkouts share one libtorch and `git clean` costs no download.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {string} An absolute path.
 * @throws {SetupError} BAD_OPTION when NUDGE_CACHE is relative: it would mean another folder for each working directory.
 */
export function cacheFolder(env) {
  const named = env.NUDGE_CACHE;
  if (named) {
    if (isAbsolute(named)) return named;
    throw new SetupError(
      'BAD_OPTION',
      'NUDGE_CACHE is not an absolute path.',
      { path: 'environment variable NUDGE_CACHE', expected: 'an absolute path', received: JSON.stringify(named) },
      2,
    );
  }
  const xdg = env.XDG_CACHE_HOME;
  // The XDG specification says that a relative path is invalid and must be ignored.
  if (xdg && isAbsolute(xdg)) return join(xdg, 'nudge');
  return join(env.HOME || homedir(), '.cache', 'nudge');
}

/**
 * The folders of a cache.
 *
 * @param {string} cache
 */
export function cacheLayout(cache) {
  return {
    root: cache,
    /** One folder for each libtorch: VERSION-VARIANT-PLATFORM-ARCH, complete by construction. */
    torch: join(cache, 'torch'),
    /** Build folders of the addon, kept so that make stays incremental. */
    build: join(cache, 'build'),
    /** Node's headers, one folder for each version of Node. */
    headers: join(cache, 'headers'),
    /** Finished addons: KEY/nudge.node. */
    addon: join(cache, 'addon'),
    /** One record for each package folder: which addon and which libtorch it uses. */
    engines: join(cache, 'engines'),
    /** Work in progress. Only the holder of the lock has anything here. */
    temporary: join(cache, 'tmp'),
    logs: join(cache, 'logs'),
    lock: join(cache, 'setup.lock'),
  };
}

/**
 * The file that says which engine the package at `root` uses.
 *
 * @param {string} cache
 * @param {string} root
 */
export function recordPath(cache, root) {
  return join(cacheLayout(cache).engines, `${shortHash(realPath(root))}.json`);
}

/**
 * @param {string} text
 * @returns {string} 16 hexadecimal digits of its SHA-256.
 */
export function shortHash(text) {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/**
 * The path with links resolved, or the path itself where nothing is there.
 *
 * @param {string} path
 */
export function realPath(path) {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
