/** Records as JSON Lines. */

import { type WriteOptions, writeAtomically } from './atomic.ts';

/** Writes one object a line. @returns how many. @throws NudgeError FILE_EXISTS, IO_FAILED, DISK_FULL. */
export async function writeJsonLines(
  path: string,
  rows: Iterable<object> | AsyncIterable<object>,
  options: WriteOptions = {},
): Promise<number> {
  return await writeAtomically(path, options, async (append) => {
    let count = 0;
    for await (const row of rows) {
      await append(Buffer.from(`${JSON.stringify(row)}\n`));
      count++;
    }
    return count;
  });
}
