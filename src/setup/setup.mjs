/**
 * The set-up: npm packages, libtorch, addon, record. Each step is skipped when its result is there, and a result
 * appears only when it is complete, so the set-up can be interrupted anywhere and run again at any time.
 */

import { existsSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { buildAddon, prune } from './addon.mjs';
import { engineProblem, RECORD_SCHEMA, readRecord } from './engine.mjs';
import { explainFileError } from './failure.mjs';
import { readJsonOrNull, writeFileAtomic } from './files.mjs';
import { withLock } from './lock.mjs';
import { installPackages, packagesAreReady } from './packages.mjs';
import { realPath, recordPath, shortHash } from './paths.mjs';
import { checkCache, checkPlatform } from './prerequisites.mjs';
import { readRequest } from './request.mjs';
import { chooseTorch } from './torch-choose.mjs';

/** @import { Context } from './context.mjs' */
/** @import { EngineRecord } from './engine.mjs' */
/** @import { Request, SetupOptions } from './request.mjs' */

/**
 * @typedef {object} SetupResult
 * @property {EngineRecord} record
 * @property {boolean} changed False when everything was there already.
 */

/**
 * Makes the package folder ready to run.
 *
 * @param {Context} context
 * @param {SetupOptions} [options]
 * @returns {Promise<SetupResult>}
 * @throws {import('./failure.mjs').SetupError} Each failure with its remedy.
 */
export async function setUp(context, options = {}) {
  const request = readRequest(context.env, context.cwd, options);
  const ready = packagesAreReady(context);
  const record = currentRecord(context, request);
  if (ready && record !== null) return { record, changed: false };

  checkPlatform(context);
  checkCache(context);
  context.progress.plan(ready ? 2 : 3);
  try {
    if (!ready) await packagesStep(context);
    return await withLock(context.cache.lock, (lock) => engineSteps(context, request, lock), waiting(context, 'cache'));
  } catch (error) {
    throw explainFileError(error, context.cache.root);
  } finally {
    context.progress.stop();
  }
}

/**
 * @param {Context} context
 * @param {Request} request
 * @returns {EngineRecord | null}
 */
function currentRecord({ cache, root, platform }, request) {
  if (request.fresh) return null;
  const record = readRecord(recordPath(cache.root, root));
  return engineProblem(record, { root, platform, request }) === null ? record : null;
}

/** @param {Context} context */
async function packagesStep(context) {
  // Set-ups of one checkout may use different caches, and npm deletes what is in node_modules.
  const path = join(tmpdir(), `nudge-packages-${userInfo().uid}-${shortHash(realPath(context.root))}.lock`);
  context.progress.begin('npm packages');
  await withLock(
    path,
    async (lock) => {
      if (!packagesAreReady(context)) await installPackages(context, lock);
    },
    waiting(context, 'package folder'),
  );
  context.progress.end('npm packages are installed');
}

/**
 * @param {Context} context
 * @param {Request} request
 * @param {{ addChild: (pid: number) => void }} lock
 * @returns {Promise<SetupResult>}
 */
async function engineSteps(context, request, lock) {
  // Another set-up may have done it all while this one waited.
  const done = currentRecord(context, request);
  if (done !== null) return { record: done, changed: false };
  // Only the lock's holder has anything here: what lies about was left by a process that was killed.
  for (const name of readdirSync(context.cache.temporary)) {
    rmSync(join(context.cache.temporary, name), { recursive: true, force: true });
  }
  const { progress, cache, root } = context;
  const path = recordPath(cache.root, root);

  progress.begin('libtorch');
  const { torch, source } = await chooseTorch(context, request, readRecord(path), lock);
  progress.end(`libtorch ${torch.version} from ${source}`);

  progress.begin('addon');
  const { addon, nativeHash, built } = await buildAddon(context, torch, lock);
  progress.end(built ? 'the addon is built' : 'the addon was built before');

  /** @type {EngineRecord} */
  const record = {
    schema: RECORD_SCHEMA,
    packageRoot: realPath(root),
    addon,
    torchDir: torch.dir,
    libDir: torch.libDir,
    torchVersion: torch.version,
    variant: torch.variant,
    extraLibraries: torch.extraLibraries,
    source,
    fingerprint: torch.fingerprint,
    nativeHash,
    builtAt: new Date().toISOString(),
  };
  writeFileAtomic(path, `${JSON.stringify(record, null, 2)}\n`);
  if (built) prune(context, usedAddons(context));
  return { record, changed: true };
}

/**
 * The addons that records name; a record whose package folder is gone goes too.
 *
 * @param {Context} context
 */
function usedAddons({ cache }) {
  const used = new Set();
  for (const name of readdirSync(cache.engines)) {
    const path = join(cache.engines, name);
    const record = readJsonOrNull(path);
    if (record !== null && existsSync(record.packageRoot)) used.add(record.addon);
    else rmSync(path, { force: true });
  }
  return used;
}

/**
 * @param {Context} context
 * @param {string} what
 * @returns {(owner: { pid: number, host: string }) => void}
 */
function waiting(context, what) {
  return ({ pid, host }) =>
    context.progress.note(`Waiting: another set-up (process ${pid} on ${host}) works on this ${what}.`);
}
