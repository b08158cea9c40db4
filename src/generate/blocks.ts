/** Which blocks of the cache are whose. Numbers only: the memory is `KvCache`'s. */
import { InvariantError } from '../errors.ts';

/** Blocks are shared by counting: the prompt of several completions is kept once. */
export class BlockPool {
  readonly size: number;
  readonly #free: number[];
  readonly #holders: Uint32Array;

  constructor(size: number) {
    this.size = size;
    // From the end, so that the first blocks are taken first: memory that was never touched costs nothing.
    this.#free = Array.from({ length: size }, (_, i) => size - 1 - i);
    this.#holders = new Uint32Array(size);
  }

  get free(): number {
    return this.#free.length;
  }

  take(count: number): number[] {
    if (count > this.#free.length) throw new InvariantError(`${count} blocks taken, ${this.#free.length} free`);
    return Array.from({ length: count }, () => {
      const block = this.#free.pop()!;
      this.#holders[block] = 1;
      return block;
    });
  }

  /** Another holder. */
  share(blocks: readonly number[]): void {
    for (const block of blocks) {
      if (this.#holders[block] === 0) throw new InvariantError(`block ${block} is shared but free`);
      this.#holders[block]!++;
    }
  }

  /** One holder less; free when it was the last. */
  release(blocks: readonly number[]): void {
    for (const block of blocks) {
      if (this.#holders[block] === 0) throw new InvariantError(`block ${block} is freed twice`);
      if (--this.#holders[block]! === 0) this.#free.push(block);
    }
  }
}
