/**
 * One file: fetched into `<name>.part`, continued where it stopped, compared with its checksum, then given its name.
 *
 * A file under its own name is therefore whole. What is in the part file came from the same commit, which never changes, so
 * it can be continued by any later process; the checksum is computed over all of it.
 */

import { createHash, type Hash } from 'node:crypto';
import { createReadStream, rmSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { bytes as exactly } from '../files/index.ts';
import { sizeOf } from './cache.ts';
import type { HubClient, RemoteFile } from './client.ts';
import { explainWriteError } from './explain.ts';
import { ConnectionLost, HttpRefusal, pauseOrThrow } from './http.ts';
import type { Settings } from './settings.ts';

export interface Job {
  readonly client: HubClient;
  readonly settings: Settings;
  readonly id: string;
  readonly commit: string;
  /** Where the files go. */
  readonly folder: string;
  /** Told how many bytes more are there; less than 0 when some were thrown away. */
  readonly onBytes: (count: number) => void;
  /** Aborted when another file has failed for good. */
  readonly signal: AbortSignal;
}

export const PART = '.part';

/** How much of a file is there, whole or in part. */
export function bytesPresent(folder: string, { path, bytes }: RemoteFile): number {
  if (sizeOf(join(folder, path)) === bytes) return bytes;
  const part = sizeOf(join(folder, path + PART)) ?? 0;
  return part <= bytes ? part : 0;
}

/**
 * Fetches what is missing of a file.
 *
 * @throws HttpRefusal, ConnectionLost; NudgeError CHECKSUM when the content is wrong twice, DISK_FULL, IO_FAILED.
 */
export async function downloadFile(job: Job, file: RemoteFile): Promise<void> {
  const target = join(job.folder, file.path);
  if (sizeOf(target) === file.bytes) return;
  for (let last = false; ; last = true) {
    const digest = await fetchWhole(job, file);
    if (file.digest === null || digest === file.digest.hex) break;
    // What lay there may have been damaged before we came; that deserves a second try from the beginning.
    rmSync(target + PART, { force: true });
    job.onBytes(-file.bytes);
    if (last) throw wrongChecksum(job, file, digest);
    job.settings.report({ type: 'note', text: `${file.path}: its checksum is wrong; fetching it again` });
  }
  await rename(target + PART, target);
}

/** Brings the part file to its full size. @returns its digest. */
async function fetchWhole(job: Job, file: RemoteFile): Promise<string> {
  const path = join(job.folder, file.path + PART);
  try {
    await using part = await Part.open(path, file);
    let failures = 0;
    while (part.size < file.bytes) {
      const before = part.size;
      try {
        await fetchRest(job, file, part);
      } catch (error) {
        job.signal.throwIfAborted();
        failures = part.size > before ? 1 : failures + 1;
        await pauseOrThrow(error, failures, job.settings, file.path, job.signal);
      }
    }
    await part.sync();
    return part.digest();
  } catch (error) {
    throw explainWriteError(error, path);
  }
}

async function fetchRest(job: Job, file: RemoteFile, part: Part): Promise<void> {
  const { status, headers, body, cancel } = await openAt(job, file, part);
  const from = status === 206 ? Number(/^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1]) : 0;
  if (from !== part.size) {
    // The server does not do ranges, or not this one: all that it sends begins at another place.
    if (from !== 0) {
      cancel();
      throw new ConnectionLost(`bytes from ${from} in place of ${part.size}`, 'BAD_RANGE');
    }
    job.onBytes(-part.size);
    await part.clear();
  }
  for await (const piece of body) {
    job.signal.throwIfAborted();
    if (part.size + piece.length > file.bytes) {
      job.onBytes(-part.size);
      await part.clear();
      throw new ConnectionLost(`more than the ${exactly(file.bytes)} that the hub lists`, 'TOO_LONG');
    }
    await part.append(piece);
    job.onBytes(piece.length);
  }
  if (part.size < file.bytes)
    throw new ConnectionLost(`it ended after ${exactly(part.size)} of ${exactly(file.bytes)}`, 'SHORT');
}

async function openAt({ client, id, commit, onBytes, signal }: Job, file: RemoteFile, part: Part) {
  try {
    return await client.open(id, commit, file.path, part.size, signal);
  } catch (error) {
    if (!(error instanceof HttpRefusal) || error.status !== 416 || part.size === 0) throw error;
    // It has no such range: what we have is not what it has.
    onBytes(-part.size);
    await part.clear();
    return await client.open(id, commit, file.path, 0, signal);
  }
}

function wrongChecksum({ settings, id }: Job, { path, digest }: RemoteFile, received: string): NudgeError {
  return new NudgeError('CHECKSUM', 'A file from the hub does not have the checksum that the hub lists.', {
    path: `${settings.endpoint}/${id}: ${path}`,
    expected: `${digest?.algorithm} ${digest?.hex}`,
    received: received,
    remedy: 'Try again later; if it stays so, something between here and the hub changes what it sends.',
  });
}

/** The file so far, open at its end, and the digest of what is in it. */
class Part implements AsyncDisposable {
  size = 0;
  readonly #file: RemoteFile;
  readonly #handle: FileHandle;
  #hash: Hash;

  private constructor(handle: FileHandle, file: RemoteFile) {
    this.#handle = handle;
    this.#file = file;
    this.#hash = newHash(file);
  }

  static async open(path: string, file: RemoteFile): Promise<Part> {
    const there = sizeOf(path) ?? 0;
    const part = new Part(await open(path, there > 0 ? 'r+' : 'w'), file);
    try {
      if (there > file.bytes) await part.clear();
      else if (there > 0) await part.#readUp(path, there);
      return part;
    } catch (error) {
      await part.#handle.close();
      throw error;
    }
  }

  async #readUp(path: string, length: number): Promise<void> {
    for await (const piece of createReadStream(path, { end: length - 1, highWaterMark: 1 << 20 }))
      this.#hash.update(piece);
    this.size = length;
  }

  async append(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      const { bytesWritten } = await this.#handle.write(piece, at, piece.length - at, this.size + at);
      at += bytesWritten;
    }
    this.#hash.update(piece);
    this.size += piece.length;
  }

  async clear(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = newHash(this.#file);
    this.size = 0;
  }

  /** Brings it to the disk: a name must not survive a power cut that the content did not. */
  async sync(): Promise<void> {
    await this.#handle.sync();
  }

  digest(): string {
    return this.#hash.digest('hex');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

/** Git hashes a blob with its size in front. */
function newHash({ bytes, digest }: RemoteFile): Hash {
  if (digest?.algorithm === 'sha256') return createHash('sha256');
  return createHash('sha1').update(`blob ${bytes}\0`);
}
