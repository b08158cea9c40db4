/** A whole model from the hub into the cache: three files at a time, under a lock, complete or not there. */

import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { withLock } from '../../setup/lock.mjs';
import { size } from '../../setup/progress.mjs';
import { quoteSome } from '../files/index.ts';
import { type CacheEntry, cacheFolders, confirm, entryName, type Manifest, publish, readEntry } from './cache.ts';
import { HubClient, type RemoteFile, type Repository } from './client.ts';
import { bytesPresent, downloadFile } from './download.ts';
import { diskFull, explainHubError, explainWriteError } from './explain.ts';
import { HttpRefusal } from './http.ts';
import type { Reference } from './names.ts';
import { withProxy } from './proxy.ts';
import { selectFiles, shardsOf, WEIGHTS_INDEX } from './select.ts';
import type { Settings } from './settings.ts';

const AT_ONCE = 3;
/** Left free on the disk, for everything else. */
const MARGIN = 64e6;

export interface Pulled {
  readonly entry: CacheEntry;
  /** False when all of it was there. */
  readonly fetched: boolean;
}

/**
 * Makes sure that a model's revision, as the hub has it now, is in the cache.
 *
 * @param fresh fetch all of it again, whatever is there.
 * @throws NudgeError HUB_UNREACHABLE, HUB_FAILED, MODEL_NOT_FOUND, MODEL_GATED, CHECKSUM, DISK_FULL, BAD_FILE, IO_FAILED.
 */
export async function pullFromHub(reference: Reference, settings: Settings, fresh = false): Promise<Pulled> {
  const client = new HubClient(settings);
  let reached = false;
  return await withProxy(settings.env, async () => {
    try {
      const repository = await client.repository(reference.id, reference.revision ?? 'main');
      reached = true;
      return await pullCommit(client, reference, repository, settings, fresh);
    } catch (error) {
      const missing = error instanceof HttpRefusal && (error.status === 404 || error.status === 401);
      const similar = missing && error.code !== 'GatedRepo' ? await client.similar(reference.id) : [];
      throw explainWriteError(explainHubError(error, { reference, settings, similar, reached }), settings.cache);
    }
  });
}

async function pullCommit(
  client: HubClient,
  reference: Reference,
  { commit }: Repository,
  settings: Settings,
  fresh: boolean,
): Promise<Pulled> {
  const name = entryName(reference.id, commit);
  return await lockEntry(name, settings, async () => {
    const { models, partial } = cacheFolders(settings);
    const found = readEntry(models, name);
    if (found !== null && 'manifest' in found && !fresh) {
      return { entry: confirm(found, reference.revision ?? 'main'), fetched: false };
    }
    const folder = join(partial, name);
    if (fresh) rmSync(folder, { recursive: true, force: true });
    else if (found !== null) salvage(found.folder, folder);
    mkdirSync(folder, { recursive: true });
    const where = `${settings.endpoint}/${reference.id}`;
    const files = selectFiles(await client.files(reference.id, commit), where);
    checkSpace(settings, folder, files);
    await downloadAll(client, reference.id, commit, files, folder, settings);
    checkShards(folder, files, where);
    return { entry: await publish(settings, folder, makeManifest(reference, commit, files, settings)), fetched: true };
  });
}

/** Runs `work` while nobody else changes this entry of the cache. */
export async function lockEntry<T>(
  name: string,
  settings: Settings,
  work: (lock: { addChild: (pid: number) => void }) => Promise<T>,
): Promise<T> {
  return await withLock(join(cacheFolders(settings).locks, name), work, ({ pid }) => {
    settings.report({ type: 'note', text: `another process (${pid}) is fetching this model; waiting for it` });
  });
}

/** Makes a damaged folder a partial one, to be completed: what is whole in it need not be fetched twice. */
function salvage(folder: string, work: string): void {
  rmSync(work, { recursive: true, force: true });
  mkdirSync(dirname(work), { recursive: true });
  renameSync(folder, work);
}

function checkSpace(settings: Settings, folder: string, files: readonly RemoteFile[]): void {
  const missing = files.reduce((sum, file) => sum + file.bytes - bytesPresent(folder, file), 0);
  const free = settings.freeBytes(folder);
  if (missing === 0 || free === null || free >= missing + MARGIN) return;
  throw diskFull(folder, `${size(free)} free`, missing + MARGIN);
}

async function downloadAll(
  client: HubClient,
  id: string,
  commit: string,
  files: readonly RemoteFile[],
  folder: string,
  settings: Settings,
): Promise<void> {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const before = files.reduce((sum, file) => sum + bytesPresent(folder, file), 0);
  let done = before;
  const abort = new AbortController();
  const onBytes = (count: number) => {
    done += count;
    settings.report({
      type: 'progress',
      source: 'hub',
      detail: `fetching ${id}`,
      done,
      total,
      before: Math.min(before, done),
    });
  };
  const queue = [...files];
  const work = async () => {
    for (let file = queue.shift(); file !== undefined && !abort.signal.aborted; file = queue.shift()) {
      await downloadFile({ client, settings, id, commit, folder, onBytes, signal: abort.signal }, file);
    }
  };
  const workers = Array.from({ length: AT_ONCE }, () =>
    work().catch((error) => {
      // The first failure ends the others; theirs is only that they were ended.
      if (!abort.signal.aborted) abort.abort(error);
    }),
  );
  await Promise.all(workers);
  abort.signal.throwIfAborted();
}

/** That the index and the list of files agree: a shard that is missing would be noticed only at loading. */
function checkShards(folder: string, files: readonly RemoteFile[], where: string): void {
  const present = new Set(files.map(({ path }) => path));
  if (!present.has(WEIGHTS_INDEX)) return;
  const missing = shardsOf(readFileSync(join(folder, WEIGHTS_INDEX), 'utf8'), where).filter(
    (name) => !present.has(name),
  );
  if (missing.length === 0) return;
  throw new NudgeError('BAD_FILE', 'The repository lacks files that its index names.', {
    path: where,
    expected: quoteSome(missing),
    received: `${present.size} files without ${missing.length === 1 ? 'it' : 'them'}`,
    remedy: 'Choose another revision, or tell the owner of the repository.',
  });
}

function makeManifest(
  reference: Reference,
  commit: string,
  files: readonly RemoteFile[],
  settings: Settings,
): Manifest {
  const now = new Date().toISOString();
  return {
    format: 1,
    id: reference.id,
    kind: 'hf-directory',
    source: 'hub',
    origin: settings.endpoint,
    revisions: [reference.revision ?? 'main'],
    version: commit,
    file: null,
    files: files.map(({ path, bytes, digest }) => ({
      path,
      bytes,
      checksum: digest === null ? null : `${digest.algorithm}:${digest.hex}`,
    })),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    fetchedAt: now,
    confirmedAt: now,
  };
}
