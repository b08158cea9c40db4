/** Rows that are there more than once. */

import { createHash } from 'node:crypto';
import type { AnyRecord } from './records.ts';

export interface Deduplicated<R> {
  /** The first of each, in order. */
  records: R[];
  /** For each record kept, its index among those given. */
  sources: number[];
  /** How many were left out. */
  duplicates: number;
}

/**
 * Leaves out records that are the same in all fields of their format; `extra` (an id, a source) may differ. White space counts:
 * an answer with another line break is another answer.
 */
export function deduplicate<R extends AnyRecord>(records: readonly R[]): Deduplicated<R> {
  const seen = new Set<string>();
  const sources = records.flatMap((record, i) => {
    const { extra: _, ...fields } = record;
    // Digests, not texts: a set of all texts would hold the dataset a second time.
    const digest = createHash('sha256').update(canonical(fields)).digest('base64');
    if (seen.has(digest)) return [];
    seen.add(digest);
    return [i];
  });
  const kept = sources.map((i) => records[i] as R);
  return { records: kept, sources, duplicates: records.length - kept.length };
}

/** JSON with the fields of objects in alphabetical order: the order of columns tells no rows apart. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
