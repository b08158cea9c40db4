/**
 * Where bytes come from: a file in use, a buffer in tests. The reader sees only this, so that a test can count what is read.
 *
 * Node maps no file into memory without a native module of its own, so tensors are streamed: positional reads land in the
 * very memory of the tensor. Against a mapping that costs one copy out of the page cache; it saves the page faults, and a
 * file cut short by another process is an error here where a mapping would end the process with SIGBUS.
 */

import { type FileHandle, open } from 'node:fs/promises';
import { NudgeError } from '../../errors.ts';
import { bytes } from './describe.ts';
import { ioFailed } from './io.ts';

export interface ByteSource {
  /** The file's path, or another name, for errors. */
  readonly label: string;
  /** In bytes. */
  readonly size: number;
  /** Fills all of `target` with the bytes that start at `position`. The range must lie inside the source. */
  read(target: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

// libuv reads on four threads. Pieces of a large tensor are read side by side, each large enough to hide the round trip.
const PIECE_BYTES = 4 * 1024 * 1024;
const PIECES_AT_ONCE = 4;

/** A file that is open for reading. */
export class FileSource implements ByteSource, AsyncDisposable {
  readonly label: string;
  readonly size: number;
  readonly #handle: FileHandle;
  #closed = false;

  private constructor(label: string, size: number, handle: FileHandle) {
    this.label = label;
    this.size = size;
    this.#handle = handle;
  }

  /** @throws NudgeError IO_FAILED when the file cannot be opened, BAD_FILE when it is not a regular file. */
  static async open(path: string): Promise<FileSource> {
    const handle = await open(path, 'r').catch((error) => {
      throw ioFailed('open', path, error);
    });
    try {
      const stat = await handle.stat();
      if (stat.isFile()) return new FileSource(path, stat.size, handle);
      throw new NudgeError('BAD_FILE', 'This is not a file.', {
        path,
        expected: 'a regular file',
        received: stat.isDirectory() ? 'a directory' : 'a device, pipe or socket',
        remedy: 'Pass the path of the file itself.',
      });
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    if (this.#closed) {
      throw new NudgeError('BAD_ARGUMENT', 'This file is closed.', {
        path: this.label,
        remedy: 'Read every tensor before you close the file.',
      });
    }
    let next = 0;
    const worker = async () => {
      while (next < target.length) {
        const begin = next;
        next = Math.min(target.length, begin + PIECE_BYTES);
        await this.#fill(target.subarray(begin, next), position + begin);
      }
    };
    const workers = Math.min(PIECES_AT_ONCE, Math.ceil(target.length / PIECE_BYTES));
    await Promise.all(Array.from({ length: workers }, worker));
  }

  async #fill(piece: Uint8Array, position: number): Promise<void> {
    let done = 0;
    while (done < piece.length) {
      const { bytesRead } = await this.#handle
        .read(piece, done, piece.length - done, position + done)
        .catch((error) => {
          throw ioFailed('read', this.label, error);
        });
      if (bytesRead === 0) {
        throw new NudgeError('BAD_FILE', 'This file became shorter while it was read.', {
          path: this.label,
          expected: bytes(this.size),
          received: `an end of file at ${bytes(position + done)}`,
          remedy: 'Let the program that writes this file finish, then read it again.',
        });
      }
      done += bytesRead;
    }
  }

  /** Waits for reads under way. Closing twice does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A fresh buffer with `length` bytes of a source. */
export async function readBytes(source: ByteSource, position: number, length: number): Promise<Uint8Array> {
  // Not zeroed: every byte is overwritten, or the read fails and nobody sees the buffer.
  const buffer = Buffer.allocUnsafeSlow(length);
  await source.read(buffer, position);
  return buffer;
}
