/** A JSONL file that grows row by row and may be cut off anywhere by a crash. */
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';

/**
 * Reads what was written before, and cuts off a last row that is not whole.
 *
 * @returns the rows, in the order in which they were written.
 */
export function openJournal<Row>(path: string): { rows: Row[]; append: (row: Row) => void } {
  const rows = existsSync(path) ? recover<Row>(path) : [];
  return { rows, append: (row) => appendFileSync(path, `${JSON.stringify(row)}\n`) };
}

function recover<Row>(path: string): Row[] {
  const contents = readFileSync(path);
  const rows: Row[] = [];
  let end = 0;
  while (true) {
    const next = contents.indexOf(10, end);
    if (next < 0) break;
    try {
      rows.push(JSON.parse(contents.toString('utf8', end, next)) as Row);
    } catch {
      // After a power cut blocks may be missing in the middle: what comes after them is made again.
      break;
    }
    end = next + 1;
  }
  if (end < contents.length) truncateSync(path, end);
  return rows;
}
