/** How the tokens of a step see their sequences (docs/decisions/0006): whole prompts, or one more token of each. */
import { type AttendOptions, type AttentionContext, PackedAttention } from '../models/index.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import { BLOCK_SIZE, type KvCache } from './cache.ts';

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
  /** Where each prompt ends: [S]. */
  readonly lastTokens: Tensor;
  readonly #cache: KvCache;
  readonly #slots: Tensor; // [N]
  readonly #packed: PackedAttention;

  constructor(cache: KvCache, sequences: readonly Sequence[]) {
    this.#cache = cache;
    this.#packed = new PackedAttention(
      sequences.map(({ length }) => length),
      { device: cache.device },
    );
    this.positions = this.#packed.positions; // [N]
    this.lastTokens = this.#packed.lastTokens; // [S]
    this.maxLength = this.#packed.maxLength;
    const slots = new BigInt64Array(this.#packed.tokens);
    let i = 0;
    for (const { blocks, length } of sequences) {
      for (let position = 0; position < length; position++) slots[i++] = slotOf(blocks, position);
    }
    this.#slots = cache.toDevice(torch.fromTypedArray(slots, [slots.length])); // [N]
  }

  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, options?: AttendOptions): Tensor {
    this.#cache.append(layer, k, v, this.#slots);
    return this.#packed.attend(layer, q, k, v, options); // [N, H, Dh]
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

  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, { scale }: AttendOptions = {}): Tensor {
    this.#cache.append(layer, k, v, this.#slots);
    return this.#cache.attend(layer, q, this.#table, this.#lengths, scale ?? 1 / Math.sqrt(q.shape[2]!)); // [N, H, Dh]
  }
}
