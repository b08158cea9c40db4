/** Fetches a torch wheel with pip and puts the parts that Nudge needs into the cache. */

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childEnvironment } from './context.mjs';
import { DISK_FULL, diskFull, explainFileError, SetupError } from './failure.mjs';
import { fileSha256, makeTemporaryFolder } from './files.mjs';
import { explainPipFailure, NO_MATCH, pip } from './pip.mjs';
import { checkFreeSpace, checkPip } from './prerequisites.mjs';
import { size } from './progress.mjs';
import { lastLines } from './run.mjs';
import { inspectTorch, libraryFile, TORCH_VERSION } from './torch-info.mjs';

/** @import { Context } from './context.mjs' */
/** @import { Python } from './prerequisites.mjs' */
/** @import { TorchInfo } from './torch-info.mjs' */

/** In each folder of the cache's torch/: what it was made from. */
export const MANIFEST = 'nudge-torch.json';

/**
 * PyTorch's own index of CPU wheels. The one on PyPI for Linux is a CUDA build: with NVIDIA's libraries, which it needs
 * even to run on the CPU, many times the download.
 */
const CPU_INDEX = 'https://download.pytorch.org/whl/cpu';
/** pip is given this long for a first word from the CPU index: where it is blocked, that must not cost minutes. */
const CPU_INDEX_PATIENCE = ['--timeout', '5', '--retries', '0'];
/** A Python that torch has wheels for, to ask for in place of one that is too old or too new: libtorch is the same. */
const STAND_IN_PYTHON = ['--python-version', '3.12', '--only-binary', ':all:'];

/** Free bytes needed: wheel and unpacked files at once, then the build of the addon. */
const SPACE = { cpu: 2e9, cuda: 12e9 };

/**
 * SHA-256 of wheels as they were published. pip checks every download against its index; these also guard against an index
 * that was tampered with. A wheel that is not listed is checked by pip and by the list of checksums inside it.
 */
export const KNOWN_WHEELS = new Map([
  [
    'torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl',
    '6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b',
  ],
  [
    'torch-2.13.0-cp310-cp310-manylinux_2_28_x86_64.whl',
    'c78b7b4d04461855a764cf01bae9a462bb88bc93defcfa11235cbc8fdf3e12c4',
  ],
  [
    'torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl',
    '60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7',
  ],
  [
    'torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl',
    '796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b',
  ],
  [
    'torch-2.13.0-cp313-cp313-manylinux_2_28_x86_64.whl',
    'a3a9a21312872af8a26950b2c15680335a386a1f56ed03e780653d78b9607e9e',
  ],
  [
    'torch-2.13.0-cp314-cp314-manylinux_2_28_x86_64.whl',
    '49f1ea385c754e54919408a9bb3b5a72b0b755bbe2c916c1d6f70afbec4908a2',
  ],
]);

/**
 * @param {Context} context
 * @param {'cpu' | 'cuda'} wanted
 * @param {Python} python
 * @param {{ addChild: (pid: number) => void }} lock
 * @param {Map<string, string>} [knownWheels]
 * @returns {Promise<TorchInfo>} In the cache, complete.
 */
