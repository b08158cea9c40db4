/**
 * The models in Nudge's cache.
 *
 *     <cache>/models/HuggingFaceTB--SmolLM2-135M@93efa2f097d5/    complete: it has its manifest, and got its name last
 *     <cache>/models/.partial/<the same name>/                    being fetched, or left by a pull that was cut off
 *     <cache>/models/.locks/<the same name>/                      who is fetching it
 */

import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonOrNull, writeFileAtomic } from '../../setup/files.mjs';
import { syncDirectory } from '../files/index.ts';
import { isCommit, isModelId, type Reference } from './names.ts';
import type { Settings } from './settings.ts';

/** In each model's folder: what it is and where it came from. */
export const MANIFEST = 'nudge-model.json';

export type ModelKind = 'hf-directory' | 'gguf';

export interface ManifestFile {
  readonly path: string;
  readonly bytes: number;
  /** For example "sha256:9f86...". Null where the source names none: the size was compared then. */
  readonly checksum: string | null;
}

export interface Manifest {
  readonly format: 1;
  /** `owner/name`. */
  readonly id: string;
  readonly kind: ModelKind;
  readonly source: 'hub' | 'pypi';
  /** The hub's address, or "PyPI". */
  readonly origin: string;
  /** The branches and tags that it was pulled as; none for a package. */
  readonly revisions: readonly string[];
  /** The commit, or the package and its version. */
  readonly version: string;
  /** The file to load, for GGUF. */
  readonly file: string | null;
  readonly files: readonly ManifestFile[];
  readonly bytes: number;
  readonly fetchedAt: string;
  /** When the source last said that this is what `revisions` mean. */
  readonly confirmedAt: string;
}

/** A complete model. */
export interface CacheEntry {
  /** The folder's name. */
  readonly name: string;
  readonly folder: string;
  /** The folder, or the GGUF file in it. */
  readonly path: string;
  readonly manifest: Manifest;
}

/** A folder that should be a complete model and is not. */
export interface DamagedEntry {
  readonly name: string;
  readonly folder: string;
  readonly id: string;
  readonly reason: string;
}

export interface CacheFolders {
  readonly models: string;
  readonly partial: string;
  readonly locks: string;
}

export function cacheFolders({ cache }: Pick<Settings, 'cache'>): CacheFolders {
  const models = join(cache, 'models');
  return { models, partial: join(models, '.partial'), locks: join(models, '.locks') };
}

/** The name of a model's folder. */
export function entryName(id: string, version: string): string {
  const short = isCommit(version) ? version.slice(0, 12) : version.replace(/[^\w.-]/g, '-');
  return `${id.replace('/', '--')}@${short}`;
}

/** All that is complete, and all that should be; by name. @param id only this model's. */
export function readCache(
  settings: Pick<Settings, 'cache'>,
  id?: string,
): { entries: CacheEntry[]; damaged: DamagedEntry[] } {
  const { models } = cacheFolders(settings);
  const [entries, damaged]: [CacheEntry[], DamagedEntry[]] = [[], []];
  for (const name of namesIn(models)) {
    if (id !== undefined && idOfEntry(name) !== id) continue;
    const found = readEntry(models, name);
    if (found === null) continue;
    if ('manifest' in found) entries.push(found);
    else damaged.push(found);
  }
  return { entries, damaged };
}

/** What an interrupted pull left: the folder's name and its bytes so far. */
export function readPartials(settings: Pick<Settings, 'cache'>): { name: string; folder: string; bytes: number }[] {
  const { partial } = cacheFolders(settings);
  return namesIn(partial).map((name) => ({
    name,
    folder: join(partial, name),
    bytes: bytesBelow(join(partial, name)),
  }));
}

/** The model's id in the name of a folder; null when it is none of ours. */
export function idOfEntry(name: string): string | null {
  const [, owner, model] = /^([^/@]+?)--([^/@]+)@[\w.-]+$/.exec(name) ?? [];
  const id = `${owner}/${model}`;
  return model !== undefined && isModelId(id) ? id : null;
}

