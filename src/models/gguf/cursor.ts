/**
 * Reads the header's values one after another out of the bytes at hand. Nothing is allocated before the bytes it comes from
 * are known to exist: a count is checked against what is left of the file.
 */

import { NudgeError } from '../../errors.ts';
import { bytes } from '../files/index.ts';

/** The bytes at hand end before the header does: read more of the file and start again. */
export class NeedsMore extends Error {}

const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const CORRUPT = 'Download or copy the file again; if you wrote it yourself, write it with a GGUF library.';
export const INCOMPLETE = 'Download or copy the file again: it is incomplete.';

export class Cursor {
  /** Of the next byte, from the start of the file. */
  position = 0;
  readonly file: string;
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #fileSize: number;
  readonly #limit: number;

  /**
   * @param head the first bytes of the file.
   * @param limit where the header must have ended.
   */
  constructor(head: Uint8Array, fileSize: number, limit: number, file: string) {
    this.#bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
    this.#view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    this.#fileSize = fileSize;
    this.#limit = Math.min(limit, fileSize);
    this.file = file;
  }

  u8(what: string): number {
    return this.#view.getUint8(this.take(1, what));
  }

  u32(what: string): number {
    return this.#view.getUint32(this.take(4, what), true);
  }

  u64(what: string): bigint {
    return this.#view.getBigUint64(this.take(8, what), true);
  }

  /**
   * A count of things that follow. A million of them claimed in a file of a kilobyte is an attack or garbage.
   *
   * @param least bytes that each of them takes.
   */
  count(what: string, least: number): number {
    const begin = this.take(8, what);
    // Exact as a number whenever it is small enough to be accepted; no BigInt for each of 100,000 strings.
    const count = this.#view.getUint32(begin + 4, true) * 2 ** 32 + this.#view.getUint32(begin, true);
    const room = Math.floor((this.#limit - this.position) / least);
    if (count <= room) return count;
    const received = String(this.#view.getBigUint64(begin, true));
    throw this.fail(what, `at most ${room.toLocaleString('en-US')}, which is what can follow`, received);
  }

  /** A length and as many bytes of UTF-8. */
  string(what: string): string {
    const length = this.count(what, 1);
    const begin = this.take(length, what);
    const text = this.#bytes.toString('utf8', begin, begin + length);
    // The quick decoder above puts U+FFFD for what is not UTF-8; where one shows, the strict one decides whose it is.
    if (!text.includes('\ufffd')) return text;
    try {
      return STRICT.decode(this.#bytes.subarray(begin, begin + length));
    } catch (cause) {
      throw this.fail(what, 'UTF-8', 'bytes that are not UTF-8', cause);
    }
  }

  /** The bytes of the next `length` bytes, at hand: not copied. */
  slice(length: number, what: string): Buffer {
    const begin = this.take(length, what);
    return this.#bytes.subarray(begin, begin + length);
  }

  /** Moves past `length` bytes and returns where they begin. */
  take(length: number, what: string): number {
    const begin = this.position;
    const end = begin + length;
    if (end > this.#bytes.length) {
      if (end > this.#limit) throw this.#pastTheEnd(what, end);
      throw new NeedsMore();
    }
    this.position = end;
    return begin;
  }

  fail(what: string, expected: string, received: string, cause?: unknown): NudgeError {
    return new NudgeError('BAD_FILE', 'The header of this GGUF file is not valid.', {
      path: `${this.file}, ${what} at byte ${this.position}`,
      expected,
      received,
      remedy: CORRUPT,
      cause,
    });
  }

  #pastTheEnd(what: string, end: number): NudgeError {
    const cut = this.#limit === this.#fileSize;
    return new NudgeError(
      'BAD_FILE',
      cut ? 'This GGUF file is cut short.' : 'The header of this GGUF file is too long.',
      {
        path: `${this.file}, ${what}`,
        expected: cut ? `at least ${bytes(end)}` : `at most ${bytes(this.#limit)} of metadata and tensor list`,
        received: cut ? bytes(this.#fileSize) : `more than ${bytes(this.#limit)}`,
        remedy: cut ? INCOMPLETE : CORRUPT,
      },
    );
  }
}
