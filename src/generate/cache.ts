/** The memory for keys and values: one pair of tensors a layer, cut into blocks. */
import { kernels } from '../nn/index.ts';
import { type Device, type DType, dtypeBytes, type Tensor, torch } from '../tensor/index.ts';

export interface CacheShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly dtype: DType;
  readonly device: Device;
}

/** Positions in a block: what is wasted at a sequence's end is half of it on average, and the kernels read whole ones. */
export const BLOCK_SIZE = 16;

/** Bytes that one block takes over all layers. */
export function blockBytes({ layers, kvHeads, headDim, dtype }: CacheShape): number {
  return 2 * layers * kvHeads * BLOCK_SIZE * headDim * dtypeBytes(dtype);
}

export class KvCache {
  readonly blocks: number;
  readonly device: Device;
  readonly #keys: readonly Tensor[]; // each [blocks, Hkv, BLOCK_SIZE, Dh]
  readonly #values: readonly Tensor[];

  /** The memory is reserved, and on a CPU taken from the system as it is first written to. */
  constructor(shape: CacheShape, blocks: number) {
    const { layers, kvHeads, headDim, dtype, device } = shape;
    this.blocks = blocks;
    this.device = device;
    const make = () =>
      Array.from(
        { length: layers },
        () => torch.empty([blocks, kvHeads, BLOCK_SIZE, headDim], { dtype, device }).keep(), // [blocks, Hkv, BLOCK_SIZE, Dh]
      );
    this.#keys = make();
    this.#values = make();
  }

  /** Writes k and v [N, Hkv, Dh] to their slots [N]: block · BLOCK_SIZE + place. */
  append(layer: number, k: Tensor, v: Tensor, slots: Tensor): void {
    kernels.cacheAppend_(this.#keys[layer]!, this.#values[layer]!, k, v, slots);
  }

  /** One query a sequence, q [N, H, Dh], against the first `lengths` positions in the blocks of `table` [N, blocks]: [N, H, Dh]. */
  attend(layer: number, q: Tensor, table: Tensor, lengths: Tensor, scale: number): Tensor {
    return kernels.cachedAttention(q, this.#keys[layer]!, this.#values[layer]!, table, lengths, scale);
  }

  toDevice(tensor: Tensor): Tensor {
    return this.device === 'cpu' ? tensor : tensor.to(this.device);
  }

  copyBlocks(copies: readonly { from: number; to: number }[]): void {
    if (copies.length === 0) return;
    torch.scope(() => {
      const index = (blocks: number[]) => this.toDevice(torch.tensor(blocks, { dtype: 'int64' })); // [copies]
      const from = index(copies.map((copy) => copy.from));
      const to = index(copies.map((copy) => copy.to));
      for (const cache of [...this.#keys, ...this.#values]) cache.indexCopy_(0, to, cache.indexSelect(0, from));
    });
  }

  dispose(): void {
    for (const tensor of [...this.#keys, ...this.#values]) tensor.dispose();
  }
}
