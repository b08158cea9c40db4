/** What the tests of files share. Nothing here is part of the library. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { NudgeError } from '../../errors.ts';
import type { ByteSource } from './source.ts';

/** A buffer as a file; counts what is asked of it and refuses to go past its end. */
export class MemorySource implements ByteSource {
  readonly label: string;
  readonly #content: Uint8Array;
  bytesRead = 0;

  constructor(content: Uint8Array, label = 'test.safetensors') {
    this.#content = content;
    this.label = label;
  }

  get size(): number {
    return this.#content.length;
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    const end = position + target.length;
    if (position < 0 || end > this.size) throw new Error(`read of [${position}, ${end}) in ${this.size} bytes`);
    this.bytesRead += target.length;
    target.set(this.#content.subarray(position, end));
  }

  async close(): Promise<void> {}
}

/** The error that a promise ends in; fails when it does not, or not in a NudgeError. */
export async function nudgeError(promise: Promise<unknown>): Promise<NudgeError> {
  const error = await promise.then(
    () => expect.fail('it did not throw'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof NudgeError)) throw error;
  return error;
}

/** A fresh directory for one test, removed at its end. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'nudge-files-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Numbers that repeat under a seed (mulberry32), for tests that damage files at random. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  /** An integer from 0 to `limit - 1`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}
