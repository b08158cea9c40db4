/** Builds the addon with node-gyp, in the cache, and keeps what is built under a key of everything that went into it. */

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { childEnvironment, findNode } from './context.mjs';
import { hashNativeSources, nativeSources } from './engine.mjs';
import { DISK_FULL, diskFull, explainFileError, SetupError } from './failure.mjs';
import { makeTemporaryFolder } from './files.mjs';
import { provideHeaders } from './headers.mjs';
import { realPath, setupCommand, shortHash } from './paths.mjs';
import { checkBuildTools, checkFreeSpace, probePython } from './prerequisites.mjs';
import { lastLines } from './run.mjs';

/** @import { Context } from './context.mjs' */
/** @import { RunResult } from './run.mjs' */
/** @import { TorchInfo } from './torch-info.mjs' */

/** Binary interface of the addon: it is the same for every Node that offers this version, so Node's is not in the key. */
const NODE_API = 9;
const BUILD_SPACE = 4e8;
/** What the compiler takes for one source that includes ATen's headers. */
const MEMORY_PER_JOB = 1.5e9;

/**
 * @param {Context} context
 * @param {TorchInfo} torch
 */
function torchKey({ platform, arch }, torch) {
  const { size, mtimeMs } = torch.fingerprint;
  return [platform, arch, NODE_API, torch.version, realPath(torch.dir), size, mtimeMs].join(' ');
}

/**
 * Builds the addon unless it is there already.
 *
 * The key is that of the copied sources: what is edited meanwhile is in neither, and the run time will notice.
 *
 * @param {Context} context
 * @param {TorchInfo} torch
 * @param {{ addChild: (pid: number) => void }} lock
 * @returns {Promise<{ addon: string, nativeHash: string, built: boolean }>}
 */
export async function buildAddon(context, torch, lock) {
  const identity = torchKey(context, torch);
  const folder = join(context.cache.build, shortHash(identity));
  try {
    copySources(join(context.root, 'native'), folder);
    const nativeHash = hashNativeSources(folder);
    const addon = join(context.cache.addon, shortHash(`${nativeHash} ${identity}`), 'nudge.node');
    if (existsSync(addon)) return { addon, nativeHash, built: false };
    await checkBuildTools(context);
    checkFreeSpace(context, context.cache.root, BUILD_SPACE, 'building the addon');
    const product = await compile(context, torch, folder, lock);
    await checkLoads(context, product, lock);
    const temporary = makeTemporaryFolder(context.cache.temporary);
    copyFileSync(product, join(temporary, 'nudge.node'));
    rmSync(dirname(addon), { recursive: true, force: true });
    renameSync(temporary, dirname(addon));
    return { addon, nativeHash, built: true };
  } catch (error) {
    throw explainFileError(error, context.cache.root);
  }
}

/**
 * Brings the build folder's copy up to date. make goes by time stamps and checkouts share the folder, so a file is
 * written, with the present time, exactly when its content differs: an older stamp on other content would fool make.
 *
 * @param {string} native
 * @param {string} folder
 */
function copySources(native, folder) {
  const sources = nativeSources(native);
  if (!sources.includes('binding.gyp')) {
    throw new SetupError('BUILD_FAILED', 'The sources of the addon are missing.', {
      path: native,
      expected: 'binding.gyp and src/',
      remedy: 'install the package again, or `git checkout native`',
    });
  }
  for (const file of sources) {
    const content = readFileSync(join(native, file));
    const copy = join(folder, file);
    if (existsSync(copy) && readFileSync(copy).equals(content)) continue;
    mkdirSync(dirname(copy), { recursive: true });
    writeFileSync(copy, content);
  }
  removeOthers(folder, 'src', new Set(sources));
}

/**
 * A header that is gone in the checkout must not be found by the compiler.
 *
 * @param {string} folder
 * @param {string} below
 * @param {Set<string>} wanted
 */
function removeOthers(folder, below, wanted) {
  for (const entry of readdirSync(join(folder, below), { withFileTypes: true })) {
    const file = `${below}/${entry.name}`;
    if (entry.isDirectory()) removeOthers(folder, file, wanted);
    else if (!wanted.has(file)) rmSync(join(folder, file));
  }
}

/**
 * @param {Context} context
 * @param {TorchInfo} torch
 * @param {string} folder
 * @param {{ addChild: (pid: number) => void }} lock
 * @returns {Promise<string>} Path of the new addon.
 */
