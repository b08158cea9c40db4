/**
 * A JSON array of rows, element by element: only one row is in memory at a time. The elements are found by counting
 * brackets outside of strings; each is then parsed by JSON.parse, which is the judge of what is JSON.
 */

import { NudgeError } from '../../errors.ts';
import { readPieces } from './bytes.ts';
import { readJsonLines, tooLong } from './jsonl.ts';
import { MAX_ROW_BYTES, parseRow, type RawRow, type ReadLimits, rawText } from './row.ts';

const [QUOTE, BACKSLASH, COMMA, LINE_FEED] = [0x22, 0x5c, 0x2c, 0x0a];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Rows of a file that holds one array; one that begins with an object is read as JSON Lines, which many datasets call
 * `.json`.
 *
 * @throws NudgeError BAD_FILE where it is neither.
 */
export async function* readJson(path: string, limits: ReadLimits = {}): AsyncGenerator<RawRow> {
  const first = await firstByte(path);
  if (first === undefined) return;
  if (first === OPEN_LIST) yield* readArray(path, limits);
  else if (first === OPEN_OBJECT) yield* readJsonLines(path, limits);
  else {
    throw new NudgeError('BAD_FILE', 'This file holds no list of rows.', {
      path,
      expected: 'a JSON array of objects, or one object a line',
      received: `a file that begins with ${JSON.stringify(String.fromCharCode(first))}`,
    });
  }
}

async function firstByte(path: string): Promise<number | undefined> {
  for await (const piece of readPieces(path)) {
    const found = piece.find((byte) => !isSpace(byte));
    if (found !== undefined) return found;
  }
  return undefined;
}

async function* readArray(path: string, { maxRowBytes = MAX_ROW_BYTES }: ReadLimits): AsyncGenerator<RawRow> {
  let row = 0;
  for await (const { bytes, line, length, state } of new ArraySplitter(maxRowBytes).split(readPieces(path))) {
    const where = { file: path, row: ++row, line };
    const bad = (reason: string): RawRow => ({ where, fault: { reason }, raw: rawText(bytes) });
    if (state === 'after') yield bad('stands after the end of the list: the file holds more than one value');
    else if (length > maxRowBytes) yield bad(tooLong(length, maxRowBytes));
    else if (state === 'closed') yield parseRow(bytes, where, false);
    else {
      const last = parseRow(bytes, where, true);
      const isWhole = 'value' in last;
      if (isWhole) yield last;
      if (isWhole || bytes.length === 0)
        yield bad('is not followed by "]": the file ends inside the list, it was cut off');
      else yield last;
    }
  }
}

interface Element {
  bytes: Buffer;
  line: number;
  length: number;
  /** 'open' where the file ends in it, 'after' where it stands behind the list. */
  state: 'closed' | 'open' | 'after';
}

class ArraySplitter {
  readonly #limit: number;
  #parts: Buffer[] = [];
  #held = 0;
  #length = 0;
  #line = 1;
  #startLine = 1;
  /** 0 before the list, 1 between its elements, more inside one; -1 after the list. */
  #depth = 0;
  #inString = false;
  #escaped = false;
  #count = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  async *split(pieces: AsyncIterable<Buffer>): AsyncGenerator<Element> {
    for await (const piece of pieces) {
      let start = 0;
      for (let i = 0; i < piece.length; i++) {
        const byte = piece[i] as number;
        if (byte === LINE_FEED) this.#line++;
        if (this.#depth === 0) {
          this.#depth = byte === OPEN_LIST ? 1 : 0;
          start = i + 1;
          continue;
        }
        if (this.#length === 0 && i === start && isSpace(byte)) {
          start = i + 1; // space before an element is not part of it
          continue;
        }
        if (!this.#ends(byte)) {
          if (this.#length === 0 && i === start) this.#startLine = this.#line;
          continue;
        }
        this.#hold(piece.subarray(start, i));
        start = i + 1;
        // An empty list has no element, a comma always ends one.
        if (byte === COMMA || this.#length > 0 || this.#count > 0) yield this.#take('closed');
      }
      this.#hold(piece.subarray(start));
    }
    const state = this.#depth === -1 ? 'after' : 'open';
    if (state === 'open' || this.#length > 0) yield this.#take(state);
  }

  /** Whether this byte ends an element; keeps count of strings and brackets. */
  #ends(byte: number): boolean {
    if (this.#depth === -1) return false;
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
      return false;
    }
    if (byte === QUOTE) this.#inString = true;
    else if (byte === COMMA) return this.#depth === 1;
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) this.#depth++;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
      this.#depth--;
      if (this.#depth === 0) {
        this.#depth = -1;
        return true;
      }
    }
    return false;
  }

  #hold(bytes: Buffer): void {
    const kept = bytes.subarray(0, Math.max(0, this.#limit - this.#held));
    if (kept.length > 0) this.#parts.push(kept);
    this.#held += kept.length;
    this.#length += bytes.length;
  }

  #take(state: Element['state']): Element {
    const element = { bytes: Buffer.concat(this.#parts), line: this.#startLine, length: this.#length, state };
    this.#parts = [];
    this.#held = 0;
    this.#length = 0;
    this.#count++;
    return element;
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}
