/** What a user calls a model: a short name, `owner/name` on the hub, either with `@revision`. Paths are found elsewhere. */

import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';
import { KNOWN_MODELS, type KnownModel } from './known-models.ts';

/** A model on the hub, by whichever name it was asked for. */
export interface Reference {
  /** As the user wrote it. */
  readonly name: string;
  /** `owner/name`. */
  readonly id: string;
  /** A branch, tag or commit; null when none was named, which means `main`. */
  readonly revision: string | null;
  readonly known: KnownModel | null;
}

// The hub's own rules: no `--` and no `..`, at most 96 characters. That makes `owner--name` a file name that can be read back.
const ID = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;
const LONGEST_ID = 96;
const REVISION = /^[A-Za-z0-9][\w.+/-]{0,199}$/;
const COMMIT = /^[0-9a-f]{40}$/;

/**
 * Reads a name.
 *
 * @param revision the one that was asked for beside the name; both may be given when they agree.
 * @returns null when it can only be a path.
 * @throws NudgeError BAD_ARGUMENT for a name or revision that no model can have, MODEL_NOT_FOUND for an unknown short name.
 */
export function parseReference(name: string, revision?: string | null): Reference | null {
  if (looksLikePath(name)) return null;
  const bare = name.startsWith('hf:') ? name.slice(3) : name;
  const at = bare.lastIndexOf('@');
  const id = at < 0 ? bare : bare.slice(0, at);
  const chosen = agree(name, at < 0 ? null : bare.slice(at + 1), revision ?? null);
  const known = findKnown(id);
  if (known !== null) return { name, id: known.id, revision: chosen, known };
  if (isModelId(id)) return { name, id, revision: chosen, known: null };
  if (id.includes('/')) {
    throw new NudgeError('BAD_ARGUMENT', 'This is neither a path that exists nor the name of a model.', {
      received: quote(name),
      expected: 'a path, a short name, or owner/name as on the hub, each name with @revision if you like',
      remedy: 'Correct it, or run `nudge models list` for the short names.',
    });
  }
  throw new NudgeError('MODEL_NOT_FOUND', `There is no model called ${quote(id)}, and no such file or directory.`, {
    expected: 'a path, a short name, or owner/name as on the hub',
    remedy: `${didYouMean(nearestNames(id))}\`nudge models list\` shows the short names.`,
  });
}

/** Whether a text starts as paths do, so that it can be nothing else. */
export function looksLikePath(text: string): boolean {
  return /^(\.{0,2}[/\\]|\.{1,2}$|~|[A-Za-z]:[/\\])/.test(text) || /\.(gguf|safetensors)$/i.test(text);
}

export function isModelId(text: string): boolean {
  return ID.test(text) && text.length <= LONGEST_ID && !/--|\.\./.test(text) && !/[.-](\/|$)/.test(text);
}

export function isRevision(text: string): boolean {
  return REVISION.test(text) && !/\.\.|\/\/|\/$/.test(text);
}

/** A text of 40 hexadecimal digits. */
export type Commit = string & { readonly length: 40 };

export const isCommit = (text: unknown): text is Commit => typeof text === 'string' && COMMIT.test(text);

function agree(name: string, named: string | null, option: string | null): string | null {
  for (const revision of [named, option]) {
    if (revision === null || isRevision(revision)) continue;
    throw new NudgeError('BAD_ARGUMENT', 'This is not the name of a revision.', {
      expected: 'a branch, a tag or a commit, such as main, v1.0 or refs/pr/4',
      received: quote(revision),
      remedy: 'Correct it, or leave it out for the newest revision.',
    });
  }
  if (named === null || option === null || named === option) return option ?? named;
  throw new NudgeError('BAD_ARGUMENT', 'Two revisions were asked for.', {
    expected: 'one of them',
    received: `${quote(named)} in ${quote(name)}, and ${quote(option)}`,
    remedy: 'Leave one of them out.',
  });
}

function findKnown(name: string): KnownModel | null {
  const lower = name.toLowerCase();
  return KNOWN_MODELS.find(({ shortName, id }) => shortName === lower || id.toLowerCase() === lower) ?? null;
}

/** The names that are most like a mistyped one, best first: ids for an id, short names otherwise. */
export function nearestNames(
  name: string,
  names: readonly string[] = KNOWN_MODELS.map(({ shortName, id }) => (name.includes('/') ? id : shortName)),
): string[] {
  const wanted = simplify(name);
  return names
    .map((candidate) => ({ candidate, distance: distanceTo(wanted, candidate) }))
    .filter(({ distance }) => distance <= 0.4)
    .sort((a, b) => a.distance - b.distance)
    .map(({ candidate }) => candidate)
    .slice(0, 4);
}

/** `Did you mean a, b or c? `, or nothing. */
export function didYouMean(names: readonly string[]): string {
  if (names.length === 0) return '';
  const last = names.at(-1);
  return `Did you mean ${names.length === 1 ? last : `${names.slice(0, -1).join(', ')} or ${last}`}? `;
}

/** The owner is often what people get wrong, and so are dots and dashes. */
const simplify = (name: string): string => (name.split('/').at(-1) ?? '').toLowerCase().replace(/[^a-z0-9]/g, '');

function distanceTo(wanted: string, candidate: string): number {
  const other = simplify(candidate);
  // "smollm2" for "smollm2-135m-instruct": a beginning is a near miss, however short.
  if (wanted.length >= 3 && other.startsWith(wanted)) return 0.2 * (1 - wanted.length / other.length);
  return editDistance(wanted, other) / Math.max(wanted.length, other.length, 1);
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
