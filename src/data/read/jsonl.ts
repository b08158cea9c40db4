/** JSON Lines: one value a line. A line that cannot be read does not keep the next from being read. */

import { readPieces } from './bytes.ts';
import { MAX_ROW_BYTES, parseRow, type RawRow, type ReadLimits, rawText } from './row.ts';

const LINE_FEED = 10;

interface Line {
  /** Without its end; the beginning alone where it is too long. */
  bytes: Buffer;
  number: number;
  /** In all, also where it is too long. */
  length: number;
  /** Whether the file ends in it: a writer that was stopped leaves such a line. */
  isLast: boolean;
}

export async function* readJsonLines(path: string, limits: ReadLimits = {}): AsyncGenerator<RawRow> {
  const { maxRowBytes = MAX_ROW_BYTES } = limits;
  let row = 0;
  for await (const { bytes, number, length, isLast } of splitLines(readPieces(path), maxRowBytes)) {
    if (length <= maxRowBytes && isBlank(bytes)) continue;
    row++;
    const where = { file: path, row, line: number };
    if (length <= maxRowBytes) yield parseRow(bytes, where, isLast);
    else yield { where, fault: { reason: tooLong(length, maxRowBytes) }, raw: rawText(bytes) };
  }
}

export function tooLong(length: number, limit: number): string {
  const show = (bytes: number) => `${bytes.toLocaleString('en-US')} bytes`;
  return `is ${show(length)} long, more than the limit of ${show(limit)} (maxRowBytes)`;
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

/** Lines of at most `limit` bytes; of longer ones the beginning, so that no line fills the memory. */
async function* splitLines(pieces: AsyncIterable<Buffer>, limit: number): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let held = 0;
  let length = 0;
  let number = 1;
  const hold = (bytes: Buffer): void => {
    const kept = bytes.subarray(0, Math.max(0, limit - held));
    if (kept.length > 0) parts.push(kept);
    held += kept.length;
    length += bytes.length;
  };
  const take = (isLast: boolean): Line => {
    const line = { bytes: parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts), number, length, isLast };
    parts = [];
    held = 0;
    length = 0;
    number++;
    return line;
  };
  for await (const piece of pieces) {
    let start = 0;
    for (let end = piece.indexOf(LINE_FEED); end !== -1; end = piece.indexOf(LINE_FEED, start)) {
      hold(piece.subarray(start, end));
      yield take(false);
      start = end + 1;
    }
    hold(piece.subarray(start));
  }
  if (length > 0) yield take(true);
}
