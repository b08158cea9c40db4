/** Replacing the files that make up a model or an adapter, so that a directory never holds half of one that looks whole. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileExists, ioFailed, syncDirectory, TemporaryFile } from './files/index.ts';

export interface ReplaceOptions {
  /** The file without which the directory holds nothing that loads: it goes first and comes last. */
  marker: string;
  /** Which files belong to the thing. Others in the directory are left alone. */
  owns(name: string): boolean;
  /** Whether files that it owns may be replaced; otherwise they are an error. */
  overwrite: boolean;
}

/**
 * Lets `write` fill a temporary directory, then moves its files to their places.
 *
 * A crash leaves what was there before, or the new files, or, for the moment in which they change places, a directory without
 * its marker, which nothing loads. Everything is on the disk before a name changes.
 *
 * @returns the paths written.
 * @throws NudgeError FILE_EXISTS without `overwrite`, IO_FAILED.
 */
export async function replaceFiles(
  directory: string,
  { marker, owns, overwrite }: ReplaceOptions,
  write: (temporary: string) => Promise<void>,
): Promise<string[]> {
  await attempt('create', directory, mkdir(directory, { recursive: true }));
  const list = async (path: string) => await attempt('list', path, readdir(path));
  const refuse = (names: readonly string[]) => {
    if (names.length > 0 && !overwrite) throw fileExists(names.map((name) => join(directory, name)));
  };
  refuse((await list(directory)).filter(owns));
  const temporary = join(directory, `.nudge-${process.pid}-${randomBytes(6).toString('hex')}.tmp`);
  await attempt('create', temporary, mkdir(temporary));
  try {
    await write(temporary);
    await syncDirectory(temporary);
    const written = await list(temporary);
    // Looked for again: others may have saved here while this one wrote.
    const inTheWay = (await list(directory)).filter((name) => owns(name) || written.includes(name));
    refuse(inTheWay);
    for (const name of markerLast(inTheWay, marker).reverse()) {
      await attempt('remove', name, rm(join(directory, name)));
    }
    await syncDirectory(directory);
    const paths = markerLast(written, marker).map((name) => join(directory, name));
    for (const path of paths) await attempt('write', path, rename(join(temporary, basename(path)), path));
    await syncDirectory(directory);
    return paths;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

const markerLast = (names: readonly string[], marker: string): string[] =>
  names.toSorted((a, b) => Number(a === marker) - Number(b === marker));

/** Writes a small file whole. */
export async function writeWhole(path: string, contents: string | Uint8Array): Promise<void> {
  await using file = await TemporaryFile.create(path);
  await file.write(typeof contents === 'string' ? Buffer.from(contents) : contents);
  await file.seal();
  await file.publish(false);
  file.release();
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeWhole(path, `${JSON.stringify(value, null, 2)}\n`);
}

async function attempt<T>(action: string, path: string, promise: Promise<T>): Promise<T> {
  return await promise.catch((error) => {
    throw ioFailed(action, path, error);
  });
}
