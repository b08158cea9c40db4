/** Rows of a known dataset, checked against what they are known to look like. */

import type * as z from 'zod';
import { NudgeError } from '../../errors.ts';
import { type Place, type ReadOptions, readRows, showPlace } from '../read/index.ts';

/** @throws NudgeError BAD_FILE for the first row that is otherwise: then it is not this dataset. */
export async function* readAs<T>(
  paths: string | readonly string[],
  schema: z.ZodType<T>,
  options: ReadOptions = {},
): AsyncGenerator<{ value: T; where: Place }> {
  for await (const row of readRows(paths, options)) {
    if ('fault' in row) throw notThisDataset(row.where, `the row ${row.fault.reason}`);
    const parsed = schema.safeParse(row.value);
    if (parsed.success) yield { value: parsed.data, where: row.where };
    else {
      const [issue] = parsed.error.issues;
      throw notThisDataset(row.where, `${issue?.path.join('.')}: ${issue?.message}`);
    }
  }
}

function notThisDataset(where: Place, received: string): NudgeError {
  return new NudgeError('BAD_FILE', 'This file is not the dataset that it should be.', {
    path: showPlace(where),
    received,
    remedy: 'See docs/data.md for the file that is meant; others are read with loadRecords.',
  });
}
