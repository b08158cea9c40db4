/** What the tests of this folder share. Nothing here is part of the library. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { NudgeError } from '../../errors.ts';
import type { RawTensor } from './layout.ts';
import type { ByteSource } from './source.ts';

export const GOLDEN = join(import.meta.dirname, '../../../tests/golden/data/safetensors');

/** A tensor as scripts/golden/safetensors_files.py describes it. */
export interface GoldenTensor {
  name: string;
  torch: string;
  shape: number[];
  hex: string;
}

interface GoldenFile {
  metadata: Record<string, string>;
  tensors: GoldenTensor[];
}

export interface Verdict {
  name: string;
  hex: string;
  accepted: boolean;
  tensors?: string[];
  error?: string;
}

export async function goldenFiles(): Promise<Record<string, GoldenFile>> {
  return JSON.parse(await readFile(join(GOLDEN, 'expected.json'), 'utf8')).files;
}

export async function referenceVerdicts(): Promise<Verdict[]> {
  return JSON.parse(await readFile(join(GOLDEN, 'malformed.json'), 'utf8'));
}

/** A buffer as a file; counts what is asked of it and refuses to go past its end. */
export class MemorySource implements ByteSource {
  readonly label = 'test.safetensors';
  readonly #content: Uint8Array;
  bytesRead = 0;

  constructor(content: Uint8Array) {
    this.#content = content;
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

/** A file with any header text and data. */
export function fileOf(header: string, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const json = Buffer.from(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([prefix, json, data]);
}

/** A tensor of bytes that differ between tensors and, within 251 of them, between positions. */
export function rawTensor(dtype: RawTensor['dtype'], shape: number[], size: number, seed = 0): RawTensor {
  const pattern = Uint8Array.from({ length: 251 }, (_, i) => (i * 31 + seed * 7 + 1) % 251);
  return { dtype, shape, bytes: Buffer.alloc(size, pattern) };
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
  const path = await mkdtemp(join(tmpdir(), 'nudge-safetensors-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
