/**
 * A lock between processes: a folder that holds its owner's name.
 *
 * The folder is made elsewhere with the owner inside and then renamed into place. Renaming onto a folder that is not
 * empty fails, so taking the lock is one atomic step and there is never a lock without an owner.
 */

import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { readJsonOrNull, writeFileAtomic } from './files.mjs';
import { endGroup } from './run.mjs';

/**
 * @typedef {object} Owner
 * @property {number} pid
 * @property {string} host
 * @property {string | null} start When the process started, where the system says; it tells a reused pid apart.
 * @property {{ pid: number, start: string | null }[]} children Process groups that work for the owner.
 */

/** How often the owner shows that it lives, for waiters on other machines that share the folder. */
const HEARTBEAT_MS = 10_000;
/** After this long without a sign of life an owner on another machine counts as dead. */
const REMOTE_STALE_MS = 120_000;
const POLL_MS = 200;

/**
 * Runs `work` while holding the lock; waits for as long as a living process has it.
 *
 * When the previous owner was killed, what it left running is ended first, so that nothing writes beside `work`.
 *
 * @template T
 * @param {string} path The lock's folder.
 * @param {(lock: { addChild: (pid: number) => void }) => Promise<T>} work
 * @param {(owner: Owner) => void} [onWait] Called once, before the first wait.
 * @returns {Promise<T>}
 */
export async function withLock(path, work, onWait) {
  mkdirSync(dirname(path), { recursive: true });
  /** @type {Owner} */
  const owner = { pid: process.pid, host: hostname(), start: processStart(process.pid), children: [] };
  let told = false;
  while (!tryTake(path, owner)) {
    const holder = readOwner(path);
    if (holder !== null && isStale(path, holder)) {
      breakStale(path);
      continue;
    }
    if (holder !== null && !told) {
      told = true;
      onWait?.(holder);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const heartbeat = setInterval(() => touch(path), HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await work({
      addChild(pid) {
        owner.children.push({ pid, start: processStart(pid) });
        writeFileAtomic(join(path, 'owner.json'), JSON.stringify(owner));
      },
    });
  } finally {
    clearInterval(heartbeat);
    remove(path);
  }
}

/**
 * @param {string} path
 * @param {Owner} owner
 */
function tryTake(path, owner) {
  const prepared = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  mkdirSync(prepared);
  writeFileSync(join(prepared, 'owner.json'), JSON.stringify(owner));
  try {
    renameSync(prepared, path);
    return true;
  } catch (error) {
    rmSync(prepared, { recursive: true, force: true });
    const code = /** @type {NodeJS.ErrnoException} */ (error).code;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * @param {string} path
 * @returns {Owner | null} null when the lock was given back in the meantime.
 */
function readOwner(path) {
  return readJsonOrNull(join(path, 'owner.json'));
}

/**
 * @param {string} path
 * @param {Owner} owner
 */
function isStale(path, owner) {
  if (owner.host === hostname()) return !isAlive(owner.pid, owner.start);
  const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  return age > REMOTE_STALE_MS;
}

/**
 * Removes a dead owner's lock. Only one process may do so at a time, and it looks again first: otherwise a slow one
 * would remove the lock that a fast one has just taken.
 *
 * @param {string} path
 */
function breakStale(path) {
  const guard = `${path}.break`;
  try {
    mkdirSync(guard);
  } catch {
    const age = Date.now() - (statSync(guard, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > REMOTE_STALE_MS / 4) rmSync(guard, { recursive: true, force: true });
    return;
  }
  try {
    const owner = readOwner(path);
    if (owner === null || !isStale(path, owner)) return;
    if (owner.host === hostname()) {
      for (const child of owner.children) if (isAlive(child.pid, child.start)) endGroup(child.pid, 'SIGKILL');
    }
    remove(path);
  } finally {
    rmSync(guard, { recursive: true, force: true });
  }
}

/**
 * Takes the lock's folder away in one step, then deletes it.
 *
 * @param {string} path
 */
function remove(path) {
  const aside = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  rmSync(aside, { recursive: true, force: true });
}

/** @param {string} path */
function touch(path) {
  try {
    const now = new Date();
    utimesSync(path, now, now);
  } catch {
    // The cache was deleted under us; the work itself will say so.
  }
}

/**
 * @param {number} pid
 * @param {string | null} start
 */
export function isAlive(pid, start) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives and belongs to someone else.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EPERM') return false;
  }
  return start === null || processStart(pid) === start;
}

/**
 * When a process started, in ticks since boot (Linux only).
 *
 * @param {number} pid
 * @returns {string | null}
 */
export function processStart(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name, in parentheses, may contain anything; field 22 is the 20th after it. A zombie (Z) is dead.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? 'dead' : (fields[19] ?? null);
  } catch {
    return null;
  }
}
