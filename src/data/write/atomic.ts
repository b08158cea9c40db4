/** A file that is written beside its destination and takes its place in one step: nobody ever meets half of it. */

import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { NudgeError } from '../../errors.ts';

const BUFFER_BYTES = 1024 * 1024;

export interface WriteOptions {
  /** Replace a file that is there. Default: false. */
  overwrite?: boolean;
}

/**
 * Runs `write` with a function that appends bytes. Once it is done, the bytes are on the disk and the file has its name; where it
 * fails, nothing is left behind and an older file stays.
 *
 * @throws NudgeError FILE_EXISTS, IO_FAILED, DISK_FULL.
 */
export async function writeAtomically<T>(
  path: string,
  { overwrite = false }: WriteOptions,
  write: (append: (bytes: Uint8Array) => Promise<void>) => Promise<T>,
): Promise<T> {
  if (!overwrite && (await exists(path))) {
    throw new NudgeError('FILE_EXISTS', 'There is a file already.', {
      path,
      remedy: 'Choose another name, or pass { overwrite: true } to replace it.',
    });
  }
  const temporary = `${path}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`;
  let handle: FileHandle | undefined;
  try {
    await mkdir(dirname(path), { recursive: true });
    handle = await open(temporary, 'wx');
    const sink = new Sink(handle);
    const result = await write((bytes) => sink.append(bytes));
    await sink.flush();
    await handle.sync();
    await handle.close();
    handle = undefined;
    await rename(temporary, path);
    await syncFolder(dirname(path));
    return result;
  } catch (error) {
    // What went wrong must not be hidden by a failure to tidy up.
    await handle?.close().catch(() => {});
    await rm(temporary, { force: true }).catch(() => {});
    throw isSystemError(error) ? writeFailed(path, error) : error;
  }
}

/** Small writes, gathered. */
class Sink {
  readonly #handle: FileHandle;
  #parts: Uint8Array[] = [];
  #held = 0;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#parts.push(bytes);
    this.#held += bytes.length;
    if (this.#held >= BUFFER_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#held = 0;
    for (let done = 0; done < bytes.length; ) done += (await this.#handle.write(bytes, done)).bytesWritten;
  }
}

/** A rename survives a power cut only once its folder is on the disk; not every system lets one ask for that. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined);
  await folder?.sync().catch(() => {});
  await folder?.close();
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && !(error instanceof NudgeError) && 'syscall' in error;
}

function writeFailed(path: string, cause: NodeJS.ErrnoException): NudgeError {
  const isFull = cause.code === 'ENOSPC' || cause.code === 'EDQUOT';
  return new NudgeError(isFull ? 'DISK_FULL' : 'IO_FAILED', 'Could not write the file. Nothing was replaced.', {
    path,
    received: cause.message,
    remedy: isFull ? 'Free space on the disk, then write again.' : 'Check the path and the permissions of its folder.',
    cause,
  });
}
