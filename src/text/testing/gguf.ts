/**
 * Reads the metadata of llama.cpp's vocabulary files, intact or damaged.
 *
 * Copies of these files are about that were read as UTF-8 text and written again: every byte that is no UTF-8 became
 * U+FFFD. Texts survive that; lengths of 128 and more, scores and some ids do not. Lengths follow from where the next
 * entry begins. Scores are guessed, from how Llama's vocabulary was trained, and the guess is taken only
 * if damaging it gives the bytes of the file. Ids that are lost are left out.
 */

import { readFileSync } from 'node:fs';

const STRING = 8;
const ARRAY = 9;
const FLOAT = 6;
const SIZES: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
const LOST = '\ufffd';

export function readVocabularyFile(path: string): Map<string, unknown> {
  const bytes = readFileSync(path);
  const text = bytes.toString('utf8');
  const intact = !text.includes(LOST) || !Buffer.from(text, 'utf8').equals(bytes);
  return new VocabularyReader(bytes, !intact).read();
}

/** What a reader and writer of UTF-8 makes of bytes. */
function damage(bytes: Uint8Array): Buffer {
  return Buffer.from(Buffer.from(bytes).toString('utf8'), 'utf8');
}

class VocabularyReader {
  readonly #bytes: Buffer;
  readonly #damaged: boolean;
  #at = 24; // after magic, version, tensor count and entry count

  constructor(bytes: Buffer, damaged: boolean) {
    this.#bytes = bytes;
    this.#damaged = damaged;
  }

  read(): Map<string, unknown> {
    const metadata = new Map<string, unknown>();
    while (this.#at < this.#bytes.length) {
      const key = this.#string();
      const type = this.#bytes.readUInt32LE(this.#at);
      this.#at += 4;
      const value = type === ARRAY ? this.#array(metadata) : type === STRING ? this.#string() : this.#scalar(type);
      if (value !== undefined) metadata.set(key, value);
    }
    return metadata;
  }

  #array(before: ReadonlyMap<string, unknown>): unknown {
    const type = this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    const { value: count, width } = this.#length();
    this.#at += width;
    if (type === STRING) {
      const items: string[] = [];
      while (count === undefined ? !this.#isEntry(this.#at) : items.length < count) items.push(this.#string());
      return items;
    }
    const tokens = (before.get('tokenizer.ggml.tokens') as string[] | undefined) ?? [];
    const raw = this.#raw(
      (count ?? tokens.length) * SIZES[type]!,
      (end) => this.#isEntry(end),
      () => scoresOf(tokens),
    );
    if (raw === undefined) return undefined;
    return Array.from({ length: raw.length / SIZES[type]! }, (_, i) => number(raw, i * SIZES[type]!, type));
  }

  #scalar(type: number): unknown {
    const raw = this.#raw(SIZES[type]!, (end) => end === this.#bytes.length || this.#isEntry(end));
    return raw === undefined ? undefined : type === 7 ? raw[0] === 1 : number(raw, 0, type);
  }

  /** `size` bytes; where some were lost, what `guess` says, if it could have become what is there. */
  #raw(size: number, ends: (end: number) => boolean, guess?: () => Buffer): Buffer | undefined {
    const start = this.#at;
    if (!this.#damaged || (ends(start + size) && !this.#bytes.subarray(start, start + size).includes(0xef))) {
      this.#at += size;
      return this.#bytes.subarray(start, start + size);
    }
    const guessed = guess?.();
    if (guessed !== undefined) {
      const expected = damage(guessed);
      if (expected.equals(this.#bytes.subarray(start, start + expected.length))) {
        this.#at += expected.length;
        return guessed;
      }
    }
    while (!ends(this.#at)) this.#at++;
    return undefined;
  }

  #string(): string {
    const { value, width } = this.#length();
    const start = this.#at + width;
    this.#at = value === undefined ? this.#endOfString(start) : start + value;
    return this.#bytes.toString('utf8', start, this.#at);
  }

  /** A length of 64 bits, of which the upper five bytes are zero; undefined where bytes of it were lost. */
  #length(at = this.#at): { value: number | undefined; width: number } {
    if (!this.#damaged) return { value: this.#bytes.readUInt32LE(at), width: 8 };
    const hex = this.#bytes.toString('hex', at, at + 14);
    // One U+FFFD stands for one byte, or for two that begin a longer character.
    const match = /^((?:[0-7].|efbfbd){3})0{10}/.exec(hex) ?? /^(efbfbd)0{12}/.exec(hex);
    if (match === null) throw new Error(`no length at byte ${at}`);
    const lost = match[1]!.includes('efbfbd');
    return { value: lost ? undefined : this.#bytes.readUInt32LE(at), width: match[0].length / 2 };
  }

  /** Texts hold no zero, lengths do: the next zero is inside the length after the text, or begins it. */
  #endOfString(start: number): number {
    const zero = this.#bytes.indexOf(0, start);
    for (let end = zero - 6; end <= zero; end++) {
      const header = Buffer.alloc(8);
      header.writeUInt32LE(Math.max(0, end - start));
      const isOwn = damage(header).equals(this.#bytes.subarray(this.#at, start));
      if (isOwn && this.#isString(end) && (end < zero || this.#bytes[zero + 1] !== 0)) return end;
    }
    throw new Error(`no end of the text at byte ${start}`);
  }

  #isString(at: number): boolean {
    try {
      const { value, width } = this.#length(at);
      if (value === undefined) return true;
      if (value === 0 || value > 1024) return false;
      const end = at + width + value;
      return !this.#bytes.subarray(at + width, end).includes(0) && (this.#isEntry(end) || this.#length(end).width > 0);
    } catch {
      return false;
    }
  }

  #isEntry(at: number): boolean {
    if (at === this.#bytes.length) return true;
    if (at + 18 > this.#bytes.length) return false;
    const length = this.#bytes.readUInt32LE(at);
    const zeros = this.#bytes.subarray(at + 4, at + 8).equals(Buffer.alloc(4));
    return (
      zeros &&
      length < 128 &&
      /^(tokenizer|general|[a-z0-9]+)\.[a-z_.]+$/.test(this.#bytes.toString('latin1', at + 8, at + 8 + length))
    );
  }
}

/** As the trainer of Llama's vocabulary left them: by rank, but pieces of spaces alone are the last resort. */
function scoresOf(pieces: readonly string[]): Buffer {
  const scores = Buffer.alloc(pieces.length * 4);
  pieces.forEach((piece, id) => {
    const special = pieces.length > 32_000 && (id < 3 || id >= 32_000); // added to it later, as for Phi 3
    const learned = id < 259 ? 0 : /^▁+$/.test(piece) ? -1e9 : 259 - id;
    const score = special ? (piece.startsWith('[PAD') ? -10_000 : -1_000) : learned;
    scores.writeFloatLE(score, id * 4);
  });
  return scores;
}

function number(raw: Buffer, at: number, type: number): number {
  if (type === FLOAT) return raw.readFloatLE(at);
  const size = SIZES[type]!;
  return size > 4 ? Number(raw.readBigUInt64LE(at)) : type === 5 ? raw.readInt32LE(at) : raw.readUIntLE(at, size);
}
