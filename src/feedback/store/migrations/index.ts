/** The store's versions, oldest first. A migration that was released is never edited: write the next one. */
import type { Migration } from 'kysely/migration';
import * as records from './0001-records.ts';
import * as snapshots from './0002-snapshots.ts';

export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-records': records,
  '0002-snapshots': snapshots,
};
