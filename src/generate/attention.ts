/** How the tokens of a step see their sequences (docs/decisions/0006): whole prompts, or one more token of each. */
import { type Tensor, torch } from '../tensor/index.ts';
import { BLOCK_SIZE, type KvCache } from './cache.ts';
import type { AttentionContext } from './model.ts';

/** A sequence's blocks in the cache. */
export interface Sequence {
  readonly blocks: readonly number[];
  /** Positions, those of this step included. */
  readonly length: number;
}

const slotOf = (blocks: readonly number[], position: number): bigint =>
  BigInt(blocks[Math.floor(position / BLOCK_SIZE)]! * BLOCK_SIZE + (position % BLOCK_SIZE));

/** Whole prompts, one after the other: they attend to themselves, and their keys and values go to the cache. */
export class PrefillAttention implements AttentionContext {
  readonly positions: Tensor; // [N]
  readonly maxLength: number;
  readonly #cache: KvCache;
  readonly #slots: Tensor; // [N]
  readonly #lengths: readonly number[];

  constructor(cache: KvCache, sequences: readonly Sequence[]) {
    this.#cache = cache;
    this.#lengths = sequences.map(({ length }) => length);
    this.maxLength = Math.max(...this.#lengths);
    const positions: bigint[] = [];
    const slots: bigint[] = [];
    for (const { blocks, length } of sequences) {
      for (let position = 0; position < length; position++) {
        positions.push(BigInt(position));
        slots.push(slotOf(blocks, position));
      }
    }
    this.positions = cache.toDevice(torch.tensor(positions)); // [N]
    this.#slots = cache.toDevice(torch.tensor(slots)); // [N]
  }

  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, { scale }: { scale?: number } = {}): Tensor {
    this.#cache.append(layer, k, v, this.#slots);
    const options = { isCausal: true, enableGqa: q.shape[1] !== k.shape[1], ...(scale === undefined ? {} : { scale }) };
    // A sequence at a time: what it computes must not depend on its neighbours.
    const parts = [q, k, v].map((x) => x.splitWithSizes(this.#lengths)) as [Tensor[], Tensor[], Tensor[]];
    const attended = this.#lengths.map((_, i) => {
      const [one, two, three] = parts.map((part) => part[i]!.transpose(0, 1).unsqueeze(0)); // [1, H, T, Dh]
      return torch.scaledDotProductAttention(one!, two!, three!, options).squeeze(0).transpose(0, 1); // [T, H, Dh]
    });
    return attended.length === 1 ? attended[0]! : torch.cat(attended); // [N, H, Dh]
  }
}

/** The newest token of each sequence against all that came before it. */
export class DecodeAttention implements AttentionContext {
  readonly positions: Tensor; // [N]
  readonly maxLength: number;
  readonly #cache: KvCache;
  readonly #slots: Tensor; // [N]
  readonly #table: Tensor; // [N, blocks of the longest]
  readonly #lengths: Tensor; // [N]

  constructor(cache: KvCache, sequences: readonly Sequence[]) {
    this.#cache = cache;
    this.maxLength = sequences.reduce((most, { length }) => Math.max(most, length), 0);
    const width = Math.ceil(this.maxLength / BLOCK_SIZE);
    const table = new Int32Array(sequences.length * width);
    sequences.forEach(({ blocks, length }, row) => {
      table.set(blocks.slice(0, Math.ceil(length / BLOCK_SIZE)), row * width);
    });
    const rows = [sequences.length];
    const positions = BigInt64Array.from(sequences, ({ length }) => BigInt(length - 1));
    const slots = BigInt64Array.from(sequences, ({ blocks, length }) => slotOf(blocks, length - 1));
    const lengths = Int32Array.from(sequences, ({ length }) => length);
    this.positions = cache.toDevice(torch.fromTypedArray(positions, rows)); // [N]
    this.#slots = cache.toDevice(torch.fromTypedArray(slots, rows)); // [N]
    this.#table = cache.toDevice(torch.fromTypedArray(table, [sequences.length, width])); // [N, width]
    this.#lengths = cache.toDevice(torch.fromTypedArray(lengths, rows)); // [N]
  }

  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, { scale }: { scale?: number } = {}): Tensor {
    this.#cache.append(layer, k, v, this.#slots);
    return this.#cache.attend(layer, q, this.#table, this.#lengths, scale ?? 1 / Math.sqrt(q.shape[2]!)); // [N, H, Dh]
  }
}
