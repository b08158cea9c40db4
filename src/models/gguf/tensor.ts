/** Bytes of a GGUF file become tensors: streamed in pieces, so that no second copy of a tensor is ever in memory. */

import { type Tensor, torch } from '../../tensor/index.ts';
import type { Dequantise } from './blocks.ts';
import { checkReadable, dequantiser } from './dequantise.ts';
import { isPlain, type PlainType, TORCH_DTYPES, typeFacts } from './format.ts';
import type { GgufTensorInfo } from './header.ts';
import type { GgufConvertOptions } from './reader.ts';

/** What a loader needs of a reader. */
interface TensorBytes {
  readonly path: string;
  info(name: string): GgufTensorInfo;
  readInto(name: string, offset: number, target: Uint8Array): Promise<void>;
}

// Weights that are dequantised at once. Large enough to hide the round trip of a read, small enough for a processor's cache.
// A multiple of every block.
const PIECE = 256 * 1024;

/**
 * Makes tensors out of an open model. While one piece is dequantised, the next one is read. A float32 tensor on the CPU is
 * filled in place; any other takes its pieces through a staging tensor, which is kept for the next one.
 */
export class GgufTensorLoader implements Disposable {
  readonly #model: TensorBytes;
  #buffers: [Buffer, Buffer] | null = null;
  #staging: { tensor: Tensor; memory: Float32Array } | null = null;

  constructor(model: TensorBytes) {
    this.#model = model;
  }

  /** One call at a time: calls share their buffers. @throws NudgeError as `GgufReader.tensor` does. */
  async load(name: string, { device = 'cpu', dtype }: GgufConvertOptions): Promise<Tensor> {
    const { shape, type } = this.#model.info(name);
    checkReadable(this.#model.path, name, type);
    const tensor = torch.empty(shape, { device, dtype: dtype ?? (isPlain(type) ? TORCH_DTYPES[type] : 'float32') });
    try {
      await this.fill(name, tensor);
      return tensor;
    } catch (error) {
      tensor.dispose();
      throw error;
    }
  }

  /**
   * Reads a tensor into one that is there: contiguous and of the same shape, in any dtype and on any device.
   *
   * @throws NudgeError as `load` does; SHAPE_MISMATCH.
   */
  async fill(name: string, target: Tensor): Promise<void> {
    const info = this.#model.info(name);
    checkReadable(this.#model.path, name, info.type);
    target.expectShape([...info.shape], name);
    const dequantise = dequantiser(info.type);
    if (dequantise !== undefined) return await this.#dequantise(info, target, dequantise);
    const stored = TORCH_DTYPES[info.type as PlainType];
    if (target.device === 'cpu' && target.dtype === stored) {
      await this.#model.readInto(name, 0, memoryOf(target));
      return;
    }
    using staged = torch.empty(info.shape, { dtype: stored });
    await this.#model.readInto(name, 0, memoryOf(staged));
    torch.scope(() => {
      torch.noGrad(() => target.copy_(staged));
    });
  }

  async #dequantise(info: GgufTensorInfo, target: Tensor, dequantise: Dequantise): Promise<void> {
    const { block, bytes } = typeFacts(info.type);
    const blocks = (info.end - info.begin) / bytes;
    const blocksAtOnce = PIECE / block;
    const inPlace = target.device === 'cpu' && target.dtype === 'float32' ? (target.map() as Float32Array) : null;
    const read = async (first: number, turn: 0 | 1) => {
      const raw = this.#buffer(turn).subarray(0, Math.min(blocksAtOnce, blocks - first) * bytes);
      await this.#model.readInto(info.name, first * bytes, raw);
      return raw;
    };
    let turn: 0 | 1 = 0;
    let next = read(0, turn);
    for (let first = 0; first < blocks; first += blocksAtOnce) {
      const raw = await next;
      turn = turn === 0 ? 1 : 0;
      if (first + blocksAtOnce < blocks) {
        next = read(first + blocksAtOnce, turn);
        // Should the loop end in an error before it waits for this read, its own failure is of no interest.
        next.catch(() => {});
      }
      const count = raw.length / bytes;
      if (inPlace !== null) dequantise(raw, inPlace.subarray(first * block, (first + count) * block), count);
      else this.#copyPiece(target, first * block, count * block, (piece) => dequantise(raw, piece, count));
    }
  }

  #copyPiece(target: Tensor, at: number, length: number, fill: (piece: Float32Array) => void): void {
    const { tensor, memory } = this.#stage();
    fill(memory.subarray(0, length));
    torch.scope(() => {
      torch.noGrad(() =>
        target
          .view([-1])
          .narrow(0, at, length)
          .copy_(tensor.narrow(0, 0, length)),
      );
    });
  }

  #buffer(turn: 0 | 1): Buffer {
    // Q8_0 takes the most bytes a weight.
    const size = (PIECE / 32) * 34;
    this.#buffers ??= [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(size)];
    return this.#buffers[turn];
  }

  #stage(): { tensor: Tensor; memory: Float32Array } {
    if (this.#staging === null) {
      const tensor = torch.empty([PIECE]).keep();
      this.#staging = { tensor, memory: tensor.map() as Float32Array };
    }
    return this.#staging;
  }

  [Symbol.dispose](): void {
    this.#staging?.tensor.dispose();
    this.#staging = null;
  }
}

function memoryOf(tensor: Tensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = tensor.map();
  return new Uint8Array(buffer, byteOffset, byteLength);
}
