/** The only file of this folder that loads libtorch: bytes of a file become tensors. */

import { NudgeError } from '../../errors.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import { type StorableTorchDtype, torchDtype } from './format.ts';
import { type TensorInfo, tensorPath } from './header.ts';
import type { ConvertOptions } from './reader.ts';

/** What a loader needs of a reader. */
interface TensorBytes {
  readonly path: string;
  info(name: string): TensorInfo;
  read(name: string, into: Uint8Array): Promise<Uint8Array>;
}

/**
 * Makes tensors out of an open model. The file is read straight into a tensor's memory (which `resize_` refuses to grow
 * afterwards). A tensor that changes its dtype or its device on the way goes through a staging tensor, which is kept for
 * the next one: memory that JavaScript has seen returns only when its garbage collector runs, so taking it anew for every
 * tensor could add up to a second model.
 */
export class TensorLoader implements Disposable {
  readonly #model: TensorBytes;
  #staging: { tensor: Tensor; memory: Uint8Array } | null = null;
  #stagingBytes: number;

  /** @param largest bytes of the largest tensor to come, so that the staging tensor need not grow. Default: unknown. */
  constructor(model: TensorBytes, largest = 0) {
    this.#model = model;
    this.#stagingBytes = largest;
  }

  /** One call at a time: calls share the staging tensor. @throws NudgeError as `SafetensorsReader.tensor` does. */
  async load(name: string, { device = 'cpu', dtype }: ConvertOptions): Promise<Tensor> {
    const info = this.#model.info(name);
    const stored = storedDtype(info, this.#model.path);
    const wanted = dtype ?? stored;
    if (device === 'cpu' && wanted === stored) return await this.#loadInPlace(info, stored);
    const size = info.end - info.begin;
    const { tensor, memory } = this.#stage(size);
    await this.#model.read(name, memory.subarray(0, size));
    return torch.scope(() =>
      tensor.narrow(0, 0, size).view(stored).view(info.shape).to({ device, dtype: wanted, copy: true }),
    );
  }

  async #loadInPlace(info: TensorInfo, stored: StorableTorchDtype): Promise<Tensor> {
    const tensor = torch.empty(info.shape, { dtype: stored });
    try {
      await this.#model.read(info.name, memoryOf(tensor));
      return tensor;
    } catch (error) {
      tensor.dispose();
      throw error;
    }
  }

  #stage(size: number): { tensor: Tensor; memory: Uint8Array } {
    this.#stagingBytes = Math.max(this.#stagingBytes, size);
    if (this.#staging === null || this.#staging.memory.length < size) {
      this[Symbol.dispose]();
      const tensor = torch.empty([this.#stagingBytes], { dtype: 'uint8' }).keep();
      this.#staging = { tensor, memory: memoryOf(tensor) };
    }
    return this.#staging;
  }

  [Symbol.dispose](): void {
    this.#staging?.tensor.dispose();
    this.#staging = null;
  }
}

function storedDtype(info: TensorInfo, file: string): StorableTorchDtype {
  const stored = torchDtype(info.dtype);
  if (stored !== null) return stored;
  throw new NudgeError('DTYPE_MISMATCH', 'PyTorch has no element type for this tensor.', {
    path: tensorPath(file, info.name),
    expected: 'elements of at least 8 bits',
    received: info.dtype,
    remedy: 'Read its bytes with `read(name)` and unpack them, or load an unquantised version of the model.',
  });
}

function memoryOf(tensor: Tensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = tensor.map();
  return new Uint8Array(buffer, byteOffset, byteLength);
}
