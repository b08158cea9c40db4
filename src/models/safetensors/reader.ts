/** An open safetensors model, in one file or in shards: what it holds, and any tensor of it on demand. */

import { NudgeError } from '../../errors.ts';
import type { Device, DType, Tensor } from '../../tensor/index.ts';
import { type ByteSource, bytes, FileSource, quote, quoteSome, readBytes } from '../files/index.ts';
import { readHeader, type SafetensorsHeader, type TensorInfo, tensorPath } from './header.ts';
import { locate, openShard } from './locate.ts';

/** Where a tensor goes and in which precision; as stored, on the CPU, when left out. */
export interface ConvertOptions {
  device?: Device;
  dtype?: DType;
}

interface Located {
  readonly info: TensorInfo;
  readonly source: ByteSource;
}

/**
 * Opens a safetensors file, a sharded model's index or a model's directory. Every header is read and checked now; tensor
 * data is read only when asked for.
 *
 *     await using model = await openSafetensors('models/SmolLM2-135M');
 *     const norm = await model.tensor('model.norm.weight', { dtype: 'float32' });
 *
 * @throws NudgeError IO_FAILED when a file cannot be opened, BAD_FILE when one is damaged, incomplete or missing.
 */
export async function openSafetensors(path: string): Promise<SafetensorsReader> {
  const location = await locate(path);
  await using opened = new AsyncDisposableStack();
  const parts: Part[] = [];
  for (const [file, names] of location.files) {
    const source = opened.use(names === null ? await FileSource.open(file) : await openShard(file, location.path));
    parts.push({ source, header: await readHeader(source), names });
  }
  const reader = new SafetensorsReader(location.path, parts);
  // From here on the reader owns the files.
  opened.move();
  return reader;
}

/** A source with its header; `names` are the tensors to take from it, null for all. */
export interface Part {
  readonly source: ByteSource;
  readonly header: SafetensorsHeader;
  readonly names: readonly string[] | null;
}

export class SafetensorsReader implements AsyncDisposable {
  /** The file, or the index of the shards. */
  readonly path: string;
  /** In the order of the data, which is the fastest order to read. */
  readonly names: readonly string[];
  /** The free text of the header; of shards, all of theirs, the first one's where two differ. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly #tensors = new Map<string, Located>();
  readonly #sources: readonly ByteSource[];

  /** Use {@link openSafetensors}; this takes headers that are already checked, from any source. */
  constructor(path: string, parts: readonly Part[]) {
    this.path = path;
    this.#sources = parts.map((part) => part.source);
    const metadata = new Map<string, string>();
    for (const { source, header, names } of parts) {
      for (const [key, text] of header.metadata) if (!metadata.has(key)) metadata.set(key, text);
      const wanted = names === null ? null : new Set(names);
      for (const info of header.tensors.values()) {
        if (wanted === null || wanted.delete(info.name)) this.#tensors.set(info.name, { info, source });
      }
      const [missing] = wanted ?? [];
      if (missing !== undefined) throw missingFromShard(path, source.label, missing);
    }
    this.names = [...this.#tensors.keys()];
    this.metadata = metadata;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** @throws NudgeError BAD_ARGUMENT when there is no tensor of this name. */
  info(name: string): TensorInfo {
    return this.#find(name).info;
  }

  /**
   * A tensor's bytes as stored: little-endian, in C order.
   *
   * @param into where to put them, exactly as long as the tensor. Default: a new buffer.
   * @throws NudgeError BAD_ARGUMENT when there is no such tensor or the reader is closed, IO_FAILED when reading fails.
   */
  async read(name: string, into?: Uint8Array): Promise<Uint8Array> {
    const { info, source } = this.#find(name);
    const size = info.end - info.begin;
    if (into === undefined) return await readBytes(source, info.begin, size);
    if (into.length !== size) {
      throw new NudgeError('BAD_ARGUMENT', 'This buffer has not the size of the tensor.', {
        path: tensorPath(this.path, name),
        expected: bytes(size),
        received: bytes(into.length),
        remedy: 'Pass a buffer of `end - begin` bytes, by `info(name)`.',
      });
    }
    await source.read(into, info.begin);
    return into;
  }

  /**
   * A tensor, in the dtype and on the device asked for. To load many, `loadSafetensors` converts with less memory.
   *
   * @throws NudgeError as `read` does; DTYPE_MISMATCH for a sub-byte type (F4, F6_*), which PyTorch has no tensor of.
   */
  async tensor(name: string, options: ConvertOptions = {}): Promise<Tensor> {
    // Loaded here, so that headers and raw bytes can be read where libtorch is absent.
    const { TensorLoader } = await import('./tensor.ts');
    using loader = new TensorLoader(this);
    return await loader.load(name, options);
  }

  /** Waits for reads under way. Closing twice does nothing. */
  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #find(name: string): Located {
    const located = this.#tensors.get(name);
    if (located !== undefined) return located;
    throw new NudgeError('BAD_ARGUMENT', 'This safetensors model has no such tensor.', {
      path: tensorPath(this.path, name),
      expected: `one of its ${this.names.length} tensors: ${quoteSome(this.names, 8)}`,
      received: quote(name),
      remedy: 'Check the name; `names` lists them all.',
    });
  }
}

function missingFromShard(index: string, shard: string, name: string): NudgeError {
  return new NudgeError('BAD_FILE', 'The index of this sharded model names a tensor that its shard does not hold.', {
    path: tensorPath(index, name),
    expected: `the tensor in ${shard}`,
    received: 'a shard without it',
    remedy: 'Download the index and the shards again, from the same revision.',
  });
}
