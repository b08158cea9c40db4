/** What the tests of this folder share. Nothing here is part of the library. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RawTensor } from './layout.ts';

export { MemorySource, nudgeError, temporaryDirectory } from '../files/testing.ts';

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