export async function fetchTorch(context, wanted, python, lock, knownWheels = KNOWN_WHEELS) {
  checkPip(context, python);
  checkFreeSpace(context, context.cache.root, SPACE[wanted], `fetching and unpacking libtorch (${wanted})`);
  const folder = makeTemporaryFolder(context.cache.temporary);
  try {
    const job = { context, wanted, python, folder, onStart: lock.addChild };
    const wheel = await downloadWheel(job);
    const sha256 = await checkWheel(wheel, knownWheels);
    const site = join(folder, 'site');
    await unpackWheel(job, wheel, site);
    // The wheel is as large as all that the CPU build keeps; free it before more arrives.
    rmSync(wheel);
    const torch = inspectTorch(join(site, 'torch'), context.platform, 'the fetched wheel');
    await addNvidiaLibraries(job, site, torch);
    const library = libraryFile(context.platform, 'torch_cpu');
    const manifest = {
      version: torch.version,
      variant: torch.variant,
      requested: wanted,
      wheel: basename(wheel),
      sha256,
      library: { name: library, size: torch.fingerprint.size },
      fetchedAt: new Date().toISOString(),
    };
    writeFileSync(join(site, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    return publish(context, site, torch, wanted);
  } catch (error) {
    throw explainFileError(error, context.cache.root);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @typedef {object} Job
 * @property {Context} context
 * @property {'cpu' | 'cuda'} wanted
 * @property {Python} python
 * @property {string} folder For everything temporary.
 * @property {(pid: number) => void} onStart
 */

/**
 * @param {Job} job
 * @returns {Promise<string>} Path of the wheel.
 */
async function downloadWheel({ context, wanted, python, folder, onStart }) {
  const what = `torch ${TORCH_VERSION}`;
  const target = join(folder, 'wheel');
  const base = ['download', `torch==${TORCH_VERSION}`, '--no-deps', '--dest', target];
  /** @param {string[]} more */
  const attempt = (...more) => pip(context, [...base, ...more], { folder, what: `fetching ${what}`, onStart });
  let result;
  if (wanted === 'cpu' && context.platform === 'linux') {
    result = await attempt('--index-url', CPU_INDEX, ...CPU_INDEX_PATIENCE);
    // It answered and then stalled: the index is worth more patience.
    if (result.code !== 0 && /^\s*Downloading torch-/m.test(result.output))
      result = await attempt('--index-url', CPU_INDEX);
    if (
      result.code !== 0 &&
      NO_MATCH.test(result.output) &&
      !/Retrying|Max retries|[Tt]imed? ?out/.test(result.output)
    ) {
      result = await attempt('--index-url', CPU_INDEX, ...STAND_IN_PYTHON);
    }
    if (result.code !== 0 && DISK_FULL.test(result.output)) throw diskFull(folder);
  }
  if (result?.code !== 0) result = await attempt();
  if (result.code !== 0 && NO_MATCH.test(result.output)) {
    const standIn = await attempt(...STAND_IN_PYTHON);
    if (standIn.code === 0) result = standIn;
  }
  if (result.code !== 0) throw explainPipFailure(result, { what, folder: context.cache.root, python: python.version });
  const wheel = readdirSync(target).find((name) => /^torch-.*\.whl$/.test(name));
  if (wheel !== undefined) return join(target, wheel);
  throw explainPipFailure(
    { ...result, code: 1 },
    { what: `a wheel of ${what}`, folder: context.cache.root, python: python.version },
  );
}

/**
 * @param {string} wheel
 * @param {Map<string, string>} known
 * @returns {Promise<string>} Its SHA-256.
 */
async function checkWheel(wheel, known) {
  const sha256 = await fileSha256(wheel);
  const name = basename(wheel);
  const expected = known.get(name);
  if (expected === undefined || expected === sha256) return sha256;
  throw new SetupError('CHECKSUM', 'The torch wheel that pip fetched is not the one that PyTorch published.', {
    path: name,
    expected: `SHA-256 ${expected}`,
    received: `SHA-256 ${sha256} (${size(statSync(wheel).size)})`,
    remedy: 'run `python3 -m pip cache purge` and try again; if it stays so, do not trust the index that pip uses',
  });
}

/**
 * @param {Job} job
 * @param {string} wheel
 * @param {string} site
 */
async function unpackWheel({ context, folder, onStart }, wheel, site) {
  mkdirSync(site);
  const script = join(dirname(fileURLToPath(import.meta.url)), 'unpack_wheel.py');
  const result = await context.run('python3', [script, wheel, site], {
    cwd: folder,
    env: childEnvironment(context),
    onStart,
    onLine(line) {
      const [word, done, total] = line.split(' ');
      if (word !== 'progress') return;
      context.progress.update(
        `unpacking ${size(Number(done))} of ${size(Number(total))}`,
        Number(done) / Number(total),
      );
    },
  });
  if (result.code === 0) return;
  const received = lastLines(result.output.replace(/^progress .*$/gm, ''), 3);
  if (result.code === 4 || DISK_FULL.test(result.output)) throw diskFull(context.cache.root, received);
  if (result.code === 3) {
    throw new SetupError('CHECKSUM', 'The torch wheel is damaged.', {
      path: wheel,
      received,
      remedy: 'run `python3 -m pip cache purge` and try again',
    });
  }
  throw new SetupError('UNPACK_FAILED', `The torch wheel could not be unpacked (exit code ${result.code}).`, {
    path: wheel,
    received,
    remedy: 'run the same command again',
  });
}

/**
 * A CUDA build finds NVIDIA's libraries beside itself (in nvidia/), even when it is only to run on the CPU.
 *
 * @param {Job} job
 * @param {string} site
 * @param {TorchInfo} torch
 */
async function addNvidiaLibraries({ context, wanted, python, folder, onStart }, site, torch) {
  if (torch.variant !== 'cuda') return;
  const requirements = nvidiaRequirements(site);
  if (requirements.length === 0) return;
  if (wanted === 'cpu') {
    checkFreeSpace(
      context,
      context.cache.root,
      SPACE.cuda,
      'libtorch’s CUDA build, the only one that pip’s index offers',
    );
    context.progress.note(
      'Note: only the CUDA build of libtorch can be had here; it needs NVIDIA’s libraries too (some GB more to fetch).',
    );
  }
  const list = join(folder, 'requirements.txt');
  writeFileSync(list, requirements.map((line) => `${line}\n`).join(''));
  const args = ['install', '--target', site, '--no-compile', '--no-warn-script-location', '-r', list];
  const what = 'NVIDIA’s libraries';
  const result = await pip(context, args, { folder, what: `fetching ${what}`, onStart });
  if (result.code !== 0) throw explainPipFailure(result, { what, folder: context.cache.root, python: python.version });
}

/**
 * What the wheel requires of NVIDIA's libraries. The rest of its requirements (triton, sympy, ...) is for Python only.
 *
 * @param {string} site
 * @returns {string[]}
 */
function nvidiaRequirements(site) {
  const info = readdirSync(site).find((name) => /^torch-.*\.dist-info$/.test(name));
  if (info === undefined) return [];
  const metadata = readFileSync(join(site, info, 'METADATA'), 'utf8');
  const requirements = [...metadata.matchAll(/^Requires-Dist: (.+)$/gm)].map((match) => match[1] ?? '');
  return requirements.filter((line) => /^(nvidia-|cuda-toolkit)/.test(line) && !/extra ==/.test(line));
}

/**
 * Moves the finished folder to its place in one step.
 *
 * @param {Context} context
 * @param {string} site
 * @param {TorchInfo} torch
 * @param {'cpu' | 'cuda'} wanted
 */
function publish(context, site, torch, wanted) {
  const name = `${TORCH_VERSION}-${wanted}-${context.platform}-${context.arch}`;
  const target = join(context.cache.torch, name);
  // Set-up gets here only when what is there is unusable.
  const aside = join(dirname(site), 'replaced');
  try {
    renameSync(target, aside);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error;
  }
  renameSync(site, target);
  return inspectTorch(join(target, 'torch'), context.platform, `the wheel fetched as ${torch.version}`);
}
