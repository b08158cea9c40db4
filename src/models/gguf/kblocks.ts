/**
 * The K-quantisations: blocks of 256 weights in groups of 16 or 32, each group with a scale of its own that is quantised too.
 * Bit-equal to Python's gguf, see blocks.ts.
 */

import type { Dequantise } from './blocks.ts';
import { halfTable } from './halves.ts';

type Bytes = { readonly [index: number]: number };

/** `w = d * scale * q - dmin * min`; 16 bytes with 4-bit scale and min of 16 groups, 64 bytes of 2-bit q, d, dmin. */
export const q2_k: Dequantise = (source, target, blocks) => {
  const half = halfTable() as Bytes;
  const s = source as Bytes;
  for (let block = 0, at = 0, out = 0; block < blocks; block++, at += 84) {
    const d = half[s[at + 80]! | (s[at + 81]! << 8)]!;
    const dmin = half[s[at + 82]! | (s[at + 83]! << 8)]!;
    // 32 bytes hold 128 weights: bits 0 and 1 of each the first 32, bits 2 and 3 the next.
    for (let group = 0; group < 16; group++, out += 16) {
      const scale = s[at + group]!;
      const shift = (group & 6) as number;
      const from = at + 16 + (group >> 3) * 32 + (group & 1) * 16;
      const dl = d * (scale & 15);
      const ml = dmin * (scale >> 4);
      for (let i = 0; i < 16; i++) target[out + i] = dl * ((s[from + i]! >> shift) & 3) - ml;
    }
  }
};

/** `w = d * scale * (q - 4 or 0)`; 32 bytes of high bits (0 means minus 4), 64 of 2-bit q, 12 of 6-bit scales, d. */
export const q3_k: Dequantise = (source, target, blocks) => {
  const half = halfTable() as Bytes;
  const s = source as Bytes;
  for (let block = 0, at = 0, out = 0; block < blocks; block++, at += 110) {
    const d = half[s[at + 108]! | (s[at + 109]! << 8)]!;
    for (let group = 0; group < 16; group++, out += 16) {
      const low = s[at + 96 + (group & 7)]! >> (group < 8 ? 0 : 4);
      const high = s[at + 104 + (group & 3)]! >> ((group >> 2) * 2);
      const dl = d * (((low & 15) | ((high & 3) << 4)) - 32);
      const shift = group & 6;
      const bit = group >> 1;
      const mask = at + (group & 1) * 16;
      const from = at + 32 + (group >> 3) * 32 + (group & 1) * 16;
      for (let i = 0; i < 16; i++) {
        const q = (s[from + i]! >> shift) & 3;
        target[out + i] = dl * (q - ((((s[mask + i]! >> bit) & 1) ^ 1) << 2));
      }
    }
  }
};

/** The 6-bit scale of one of 8 groups, in the 12 bytes at `at` that Q4_K and Q5_K share; of the min, with `at + 4`. */
function sixBits(s: Bytes, at: number, group: number, min: number): number {
  const base = at + min * 4;
  if (group < 4) return s[base + group]! & 63;
  const low = s[at + 4 + group]! >> (min * 4);
  return (low & 15) | ((s[base + group - 4]! >> 2) & 48);
}

/** `w = d * scale * q - dmin * min`; d, dmin, 12 bytes of scales and mins, 128 bytes of 4-bit q. */
export const q4_k: Dequantise = (source, target, blocks) => {
  const half = halfTable() as Bytes;
  const s = source as Bytes;
  for (let block = 0, at = 0, out = 0; block < blocks; block++, at += 144) {
    const d = half[s[at]! | (s[at + 1]! << 8)]!;
    const dmin = half[s[at + 2]! | (s[at + 3]! << 8)]!;
    for (let group = 0; group < 8; group++, out += 32) {
      const dl = d * sixBits(s, at + 4, group, 0);
      const ml = dmin * sixBits(s, at + 4, group, 1);
      const from = at + 16 + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) target[out + i] = dl * ((s[from + i]! >> shift) & 15) - ml;
    }
  }
};

/** As Q4_K, with 32 bytes of fifth bits before the 4-bit q. */
export const q5_k: Dequantise = (source, target, blocks) => {
  const half = halfTable() as Bytes;
  const s = source as Bytes;
  for (let block = 0, at = 0, out = 0; block < blocks; block++, at += 176) {
    const d = half[s[at]! | (s[at + 1]! << 8)]!;
    const dmin = half[s[at + 2]! | (s[at + 3]! << 8)]!;
    for (let group = 0; group < 8; group++, out += 32) {
      const dl = d * sixBits(s, at + 4, group, 0);
      const ml = dmin * sixBits(s, at + 4, group, 1);
      const from = at + 48 + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) {
        const q = ((s[from + i]! >> shift) & 15) | (((s[at + 16 + i]! >> group) & 1) << 4);
        target[out + i] = dl * q - ml;
      }
    }
  }
};

/** `w = d * scale * (q - 32)`; 128 bytes of low 4 bits, 64 of high 2 bits, 16 signed scales, d. */
export const q6_k: Dequantise = (source, target, blocks) => {
  const half = halfTable() as Bytes;
  const s = source as Bytes;
  const signed = new Int8Array(source.buffer, source.byteOffset, source.length) as Bytes;
  for (let block = 0, at = 0, out = 0; block < blocks; block++, at += 210) {
    const d = half[s[at + 208]! | (s[at + 209]! << 8)]!;
    for (let group = 0; group < 16; group++, out += 16) {
      const dl = d * signed[at + 192 + group]!;
      // A half of 128 weights has 64 low bytes: 32 columns twice in the low bits, twice in the high ones.
      const part = group >> 1;
      const low = at + (part >> 2) * 64 + (part & 1) * 32 + (group & 1) * 16;
      const lowShift = (part & 2) * 2;
      const high = at + 128 + (part >> 2) * 32 + (group & 1) * 16;
      const highShift = (part & 3) * 2;
      for (let i = 0; i < 16; i++) {
        const q = ((s[low + i]! >> lowShift) & 15) | (((s[high + i]! >> highShift) & 3) << 4);
        target[out + i] = dl * (q - 32);
      }
    }
  }
};
