/**
 * The quantisations with blocks of 32: a scale, a minimum in some, and 4, 5 or 8 bits a weight.
 *
 * Every function equals `gguf.quants.dequantize` of Python's gguf 0.19 bit for bit: products of a scale and a quantum are
 * exact in double precision, so that storing into the Float32Array rounds once, as float32 arithmetic does.
 */

import { halfTable } from './halves.ts';

/**
 * Turns whole blocks into numbers.
 *
 * @param source blocks of the type, from its start.
 * @param target takes the weights of `blocks` blocks.
 */
export type Dequantise = (source: Uint8Array, target: Float32Array, blocks: number) => void;

type Bytes = { readonly [index: number]: number };

/** `w = d * q`; 2 bytes d, 32 bytes q. */
export const q8_0: Dequantise = (source, target, blocks) => {
  const half = halfTable() as Bytes;
  const quanta = new Int8Array(source.buffer, source.byteOffset, source.length) as Bytes;
  const s = source as Bytes;
  for (let block = 0, at = 0, out = 0; block < blocks; block++, at += 34, out += 32) {
    const d = half[s[at]! | (s[at + 1]! << 8)]!;
    for (let i = 0; i < 32; i++) target[out + i] = d * quanta[at + 2 + i]!;
  }
};

/** `w = d * (q - 8)`; 2 bytes d, 16 bytes of which the low halves are the first 16 weights, the high ones the rest. */
export const q4_0: Dequantise = (source, target, blocks) => {
  const half = halfTable() as Bytes;
  const s = source as Bytes;
  for (let block = 0, at = 0, out = 0; block < blocks; block++, at += 18, out += 32) {
    const d = half[s[at]! | (s[at + 1]! << 8)]!;
    for (let i = 0; i < 16; i++) {
      const q = s[at + 2 + i]!;
      target[out + i] = d * ((q & 15) - 8);
      target[out + i + 16] = d * ((q >> 4) - 8);
    }
  }
};

/** `w = d * q + m`; 2 bytes d, 2 bytes m, 16 bytes as in Q4_0. */
export const q4_1: Dequantise = (source, target, blocks) => {
  const half = halfTable() as Bytes;
  const s = source as Bytes;
  for (let block = 0, at = 0, out = 0; block < blocks; block++, at += 20, out += 32) {
    const d = half[s[at]! | (s[at + 1]! << 8)]!;
    const m = half[s[at + 2]! | (s[at + 3]! << 8)]!;
    for (let i = 0; i < 16; i++) {
      const q = s[at + 4 + i]!;
      target[out + i] = d * (q & 15) + m;
      target[out + i + 16] = d * (q >> 4) + m;
    }
  }
};

/** `w = d * (q - 16)`; 2 bytes d, 4 bytes with the fifth bit of each weight, 16 bytes as in Q4_0. */
export const q5_0: Dequantise = (source, target, blocks) => {
  const half = halfTable() as Bytes;
  const s = source as Bytes;
  for (let block = 0, at = 0, out = 0; block < blocks; block++, at += 22, out += 32) {
    const d = half[s[at]! | (s[at + 1]! << 8)]!;
    const low = s[at + 2]! | (s[at + 3]! << 8);
    const high = s[at + 4]! | (s[at + 5]! << 8);
    for (let i = 0; i < 16; i++) {
      const q = s[at + 6 + i]!;
      target[out + i] = d * (((q & 15) | (((low >> i) & 1) << 4)) - 16);
      target[out + i + 16] = d * (((q >> 4) | (((high >> i) & 1) << 4)) - 16);
    }
  }
};

/** `w = d * q + m`; 2 bytes d, 2 bytes m, then as Q5_0. */
export const q5_1: Dequantise = (source, target, blocks) => {
  const half = halfTable() as Bytes;
  const s = source as Bytes;
  for (let block = 0, at = 0, out = 0; block < blocks; block++, at += 24, out += 32) {
    const d = half[s[at]! | (s[at + 1]! << 8)]!;
    const m = half[s[at + 2]! | (s[at + 3]! << 8)]!;
    const low = s[at + 4]! | (s[at + 5]! << 8);
    const high = s[at + 6]! | (s[at + 7]! << 8);
    for (let i = 0; i < 16; i++) {
      const q = s[at + 8 + i]!;
      target[out + i] = d * ((q & 15) | (((low >> i) & 1) << 4)) + m;
      target[out + i + 16] = d * ((q >> 4) | (((high >> i) & 1) << 4)) + m;
    }
  }
};
