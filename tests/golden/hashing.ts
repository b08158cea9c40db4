/**
 * Numbers that Python and TypeScript compute alike to the last bit, without a generator and without a file.
 *
 * scripts/golden/hashing.py is the same programme.
 */
import { type Tensor, torch } from '../../src/tensor/index.ts';

/** `count` integers of 32 bits: murmur3's finaliser over a Weyl sequence. */
export function hashed(stream: number, count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => {
    let h = (Math.imul(i + 1, 0x9e3779b9) + Math.imul(stream, 0x85ebca6b)) >>> 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return h ^ (h >>> 16);
  });
}

/** float32 values uniform over [-1/8, 1/8): the top 24 bits of the hash, so that every value is exact. */
export function uniform(stream: number, ...shape: number[]): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return torch.fromTypedArray(
    Float32Array.from(hashed(stream, count), (bits) => ((bits >>> 8) / 2 ** 24 - 0.5) / 4),
    shape,
  );
}
