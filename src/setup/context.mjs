/** Everything that set-up touches outside its own code, in one object, so that tests can replace any of it. */

import { existsSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { freeBytes } from './files.mjs';
import { cacheFolder, cacheLayout, packageRoot } from './paths.mjs';
import { Progress } from './progress.mjs';
import { run } from './run.mjs';

/** @import { Run } from './run.mjs' */

/**
 * @typedef {object} Context
 * @property {NodeJS.ProcessEnv} env
 * @property {string} cwd
 * @property {NodeJS.Platform} platform
 * @property {string} arch As in process.arch.
 * @property {string | null} glibc The C library's version; null on musl and outside Linux.
 * @property {string} nodeVersion Without a leading v.
 * @property {string} execPath Of the running Node.
 * @property {string} root The package folder.
 * @property {ReturnType<typeof cacheLayout>} cache
 * @property {number} cores
 * @property {number} memory Bytes of main memory.
 * @property {Run} run
 * @property {(path: string) => number | null} freeBytes
 * @property {Progress} progress
 */

/**
 * @param {Partial<Context>} [replaced]
 * @returns {Context}
 */
export function createContext(replaced = {}) {
  const env = replaced.env ?? process.env;
  return {
    env,
    cwd: process.cwd(),
    platform: process.platform,
    arch: process.arch,
    // Making the report takes milliseconds, so it is made only when asked for.
    get glibc() {
      return glibcVersion();
    },
    nodeVersion: process.versions.node,
    execPath: process.execPath,
    root: packageRoot(),
    cache: cacheLayout(cacheFolder(env)),
    cores: typeof availableParallelism === 'function' ? availableParallelism() : cpus().length,
    memory: totalmem(),
    run,
    freeBytes,
    progress: new Progress(process.stderr),
    ...replaced,
  };
}

function glibcVersion() {
  if (process.platform !== 'linux') return null;
  const report = /** @type {any} */ (process.report?.getReport());
  return report?.header?.glibcVersionRuntime ?? null;
}

/** The oldest Node that runs Nudge; set-up itself makes do with an older one. */
export const NODE_MINIMUM = 24;

/**
 * The Node that runs Nudge: the one of the npm package `node` in the package folder, else the running one when it is
 * new enough.
 *
 * @param {Pick<Context, 'root' | 'nodeVersion' | 'execPath'>} context
 * @returns {string | null} Path of the program, null when there is none yet.
 */
export function findNode({ root, nodeVersion, execPath }) {
  const bundled = bundledNode(root);
  if (bundled !== null) return bundled;
  return Number.parseInt(nodeVersion, 10) >= NODE_MINIMUM ? execPath : null;
}

/** @param {string} root */
export function bundledNode(root) {
  const path = join(root, 'node_modules', 'node', 'bin', 'node');
  return existsSync(path) ? path : null;
}

/**
 * The environment for programs that set-up starts: messages in English (they are searched), our Node first.
 *
 * @param {Context} context
 * @param {NodeJS.ProcessEnv} [more]
 * @returns {NodeJS.ProcessEnv}
 */
export function childEnvironment(context, more = {}) {
  const node = findNode(context);
  const path = context.env.PATH ?? '';
  return {
    ...context.env,
    LC_ALL: 'C.UTF-8',
    ...(node === null ? {} : { PATH: `${dirname(node)}${delimiter}${path}` }),
    ...more,
  };
}
