/** Numbers into Q8_0 blocks, bit-equal to Python's gguf (and ggml's reference). Pure. */

import { toHalf } from './halves.ts';

/**
 * Quantises whole blocks of 32: `d = max|w| / 127`, `q = round(w / d)`, halves away from zero.
 *
 * @param weights a multiple of 32 of them, finite.
 * @param target 34 bytes a block.
 * @returns false when a weight is not finite or too large for a float16 scale (about 8.3 million).
 */
export function quantiseQ8(weights: Float32Array, target: Uint8Array): boolean {
  const quanta = new Int8Array(target.buffer, target.byteOffset, target.length);
  for (let from = 0, at = 0; from < weights.length; from += 32, at += 34) {
    let largest = 0;
    let sum = 0;
    for (let i = 0; i < 32; i++) {
      const size = Math.abs(weights[from + i]!);
      sum += size;
      if (size > largest) largest = size;
    }
    const d = Math.fround(largest / 127);
    const scale = toHalf(d);
    // A NaN hides from the maximum but not from the sum.
    if (Number.isNaN(sum) || scale >= 0x7c00) return false;
    target[at] = scale & 0xff;
    target[at + 1] = scale >> 8;
    const inverse = d === 0 ? 0 : Math.fround(1 / d);
    // Weights under 1e-36: the scale is 0 in float16, so that the quanta do not matter; infinity would make them NaN.
    const factor = Number.isFinite(inverse) ? inverse : 0;
    for (let i = 0; i < 32; i++) {
      const scaled = Math.fround(weights[from + i]! * factor);
      quanta[at + 2 + i] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
    }
  }
  return true;
}
