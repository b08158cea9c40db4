/**
 * The heart of byte-pair encoding: merge the pair of lowest rank, leftmost first, until none is left.
 *
 * Pairs of equal rank are allowed: SentencePiece and tiktoken rank the merged piece, not the pair. Short words are merged
 * by scanning, long ones through a heap, so that a megabyte without a space takes half a second and not a week.
 */

const SHORT = 32;
const FIELDS = 4;

/** Pairs of token ids, each with its rank and the id it merges into: an open-addressing hash table without objects. */
export class PairTable {
  #slots: Int32Array;
  #mask: number;
  #size = 0;

  constructor(expected: number) {
    let capacity = 16;
    while (capacity < expected * 2) capacity *= 2;
    this.#slots = new Int32Array(capacity * FIELDS).fill(-1);
    this.#mask = capacity - 1;
  }

  get size(): number {
    return this.#size;
  }

  /** The last rank given to a pair counts. */
  add(left: number, right: number, rank: number, merged: number): void {
    if (this.#size * 2 > this.#mask) this.#grow();
    const at = this.#locate(left, right);
    if (this.#slots[at] === -1) this.#size++;
    this.#slots[at] = left;
    this.#slots[at + 1] = right;
    this.#slots[at + 2] = rank;
    this.#slots[at + 3] = merged;
  }

  /** Where the pair stands, or -1; pass it to `rankAt` and `mergedAt`. */
  find(left: number, right: number): number {
    const at = this.#locate(left, right);
    return this.#slots[at] === -1 ? -1 : at;
  }

  rankAt(at: number): number {
    return this.#slots[at + 2] as number;
  }

  mergedAt(at: number): number {
    return this.#slots[at + 3] as number;
  }

  *pairs(): Generator<readonly [left: number, right: number]> {
    for (let at = 0; at < this.#slots.length; at += FIELDS) {
      if (this.#slots[at] !== -1) yield [this.#slots[at] as number, this.#slots[at + 1] as number];
    }
  }

  #locate(left: number, right: number): number {
    const slots = this.#slots;
    let slot = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0;
    slot = (slot ^ (slot >>> 15)) & this.#mask;
    while (true) {
      const at = slot * FIELDS;
      if (slots[at] === -1 || (slots[at] === left && slots[at + 1] === right)) return at;
      slot = (slot + 1) & this.#mask;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Int32Array(old.length * 2).fill(-1);
    this.#mask = this.#slots.length / FIELDS - 1;
    for (let at = 0; at < old.length; at += FIELDS) {
      if (old[at] !== -1) this.#slots.set(old.subarray(at, at + FIELDS), this.#locate(old[at]!, old[at + 1]!));
    }
  }
}

/** A word on its way from symbols to tokens: ids, and how many of the first symbols each one covers. */
export interface Symbols {
  ids: Int32Array;
  widths: Int32Array;
  length: number;
}

/** Merges in place; afterwards the first `length` entries are the tokens. */
export function mergePairs(word: Symbols, table: PairTable): void {
  if (word.length <= SHORT) mergeShort(word, table);
  else mergeLong(word, table);
}

const shortSlots = new Int32Array(SHORT);

function mergeShort(word: Symbols, table: PairTable): void {
  const { ids, widths } = word;
  let n = word.length;
  for (let i = 0; i + 1 < n; i++) shortSlots[i] = table.find(ids[i]!, ids[i + 1]!);
  while (n > 1) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < n; i++) {
      const at = shortSlots[i]!;
      if (at !== -1 && table.rankAt(at) < bestRank) {
        bestRank = table.rankAt(at);
        best = i;
      }
    }
    if (best === -1) break;
    ids[best] = table.mergedAt(shortSlots[best]!);
    widths[best] = widths[best]! + widths[best + 1]!;
    n--;
    for (let i = best + 1; i < n; i++) {
      ids[i] = ids[i + 1]!;
      widths[i] = widths[i + 1]!;
      shortSlots[i] = shortSlots[i + 1]!;
    }
    if (best > 0) shortSlots[best - 1] = table.find(ids[best - 1]!, ids[best]!);
    if (best + 1 < n) shortSlots[best] = table.find(ids[best]!, ids[best + 1]!);
  }
  word.length = n;
}

/** A rank and a position in one double, so that the heap is one flat array: lowest rank first, then leftmost. */
const POSITIONS = 2 ** 28;

function mergeLong(word: Symbols, table: PairTable): void {
  const { ids, widths, length } = word;
  const next = new Int32Array(length);
  const previous = new Int32Array(length);
  const heap = new Heap(length);
  for (let i = 0; i < length; i++) {
    next[i] = i + 1 < length ? i + 1 : -1;
    previous[i] = i - 1;
  }
  const propose = (i: number): void => {
    if (i === -1 || next[i] === -1) return;
    const at = table.find(ids[i]!, ids[next[i]!]!);
    if (at !== -1) heap.push(table.rankAt(at) * POSITIONS + i);
  };
  for (let i = 0; i + 1 < length; i++) propose(i);
  while (heap.size > 0) {
    const key = heap.pop();
    const rank = Math.floor(key / POSITIONS);
    const i = key - rank * POSITIONS;
    const right = widths[i] === 0 ? -1 : next[i]!;
    if (right === -1) continue;
    const at = table.find(ids[i]!, ids[right]!);
    if (at === -1 || table.rankAt(at) !== rank) continue; // the pair that was proposed here is gone
    ids[i] = table.mergedAt(at);
    widths[i] = widths[i]! + widths[right]!;
    widths[right] = 0;
    next[i] = next[right]!;
    if (next[i] !== -1) previous[next[i]!] = i;
    propose(previous[i]!);
    propose(i);
  }
  let n = 0;
  for (let i = 0; i !== -1; i = next[i]!) {
    ids[n] = ids[i]!;
    widths[n++] = widths[i]!;
  }
  word.length = n;
}

/** A heap of numbers, smallest first. */
class Heap {
  #items: Float64Array;
  size = 0;

  constructor(capacity: number) {
    this.#items = new Float64Array(capacity);
  }

  push(key: number): void {
    if (this.size === this.#items.length) {
      const larger = new Float64Array(this.size * 2);
      larger.set(this.#items);
      this.#items = larger;
    }
    const items = this.#items;
    let i = this.size++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (items[parent]! <= key) break;
      items[i] = items[parent]!;
      i = parent;
    }
    items[i] = key;
  }

  pop(): number {
    const items = this.#items;
    const top = items[0]!;
    const last = items[--this.size]!;
    let i = 0;
    while (true) {
      let child = 2 * i + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && items[child + 1]! < items[child]!) child++;
      if (items[child]! >= last) break;
      items[i] = items[child]!;
      i = child;
    }
    items[i] = last;
    return top;
  }
}