async function compile(context, torch, folder, lock) {
  const node = findNode(context) ?? context.execPath;
  const gyp = createRequire(join(context.root, 'package.json')).resolve('node-gyp/bin/node-gyp.js');
  const python = (await probePython(context)).executable;
  const headers = await provideHeaders(context, node, lock);
  const common = [`--python=${python}`, ...(headers === null ? [] : [`--nodedir=${headers}`])];
  const total = nativeSources(folder).filter((file) => /\.(cc|cpp|c|mm)$/.test(file)).length;
  const options = { cwd: folder, env: gypEnvironment(context), onStart: lock.addChild };

  context.progress.update('preparing the build');
  const configured = await context.run(node, [gyp, 'configure', ...common, '--', `-Dtorch_dir=${torch.dir}`], options);
  if (configured.code !== 0) throw explainBuildFailure(context, configured, folder);

  let compiled = 0;
  const built = await context.run(node, [gyp, 'build', ...common, '--jobs', String(jobCount(context))], {
    ...options,
    onLine(line) {
      // make announces a source when it begins with it.
      if (!/^\s*(CXX|CC)\(target\)/.test(line)) return;
      compiled++;
      context.progress.update(`compiling ${compiled}/${total} sources`, (compiled - 1) / total);
    },
  });
  if (built.code !== 0) throw explainBuildFailure(context, built, folder);
  const release = join(folder, 'build', 'Release');
  return join(release, 'nudge.node');
}

/**
 * node-gyp takes settings from npm's environment above its own command line, so a `nodedir` in someone's ~/.npmrc would
 * win over ours. Only what concerns the network is passed on.
 *
 * @param {Context} context
 */
function gypEnvironment(context) {
  const env = childEnvironment(context);
  for (const name of Object.keys(env)) {
    if (/^npm_(package_)?config_/i.test(name) && !/^npm_config_(https?_)?(proxy|noproxy|cafile|disturl)$/i.test(name))
      delete env[name];
  }
  return env;
}

/** @param {Context} context */
export function jobCount({ cores, memory, env }) {
  const asked = Number(env.NUDGE_BUILD_JOBS);
  if (Number.isInteger(asked) && asked > 0) return asked;
  return Math.max(1, Math.min(cores, Math.floor(memory / MEMORY_PER_JOB)));
}

/**
 * Loads the new addon in a process of its own, so that a library that is missing shows now and not in the first run.
 *
 * @param {Context} context
 * @param {string} product
 * @param {{ addChild: (pid: number) => void }} lock
 */
async function checkLoads(context, product, lock) {
  context.progress.update('loading it for a test');
  const script = 'process.dlopen({ exports: {} }, process.argv[1], require("node:os").constants.dlopen.RTLD_NOW)';
  const node = findNode(context) ?? context.execPath;
  const result = await context.run(node, ['-e', script, product], {
    env: childEnvironment(context),
    onStart: lock.addChild,
  });
  if (result.code === 0) return;
  const reason = /^.*Error: (.*)$/m.exec(result.output)?.[1] ?? lastLines(result.output, 3);
  throw new SetupError('ADDON_UNLOADABLE', 'The addon was built but does not load.', {
    path: product,
    received: result.code > 128 ? `the process was ended by signal ${result.code - 128}; ${reason}` : reason,
    remedy: /cannot open shared object/.test(reason)
      ? 'libtorch lacks a library: check the torch installation that set-up named, or unset NUDGE_TORCH'
      : `run \`${setupCommand(context.root, '--fresh')}\`; if it stays so, please report it with this message`,
  });
}

/**
 * @param {Context} context
 * @param {RunResult} result
 * @param {string} folder
 */
function explainBuildFailure(context, { code, output }, folder) {
  const log = join(context.cache.logs, 'addon-build.log');
  if (DISK_FULL.test(output)) return diskFull(folder);
  writeFileSync(log, output);
  if (/Killed signal terminated program|out of memory|cannot allocate memory|std::bad_alloc/i.test(output)) {
    return new SetupError('OUT_OF_MEMORY', 'The compiler ran out of memory.', {
      path: `${folder} (log: ${log})`,
      remedy: 'close other programs, or compile one source at a time: NUDGE_BUILD_JOBS=1',
    });
  }
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|related to network connectivity/.test(output)) {
    return new SetupError('NO_NETWORK', 'node-gyp cannot fetch the headers of this Node.', {
      path: `log: ${log}`,
      received: lastLines(output, 3),
      remedy: 'check the connection, or use a Node that comes with its headers (an archive from https://nodejs.org)',
    });
  }
  const errors = output.split('\n').filter((line) => /\berror\b|\*\*\*/i.test(line) && !/^gyp info/.test(line));
  return new SetupError('BUILD_FAILED', `The addon does not compile (exit code ${code}).`, {
    path: `${folder} (log: ${log})`,
    received: errors.length > 0 ? errors.slice(0, 5).join('\n            ') : lastLines(output),
    remedy: 'if you did not change native/, please report it with the log',
  });
}

/**
 * Deletes what no package folder uses any more: build folders but the last two, and old addons without a record.
 *
 * @param {Context} context
 * @param {Set<string>} usedAddons
 */
export function prune({ cache }, usedAddons) {
  const DAY = 86_400_000;
  for (const name of readdirSync(cache.addon)) {
    const folder = join(cache.addon, name);
    const age = Date.now() - statSync(folder).mtimeMs;
    if (age > DAY && !usedAddons.has(join(folder, 'nudge.node'))) rmSync(folder, { recursive: true, force: true });
  }
  const builds = readdirSync(cache.build).map((name) => join(cache.build, name));
  builds.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  for (const folder of builds.slice(2)) rmSync(folder, { recursive: true, force: true });
}
