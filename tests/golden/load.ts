/** Reads the golden values that scripts/golden makes from Python's PyTorch; scripts/golden/encoding.py describes the format. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { type DType, dtypeBytes, type Tensor, torch } from '../../src/tensor/index.ts';
import type { TensorLike } from '../support/elements.ts';
import '../support/allClose.ts';
import type { Tolerance } from '../support/allClose.ts';

/**
 * The golden values were made with one thread too: how a sum is split decides its last bits. And test files run side by side: where they
 * have more threads than there are cores, libtorch's spend their time waiting for each other (57 s in place of 0.3 s for the transformer).
 */
torch.setNumThreads(1);

export interface EncodedTensor {
  tensor: DType;
  shape: number[];
  /** Base64. */
  bytes: string;
  /** Where elements do not lie in row-major order: steps and start, over `bytes` as one long row. */
  stride?: number[];
  offset?: number;
}

export type Encoded =
  | EncodedTensor
  | { float: number | string }
  | { int: string }
  | null
  | boolean
  | number
  | string
  | Encoded[];

export function loadCases<Case>(file: string): Case[] {
  const text = readFileSync(new URL(`data/${file}.json`, import.meta.url), 'utf8');
  return (JSON.parse(text) as { cases: Case[] }).cases;
}

/** PyTorch's name in the API: camelCase, underscores before and after kept. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[^_])_+([A-Za-z0-9])/g, (_, next: string) => next.toUpperCase());
}

export function decodeTensor({ tensor: dtype, shape, bytes, stride, offset }: EncodedTensor): Tensor {
  const raw = decodeBytes(bytes);
  if (stride === undefined) return torch.fromBytes(raw, shape, dtype);
  return torch.fromBytes(raw, [raw.byteLength / dtypeBytes(dtype)], dtype).asStrided(shape, stride, offset ?? 0);
}

/** An argument as a user would write it. */
export function decode(value: Encoded): unknown {
  if (Array.isArray(value)) return value.map(decode);
  if (typeof value !== 'object' || value === null) return value;
  if ('tensor' in value) return decodeTensor(value);
  if ('int' in value) return BigInt(value.int);
  if (typeof value.float === 'number') return torch.float(value.float);
  return Number(value.float.replace('inf', 'Infinity'));
}

/** Compares a result, or a tree of them, with the golden one. */
export function expectGolden(received: unknown, golden: Encoded, tolerance: Tolerance): void {
  if (Array.isArray(golden)) {
    expect(received).toBeInstanceOf(Array);
    expect(received).toHaveLength(golden.length);
    for (const [i, element] of golden.entries()) expectGolden((received as unknown[])[i], element, tolerance);
  } else if (typeof golden === 'object' && golden !== null && 'tensor' in golden) {
    expect(received).toBeCloseToTensor(tensorLike(golden), tolerance);
  } else if (typeof golden === 'object' && golden !== null && 'float' in golden) {
    expect(received).toBe(Number(String(golden.float).replace('inf', 'Infinity')));
  } else {
    expect(received).toBe(golden);
  }
}

/** The value without a native tensor, so that comparing needs none of what is compared. */
export function tensorLike({ tensor: dtype, shape, bytes }: EncodedTensor): TensorLike {
  return { dtype, shape, bytes: () => decodeBytes(bytes) };
}

function decodeBytes(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'));
}
