/**
 * SentencePiece's precompiled character map: the longest prefix that it knows is replaced, everything else stays.
 * The file holds a double array (Aoe 1989) over UTF-8 bytes, then the replacements as strings that end in zero.
 */

import { NudgeError } from '../errors.ts';

export class CharacterMap {
  readonly #units: Uint32Array;
  readonly #replacements: Uint8Array;

  constructor(blob: Uint8Array, path: string) {
    const size = blob.length < 4 ? -1 : new DataView(blob.buffer, blob.byteOffset).getUint32(0, true);
    if (size < 4 || size % 4 !== 0 || size + 4 > blob.length) {
      throw new NudgeError('BAD_FILE', 'The precompiled character map is damaged.', {
        path,
        expected: 'a size, a double array of that size, and replacements',
        received: `${blob.length} bytes that announce ${size}`,
      });
    }
    this.#units = new Uint32Array(Uint8Array.from(blob.subarray(4, 4 + size)).buffer);
    this.#replacements = blob.subarray(4 + size);
  }

  /** The longest known prefix of the bytes from `at`: its length and what replaces it; undefined where there is none. */
  match(bytes: Uint8Array, at: number): { length: number; replacement: string } | undefined {
    const units = this.#units;
    let node = offsetOf(units[0]!);
    let found: { length: number; value: number } | undefined;
    for (let i = at; i < bytes.length; i++) {
      node ^= bytes[i]!;
      const unit = units[node];
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== bytes[i]!) break;
      node ^= offsetOf(unit);
      if (((unit >>> 8) & 1) === 1) found = { length: i - at + 1, value: (units[node] ?? 0) & 0x7fffffff };
    }
    if (found === undefined) return undefined;
    const end = this.#replacements.indexOf(0, found.value);
    const text = this.#replacements.subarray(found.value, end === -1 ? undefined : end);
    return { length: found.length, replacement: decoder.decode(text) };
  }
}

const decoder = new TextDecoder();

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
