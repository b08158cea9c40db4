/** Small operations on files that are either done completely or not at all. */

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, mkdirSync, readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Writes a file beside its place and renames it there: a reader sees the old content or the new one.
 *
 * @param {string} path
 * @param {string} text
 */
export function writeFileAtomic(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * @param {string} path
 * @returns {any} The parsed file, or null where it is missing or not JSON.
 */
export function readJsonOrNull(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}

/**
 * Makes a new folder for work in progress.
 *
 * @param {string} parent
 */
export function makeTemporaryFolder(parent) {
  const path = join(parent, `${process.pid}-${randomBytes(4).toString('hex')}`);
  mkdirSync(path, { recursive: true });
  return path;
}

/**
 * @param {string} path
 * @returns {Promise<string>} The SHA-256 of the file, in hexadecimal.
 */
export async function fileSha256(path) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex');
}

/**
 * @param {string} path An existing folder.
 * @returns {number | null} Bytes that this user can still write there; null where the system does not say.
 */
export function freeBytes(path) {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return null;
  }
}
