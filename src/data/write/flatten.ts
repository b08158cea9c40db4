/** A record as the row of a file that reads back to the same record: `extra` becomes columns of its own. */

import type { AnyRecord } from '../records.ts';

export function toRow(record: AnyRecord): Record<string, unknown> {
  const { extra, ...fields } = record;
  // The format's own fields last: they win over a column of the same name.
  return { ...extra, ...fields };
}
