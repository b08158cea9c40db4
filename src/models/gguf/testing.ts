/** What the tests of this folder share. Nothing here is part of the library. */

import { glob, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '../../setup/paths.mjs';
import type { GgufType } from './format.ts';

export { MemorySource, nudgeError, Random, temporaryDirectory } from '../files/testing.ts';

export const GOLDEN = join(import.meta.dirname, '../../../tests/golden/data/gguf');

/** A tensor as scripts/golden/gguf_files.py describes it. */
export interface GoldenTensor {
  name: string;
  type: GgufType;
  shape: number[];
  bytes: Uint8Array;
  weights: Float32Array;
}

export async function golden<T>(name: string): Promise<T> {
  return JSON.parse(await readFile(join(GOLDEN, name), 'utf8'));
}

export async function goldenTensors(file: string): Promise<GoldenTensor[]> {
  const files =
    await golden<Record<string, (Omit<GoldenTensor, 'bytes' | 'weights'> & { bytes: string; weights: string })[]>>(
      'expected.json',
    );
  return (files[file] ?? []).map((tensor) => ({
    ...tensor,
    bytes: bytesOf(tensor.bytes),
    weights: floatsOf(tensor.weights),
  }));
}

export function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

export function floatsOf(base64: string): Float32Array {
  return new Float32Array(bytesOf(base64).buffer as ArrayBuffer);
}

/** The bits of floats; every NaN becomes the same one, since engines may change which it is. */
export function bits(values: Float32Array): Uint32Array {
  const copy = values.slice();
  for (let i = 0; i < copy.length; i++) if (Number.isNaN(copy[i])) copy[i] = Number.NaN;
  const words = new Uint32Array(copy.buffer);
  for (let i = 0; i < words.length; i++) if (Number.isNaN(copy[i])) words[i] = 0x7fc00000;
  return words;
}

/** A model of `models.json`, see scripts/golden/gguf_models.py. */
export interface GoldenModel {
  config: Record<string, unknown>;
  tensors: { hf: string; gguf: string; shape: number[]; stored: number[]; sha256: string }[];
}

/** The header of a file, written field by field, so that any of them can be wrong. */
export class HeaderBuilder {
  readonly #parts: Buffer[] = [];

  bytes(...bytes: number[]): this {
    this.#parts.push(Buffer.from(bytes));
    return this;
  }
  text(text: string): this {
    this.#parts.push(Buffer.from(text, 'latin1'));
    return this;
  }
  u32(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.#parts.push(bytes);
    return this;
  }
  u64(value: number | bigint): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    this.#parts.push(bytes);
    return this;
  }
  /** A length and UTF-8. */
  string(text: string): this {
    this.u64(Buffer.byteLength(text));
    this.#parts.push(Buffer.from(text));
    return this;
  }
  prefix(tensors: number | bigint, entries: number | bigint, version = 3): this {
    return this.text('GGUF').u32(version).u64(tensors).u64(entries);
  }
  tensor(name: string, dims: readonly (number | bigint)[], type: number, offset: number | bigint): this {
    this.string(name).u32(dims.length);
    for (const dim of dims) this.u64(dim);
    return this.u32(type).u64(offset);
  }
  /** Padding to 32, and so many bytes of data. */
  data(count: number): this {
    const length = this.#parts.reduce((sum, part) => sum + part.length, 0);
    this.#parts.push(Buffer.alloc((32 - (length % 32)) % 32), Buffer.alloc(count, 1));
    return this;
  }
  build(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** A model's file of this name and size, wherever it lies below the cache's `models`; null when it is not there. */
export async function cachedModel(name: string, size: number): Promise<string | null> {
  const folder = join(cacheFolder(process.env), 'models');
  for await (const found of glob(`**/${name}`, { cwd: folder })) {
    // Folders with a dot hold what is still being fetched.
    if (found.startsWith('.')) continue;
    const path = join(folder, found);
    if ((await stat(path)).size === size) return path;
  }
  return null;
}
