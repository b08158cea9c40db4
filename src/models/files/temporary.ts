/** A file that is written beside its destination and takes its place in one step, so that nobody ever meets half of it. */

import { randomBytes } from 'node:crypto';
import { type FileHandle, link, lstat, open, rename, rm } from 'node:fs/promises';
import { NudgeError } from '../../errors.ts';
import { errorCode, ioFailed } from './io.ts';

// Node passes at most 2^31 - 1 bytes to one write; smaller pieces keep one write from holding a thread for long.
const PIECE_BYTES = 64 * 1024 * 1024;

// True until a name changes, which is what `publish` does.
const UNTOUCHED = 'Nothing was replaced.';

/**
 * A temporary file in the destination's directory (a rename is atomic only within one file system). Disposing of it
 * removes it, unless it was released. After a `kill -9` it stays behind as `<destination>.<pid>-<random>.tmp`; deleting
 * it is always safe.
 */
export class TemporaryFile implements AsyncDisposable {
  readonly #destination: string;
  readonly #handle: FileHandle;
  /** What disposing removes; null when the file is no longer ours to remove. */
  #owned: string | null;

  private constructor(destination: string, path: string, handle: FileHandle) {
    this.#destination = destination;
    this.#owned = path;
    this.#handle = handle;
  }

  /** @throws NudgeError IO_FAILED when the directory is missing or cannot be written. */
  static async create(destination: string): Promise<TemporaryFile> {
    const path = `${destination}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`;
    const handle = await open(path, 'wx').catch((error) => {
      throw ioFailed('write', destination, error, UNTOUCHED);
    });
    return new TemporaryFile(destination, path, handle);
  }

  /** Appends. @throws NudgeError IO_FAILED, for example when the disk is full. */
  async write(data: Uint8Array): Promise<void> {
    let at = 0;
    while (at < data.length) {
      const length = Math.min(PIECE_BYTES, data.length - at);
      const { bytesWritten } = await this.#handle.write(data, at, length).catch((error) => {
        throw ioFailed('write', this.#destination, error, UNTOUCHED);
      });
      at += bytesWritten;
    }
  }

  /** Brings the contents to the disk itself and closes: a rename must not survive a power cut that its data did not. */
  async seal(): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
    } catch (error) {
      throw ioFailed('write', this.#destination, error, UNTOUCHED);
    }
  }

  /**
   * Gives the sealed file its name.
   *
   * @throws NudgeError FILE_EXISTS when the destination appeared since it was looked for and `overwrite` is false.
   */
  async publish(overwrite: boolean): Promise<void> {
    const from = this.#owned as string;
    try {
      if (overwrite) {
        await rename(from, this.#destination);
        this.#owned = null;
      } else {
        await renameToFree(from, this.#destination);
        this.#owned = this.#destination;
      }
    } catch (error) {
      throw error instanceof NudgeError ? error : ioFailed('write', this.#destination, error);
    }
  }

  /** Leaves the published file in place when this object is disposed of. */
  release(): void {
    this.#owned = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A failure to tidy up must not hide the error that brought us here.
    await this.#handle.close().catch(() => {});
    if (this.#owned !== null) await rm(this.#owned, { force: true }).catch(() => {});
  }
}

/** A rename that refuses to replace: a link fails where a file is, a rename would not. */
async function renameToFree(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (errorCode(error) === 'EEXIST' || (await exists(to))) throw fileExists([to]);
    // No links on this file system (FAT, some network shares): what is left of the race is a few microseconds.
    await rename(from, to);
    return;
  }
  await rm(from, { force: true });
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}

/** The refusal to replace files that nobody said may go. */
export function fileExists(paths: readonly string[]): NudgeError {
  return new NudgeError(
    'FILE_EXISTS',
    paths.length === 1 ? 'The file exists.' : `${paths.length} of the files exist.`,
    {
      path: paths.slice(0, 3).join(', '),
      expected: 'a path at which nothing is',
      remedy: 'Choose another path, or pass `overwrite: true` to replace the model there.',
    },
  );
}

/** Brings names created or removed in a directory to the disk. A no-op where directories cannot be synchronised (Windows). */
export async function syncDirectory(directory: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(directory, 'r');
    await handle.sync();
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EIO' || code === 'ENOSPC') throw ioFailed('write', directory, error);
  } finally {
    await handle?.close();
  }
}