/** Looks at one folder. null when it is not there, or none of ours. */
export function readEntry(models: string, name: string): CacheEntry | DamagedEntry | null {
  const id = idOfEntry(name);
  const folder = join(models, name);
  if (id === null || !existsSync(folder)) return null;
  const manifest = readManifest(join(folder, MANIFEST));
  if (manifest === null || manifest.id !== id) return { name, folder, id, reason: `its ${MANIFEST} cannot be read` };
  for (const { path, bytes } of manifest.files) {
    const size = sizeOf(join(folder, path));
    if (size === bytes) continue;
    return { name, folder, id, reason: `${path} ${size === null ? 'is gone' : `has ${size} bytes, not ${bytes}`}` };
  }
  return { name, folder, path: manifest.file === null ? folder : join(folder, manifest.file), manifest };
}

/**
 * The copy to use for a name: the original before the quantised one of a package, then the one that was newest
 * when it was last pulled.
 *
 * Without a revision any copy of `main` or of a package will do: what is here is used as it is, so that a model stays the
 * same until it is pulled again.
 */
export function findCached(settings: Pick<Settings, 'cache'>, { id, revision }: Reference): CacheEntry | null {
  const fits = ({ manifest }: CacheEntry) =>
    revision === null
      ? manifest.revisions.includes('main') || manifest.source === 'pypi'
      : manifest.revisions.includes(revision) ||
        (/^[0-9a-f]{7,40}$/.test(revision) && manifest.version.startsWith(revision));
  const rank = ({ manifest }: CacheEntry) => `${manifest.source === 'hub' ? 1 : 0} ${manifest.confirmedAt}`;
  return (
    readCache(settings, id)
      .entries.filter(fits)
      .sort((a, b) => (rank(a) < rank(b) ? 1 : -1))[0] ?? null
  );
}

/** Gives a finished folder its manifest and then its name; whatever had the name is gone afterwards. */
export async function publish(settings: Settings, work: string, manifest: Manifest): Promise<CacheEntry> {
  const { models, partial } = cacheFolders(settings);
  const name = entryName(manifest.id, manifest.version);
  const folder = join(models, name);
  writeFileSync(join(work, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, { flush: true });
  await syncDirectory(work);
  discard(folder, join(partial, `${name}.replaced`));
  renameSync(work, folder);
  await syncDirectory(models);
  return { name, folder, path: manifest.file === null ? folder : join(folder, manifest.file), manifest };
}

/** Notes that a copy is what a revision means now, so that it is found by that name offline too. */
export function confirm(entry: CacheEntry, revision: string): CacheEntry {
  const revisions = [...new Set([...entry.manifest.revisions, revision])];
  const manifest = { ...entry.manifest, revisions, confirmedAt: new Date().toISOString() };
  writeFileAtomic(join(entry.folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
  return { ...entry, manifest };
}

/** Takes a folder away in one step, then deletes it: nobody meets half of it, and what is cut off leaves only litter. */
export function discard(folder: string, aside: string): void {
  rmSync(aside, { recursive: true, force: true });
  try {
    mkdirSync(join(aside, '..'), { recursive: true });
    renameSync(folder, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  rmSync(aside, { recursive: true, force: true });
}

export function bytesBelow(path: string): number {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) return stat.size;
  return readdirSync(path).reduce((sum, name) => sum + bytesBelow(join(path, name)), 0);
}

/** The size of a file, null where there is none. */
export function sizeOf(path: string): number | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() ? stat.size : null;
}

/** Folders of ours; names that begin with a dot are not models. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

function readManifest(path: string): Manifest | null {
  const manifest: Partial<Manifest> | null = readJsonOrNull(path);
  if (manifest === null || typeof manifest !== 'object' || manifest.format !== 1) return null;
  const { id, revisions, version, origin, fetchedAt, confirmedAt, file, files, source, kind } = manifest;
  const texts = [id, version, origin, fetchedAt, confirmedAt].every((value) => typeof value === 'string');
  const isPlain = (name: unknown) => typeof name === 'string' && /^[^/\\]+$/.test(name) && !/^\.{1,2}$/.test(name);
  if (!texts || !Array.isArray(revisions) || !Array.isArray(files) || !files.every((entry) => isPlain(entry?.path)))
    return null;
  if (file !== null && !isPlain(file)) return null;
  const known = (source === 'hub' || source === 'pypi') && (kind === 'gguf' || kind === 'hf-directory');
  return known ? (manifest as Manifest) : null;
}
