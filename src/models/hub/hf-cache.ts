/** The cache of Hugging Face's own libraries: what they have fetched already is used where it lies, and never changed. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sizeOf } from './cache.ts';
import { isCommit, isModelId, type Reference } from './names.ts';
import { CONFIG, shardsOf, WEIGHTS, WEIGHTS_INDEX } from './select.ts';
import type { Settings } from './settings.ts';

export interface HfSnapshot {
  readonly id: string;
  readonly commit: string;
  /** A folder of links into the cache's blobs. */
  readonly path: string;
}

/**
 * The snapshot of a model: `models--owner--name/snapshots/<commit>`, by way of `refs/<revision>`.
 *
 * @returns Why there is none to use, as text, when there is a part of one; null when there is nothing.
 */
export function findSnapshot(
  { hfCache }: Pick<Settings, 'hfCache'>,
  { id, revision }: Reference,
): HfSnapshot | string | null {
  const folder = join(hfCache, `models--${id.replace('/', '--')}`);
  const commit = isCommit(revision) ? revision : readText(join(folder, 'refs', revision ?? 'main'))?.trim();
  if (!isCommit(commit)) return null;
  const path = join(folder, 'snapshots', commit);
  const missing = missingFrom(path);
  if (missing === null) return { id, commit, path };
  return missing === CONFIG ? null : `Hugging Face's cache has it without ${missing}`;
}

/** Every model whose `main` is there as a whole. */
export function listSnapshots(settings: Pick<Settings, 'hfCache'>): (HfSnapshot & { bytes: number })[] {
  return namesIn(settings.hfCache).flatMap((name) => {
    const id = /^models--(.+)$/.exec(name)?.[1]?.replace('--', '/') ?? '';
    if (!isModelId(id)) return [];
    const found = findSnapshot(settings, { name: id, id, revision: null, known: null });
    if (found === null || typeof found === 'string') return [];
    const bytes = namesIn(found.path).reduce((sum, file) => sum + (sizeOf(join(found.path, file)) ?? 0), 0);
    return [{ ...found, bytes }];
  });
}

/** The first of the files that a model cannot do without which is not there; a link whose blob is gone counts as not there. */
function missingFrom(path: string): string | null {
  const has = (name: string) => sizeOf(join(path, name)) !== null;
  if (!has(CONFIG)) return CONFIG;
  if (!['tokenizer.json', 'tokenizer.model', 'vocab.json'].some(has)) return 'tokenizer.json';
  if (has(WEIGHTS)) return null;
  const index = readText(join(path, WEIGHTS_INDEX));
  if (index === null) return WEIGHTS;
  try {
    return shardsOf(index, path).find((shard) => !has(shard)) ?? null;
  } catch {
    return `a valid ${WEIGHTS_INDEX}`;
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
