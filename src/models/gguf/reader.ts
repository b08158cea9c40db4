/** An open GGUF model, one file or several parts: metadata, what tensors there are, their bytes, and the tensors themselves. */

import { NudgeError } from '../../errors.ts';
import type { Device, DType, Tensor } from '../../tensor/index.ts';
import { type ByteSource, bytes, quote, quoteSome } from '../files/index.ts';
import type { GgufHeader, GgufTensorInfo } from './header.ts';
import { openParts } from './locate.ts';
import type { GgufMetadata } from './metadata.ts';

/** Where tensors go and in which precision. */
export interface GgufConvertOptions {
  /** Default: the CPU. */
  device?: Device;
  /** Default: float32 for quantised tensors, as stored for plain ones. */
  dtype?: DType;
}

interface Located {
  readonly info: GgufTensorInfo;
  readonly source: ByteSource;
}

/**
 * Opens a GGUF file, or all parts of a split model by any of them. Every header is read and checked now; tensor data is read
 * only when asked for.
 *
 *     await using model = await openGguf('models/SmolLM2-135M-Instruct.Q4_1.gguf');
 *     ggufString(model.metadata, 'general.architecture'); // 'llama'
 *     const norm = await model.tensor('output_norm.weight', { dtype: 'bfloat16' });
 *
 * @throws NudgeError IO_FAILED when a file cannot be opened, BAD_FILE when one is damaged, incomplete or missing.
 */
export async function openGguf(path: string): Promise<GgufReader> {
  await using opened = new AsyncDisposableStack();
  const reader = new GgufReader(path, await openParts(path, opened));
  // From here on the reader owns the files.
  opened.move();
  return reader;
}

export class GgufReader implements AsyncDisposable {
  /** The file that was opened, for errors. */
  readonly path: string;
  /** Of the first part. */
  readonly metadata: GgufMetadata;
  /** By name, in the order of the file, which is the fastest order to read. Positions are within the part. */
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
  readonly #located: ReadonlyMap<string, Located>;
  readonly #sources: readonly ByteSource[];

  /** Use {@link openGguf}; this takes headers that are already checked, from any source. */
  constructor(path: string, parts: readonly { readonly source: ByteSource; readonly header: GgufHeader }[]) {
    this.path = path;
    this.#sources = parts.map(({ source }) => source);
    this.metadata = parts[0]?.header.metadata ?? new Map();
    this.#located = new Map(
      parts.flatMap(({ source, header }) => Array.from(header.tensors, ([name, info]) => [name, { info, source }])),
    );
    this.tensors = new Map(Array.from(this.#located, ([name, { info }]) => [name, info]));
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  /** @throws NudgeError BAD_ARGUMENT when there is no tensor of this name. */
  info(name: string): GgufTensorInfo {
    return this.#find(name).info;
  }

  /**
   * A tensor's bytes as stored: blocks or little-endian numbers, row after row.
   *
   * @throws NudgeError BAD_ARGUMENT when there is no such tensor or the reader is closed, IO_FAILED when reading fails.
   */
  async read(name: string): Promise<Uint8Array> {
    const { begin, end } = this.info(name);
    const buffer = Buffer.allocUnsafeSlow(end - begin);
    await this.readInto(name, 0, buffer);
    return buffer;
  }

  /** Fills `target` with a tensor's bytes from `offset` on. @throws NudgeError as `read` does. */
  async readInto(name: string, offset: number, target: Uint8Array): Promise<void> {
    const { info, source } = this.#find(name);
    const size = info.end - info.begin;
    if (offset < 0 || offset + target.length > size) {
      throw new NudgeError('BAD_ARGUMENT', 'This range lies outside the tensor.', {
        path: `${source.label}, tensor ${quote(name)}`,
        expected: `a range within ${bytes(size)}`,
        received: `[${offset}, ${offset + target.length})`,
        remedy: 'Read at most `end - begin` bytes, by `info(name)`.',
      });
    }
    await source.read(target, info.begin + offset);
  }

  /**
   * A tensor, dequantised, in the dtype and on the device asked for. To load many, `loadGguf` needs less memory.
   *
   * @throws NudgeError as `read` does; BAD_FILE for a quantisation that cannot be read, before anything is read.
   */
  async tensor(name: string, options: GgufConvertOptions = {}): Promise<Tensor> {
    // Loaded here, so that metadata and raw bytes can be read where libtorch is absent.
    const { GgufTensorLoader } = await import('./tensor.ts');
    using loader = new GgufTensorLoader(this);
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
    const located = this.#located.get(name);
    if (located !== undefined) return located;
    throw new NudgeError('BAD_ARGUMENT', 'This GGUF model has no such tensor.', {
      path: `${this.path}, tensor ${quote(name)}`,
      expected: `one of its ${this.tensors.size} tensors: ${quoteSome([...this.tensors.keys()], 8)}`,
      received: quote(name),
      remedy: 'Check the name; `tensors` lists them all.',
    });
  }
}
