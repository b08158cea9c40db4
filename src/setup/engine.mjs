/**
 * The engine record: which addon and which libtorch this package folder uses. Set-up writes it, the run time reads it.
 *
 * `locateEngine` is on the path of every start, so it only reads a few small files and starts no process.
 */

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './failure.mjs';
import { readJsonOrNull } from './files.mjs';
import { cacheFolder, packageRoot, realPath, recordPath, setupCommand } from './paths.mjs';
import { readRequest } from './request.mjs';
import { libraryFile } from './torch-info.mjs';

/** @import { Request } from './request.mjs' */

/** Raise it when a record that an older Nudge wrote must not be used. */
export const RECORD_SCHEMA = 1;

/**
 * @typedef {object} EngineRecord
 * @property {number} schema
 * @property {string} packageRoot
 * @property {string} addon Absolute path of nudge.node.
 * @property {string} torchDir The torch package folder; it has lib/ and include/.
 * @property {string} libDir
 * @property {string} torchVersion
 * @property {'cpu' | 'cuda'} variant
 * @property {string[]} extraLibraries Absolute paths of device libraries to load beside libtorch_cpu.
 * @property {string} source Where libtorch came from, in words.
 * @property {{ size: number, mtimeMs: number }} fingerprint Of libtorch_cpu when the addon was built.
 * @property {string} nativeHash Of the addon's sources.
 * @property {string} builtAt ISO 8601.
 */

/**
 * @typedef {object} Engine
 * @property {string} addon Absolute path of nudge.node.
 * @property {string} torchDir
 * @property {string} libDir Has libc10 and libtorch_cpu.
 * @property {string} torchVersion
 * @property {'cpu' | 'cuda'} variant
 * @property {string[]} extraLibraries Absolute paths to load beside libtorch_cpu (libtorch_cuda); empty in a CPU build.
 * @property {string} source Where libtorch came from, in words.
 */

/**
 * @typedef {object} EngineQuestion
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string} [cwd]
 * @property {string} [root] The package folder.
 * @property {NodeJS.Platform} [platform]
 */

/**
 * Finds the engine that set-up prepared.
 *
 * @param {EngineQuestion} [question]
 * @returns {Engine}
 * @throws {SetupError} ENGINE_NOT_SET_UP when there is none, or it no longer fits the sources, libtorch or what the
 *   environment asks for. The message says what to run.
 */
export function locateEngine(question = {}) {
  const { env = process.env, cwd = process.cwd(), root = packageRoot(), platform = process.platform } = question;
  const path = recordPath(cacheFolder(env), root);
  const record = readRecord(path);
  const problem = engineProblem(record, { root, platform, request: readRequest(env, cwd) });
  if (record === null || problem !== null) throw notSetUp(problem ?? 'there is no record of a set-up', path, root);
  const { addon, torchDir, libDir, torchVersion, variant, extraLibraries, source } = record;
  return { addon, torchDir, libDir, torchVersion, variant, extraLibraries, source };
}

/**
 * @param {string} path
 * @returns {EngineRecord | null} null where there is none or an older Nudge wrote it.
 */
export function readRecord(path) {
  const record = readJsonOrNull(path);
  return record !== null && record.schema === RECORD_SCHEMA ? record : null;
}

/**
 * Says why a record cannot be used, or null when it can.
 *
 * @param {EngineRecord | null} record
 * @param {{ root: string, platform: NodeJS.Platform, request: Request }} situation
 * @returns {string | null} A clause without a full stop.
 */
export function engineProblem(record, { root, platform, request }) {
  if (record === null) return 'this package folder has not been set up with this cache';
  if (request.torch !== null && realPath(request.torch.path) !== realPath(record.torchDir)) {
    return `the ${request.torch.from} asks for ${request.torch.path}, but the engine was set up with ${record.torchDir}`;
  }
  if (request.device === 'cuda' && record.variant === 'cpu' && request.torch === null) {
    return 'CUDA is asked for, but the engine was set up with a CPU build of libtorch';
  }
  if (request.device === 'cpu' && request.deviceIsFirm && record.variant === 'cuda' && request.torch === null) {
    return 'a CPU build is asked for, but the engine was set up with a CUDA build of libtorch';
  }
  const main = join(record.libDir, libraryFile(platform, 'torch_cpu'));
  const now = statOrNull(main);
  if (now === null) return `libtorch is gone: ${main} does not exist`;
  if (now.size !== record.fingerprint.size || now.mtimeMs !== record.fingerprint.mtimeMs) {
    return `libtorch in ${record.torchDir} was replaced after the addon was built against it`;
  }
  if (!existsSync(record.addon)) return `the addon is gone: ${record.addon} does not exist`;
  if (hashNativeSources(join(root, 'native')) !== record.nativeHash)
    return 'the addon was built from other sources than those in native/';
  return null;
}

/**
 * Hash of everything that the addon is made from: names and contents, in order, so that a changed time stamp (after
 * `git checkout`, say) costs no build. About 1 ms.
 *
 * @param {string} folder native/, or a copy of it.
 * @returns {string} 16 hexadecimal digits.
 */
export function hashNativeSources(folder) {
  const hash = createHash('sha256');
  for (const file of nativeSources(folder)) {
    hash.update(`${file}\0`);
    hash.update(readFileSync(join(folder, file)));
    hash.update('\0');
  }
  return hash.digest('hex').slice(0, 16);
}

/**
 * The addon's build file and sources, relative to their folder, sorted.
 *
 * @param {string} folder native/, or a copy of it.
 * @returns {string[]}
 */
export function nativeSources(folder) {
  const found = existsSync(join(folder, 'binding.gyp')) ? ['binding.gyp'] : [];
  /** @param {string} below */
  const visit = (below) => {
    for (const entry of readdirSync(join(folder, below), { withFileTypes: true })) {
      const path = `${below}/${entry.name}`;
      if (entry.isDirectory()) visit(path);
      else if (/\.(cc|cpp|c|h|hpp|inc|mm)$/.test(entry.name)) found.push(path);
    }
  };
  if (existsSync(join(folder, 'src'))) visit('src');
  return found.sort();
}

/** @param {string} path */
function statOrNull(path) {
  return statSync(path, { throwIfNoEntry: false }) ?? null;
}

/**
 * @param {string} reason
 * @param {string} path
 * @param {string} root
 */
function notSetUp(reason, path, root) {
  return new SetupError('ENGINE_NOT_SET_UP', `Nudge's engine is not ready: ${reason}.`, {
    path: `${root} (record: ${path})`,
    remedy: `run \`${setupCommand(root)}\`, then the same command again`,
  });
}
