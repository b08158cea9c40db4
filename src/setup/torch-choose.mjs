/** Which libtorch to use: a named one, the last one, the active Python's, the cache's, or a fetched one. */

import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SetupError } from './failure.mjs';
import { readJsonOrNull } from './files.mjs';
import { setupCommand } from './paths.mjs';
import { probePython } from './prerequisites.mjs';
import { fetchTorch, MANIFEST } from './torch-fetch.mjs';
import {
  checkTorchVersion,
  inspectTorch,
  TORCH_LIMIT,
  TORCH_MINIMUM,
  TORCH_VERSION,
  versionProblem,
} from './torch-info.mjs';

/** @import { Context } from './context.mjs' */
/** @import { EngineRecord } from './engine.mjs' */
/** @import { Request } from './request.mjs' */
/** @import { TorchInfo } from './torch-info.mjs' */

/** @typedef {{ torch: TorchInfo, source: string }} Choice */

/**
 * @param {Context} context
 * @param {Request} request
 * @param {EngineRecord | null} last What the last set-up of this package folder chose.
 * @param {{ addChild: (pid: number) => void }} lock
 * @returns {Promise<Choice>}
 */
export async function chooseTorch(context, request, last, lock) {
  if (request.torch !== null) {
    const { path, from } = request.torch;
    const torch = inspectTorch(path, context.platform, from);
    checkTorchVersion(torch, from);
    return { torch, source: from };
  }
  const gpu = hasNvidiaGpu(context);
  const wanted = request.device ?? (gpu && context.platform === 'linux' ? 'cuda' : 'cpu');
  const exact = request.device !== null;

  const kept = request.fresh ? null : keepLast(context, last, exact ? wanted : null);
  if (kept !== null) return kept;

  const python = await probePython(context);
  const installed = installedTorch(context, python.torch, wanted, exact);
  if (installed !== null) {
    if (gpu && installed.torch.variant === 'cpu') noteUnusedGpu(context, 'the active Python has a CPU build of torch');
    return installed;
  }
  const cached = cachedTorch(context, wanted);
  if (cached !== null) return cached;

  const fetched = await fetchTorch(context, wanted, python, lock);
  if (wanted === 'cuda' && fetched.variant === 'cpu') {
    if (exact) throw noCudaWheel(fetched);
    noteUnusedGpu(context, 'pip’s index has only a CPU build');
  }
  return { torch: fetched, source: `a wheel fetched with pip (${dirname(fetched.dir)})` };
}

/**
 * An NVIDIA GPU with its driver, as seen without running anything.
 *
 * @param {Context} context
 */
export function hasNvidiaGpu({ platform, env }) {
  if (platform !== 'linux' || env.CUDA_VISIBLE_DEVICES === '-1') return false;
  // Under WSL the device is /dev/dxg and the driver's library comes from Windows.
  return (
    existsSync('/proc/driver/nvidia/version') ||
    existsSync('/dev/nvidiactl') ||
    existsSync('/usr/lib/wsl/lib/libcuda.so.1')
  );
}

/**
 * @param {Context} context
 * @param {EngineRecord | null} last
 * @param {'cpu' | 'cuda' | null} variant The build that it must be; null means either.
 * @returns {Choice | null}
 */
function keepLast(context, last, variant) {
  if (last === null || (variant !== null && last.variant !== variant)) return null;
  try {
    const torch = inspectTorch(last.torchDir, context.platform, last.source);
    return versionProblem(torch.version) === null ? { torch, source: last.source } : null;
  } catch {
    return null;
  }
}

/**
 * @param {Context} context
 * @param {string | null} dir
 * @param {'cpu' | 'cuda'} wanted
 * @param {boolean} exact
 * @returns {Choice | null}
 */
function installedTorch(context, dir, wanted, exact) {
  if (dir === null) return null;
  let torch;
  try {
    torch = inspectTorch(dir, context.platform, 'the active Python');
  } catch {
    context.progress.note(`Skipping the active Python's torch: ${dir} lacks its libraries or headers.`);
    return null;
  }
  const problem = versionProblem(torch.version);
  if (problem !== null) {
    context.progress.note(
      `Skipping the active Python's torch ${torch.version}: ${problem}, Nudge needs ${TORCH_MINIMUM} <= version < ${TORCH_LIMIT}.`,
    );
    return null;
  }
  if (exact && torch.variant !== wanted) {
    context.progress.note(`Skipping the active Python's torch ${torch.version}: it is a ${torch.variant} build.`);
    return null;
  }
  return { torch, source: `the active Python (${dir})` };
}

/**
 * @param {Context} context
 * @param {'cpu' | 'cuda'} wanted
 * @returns {Choice | null}
 */
function cachedTorch(context, wanted) {
  const suffix = `-${context.platform}-${context.arch}`;
  for (const name of readdirSync(context.cache.torch).sort()) {
    if (!name.startsWith(TORCH_VERSION) || !name.endsWith(suffix)) continue;
    const site = join(context.cache.torch, name);
    const manifest = readJsonOrNull(join(site, MANIFEST));
    if (manifest === null || manifest.requested !== wanted) continue;
    try {
      const torch = inspectTorch(join(site, 'torch'), context.platform, 'the cache');
      // A folder that something else cut short (a failing disk, a cleaner of old files) is fetched again.
      if (statSync(join(torch.libDir, manifest.library.name)).size !== manifest.library.size) continue;
      return { torch, source: `the cache (${site})` };
    } catch {}
  }
  return null;
}

/**
 * @param {Context} context
 * @param {string} why
 */
function noteUnusedGpu(context, why) {
  context.progress.note(
    `Note: this machine has an NVIDIA GPU, but ${why}. For the GPU run \`${setupCommand(context.root, '--cuda')}\`.`,
  );
}

/** @param {TorchInfo} torch */
function noCudaWheel(torch) {
  return new SetupError('NO_CUDA_WHEEL', 'CUDA was asked for, but pip found only a CPU build of torch.', {
    expected: `torch ${TORCH_VERSION} with CUDA`,
    received: torch.version,
    remedy:
      'check which index pip uses (`python3 -m pip config list`), or install torch with CUDA yourself and set NUDGE_TORCH to its folder',
  });
}
