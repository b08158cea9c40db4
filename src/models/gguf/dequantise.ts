/** Which types become tensors, and how. Pure: bytes in, numbers out; no file, no libtorch. */

import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';
import { type Dequantise, q4_0, q4_1, q5_0, q5_1, q8_0 } from './blocks.ts';
import { type GgufType, TORCH_DTYPES } from './format.ts';
import { q2_k, q3_k, q4_k, q5_k, q6_k } from './kblocks.ts';

const DEQUANTISERS = {
  Q8_0: q8_0,
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q2_K: q2_k,
  Q3_K: q3_k,
  Q4_K: q4_k,
  Q5_K: q5_k,
  Q6_K: q6_k,
} as const satisfies Partial<Record<GgufType, Dequantise>>;

/** A quantised type that is understood. */
export type QuantisedType = keyof typeof DEQUANTISERS;

/** The types that become tensors; of the others only the raw bytes can be read. */
export const READABLE_TYPES: readonly GgufType[] = [
  ...(Object.keys(TORCH_DTYPES) as GgufType[]),
  ...(Object.keys(DEQUANTISERS) as GgufType[]),
];

/** Undefined for types that are plain numbers and for those that are not understood. */
export function dequantiser(type: GgufType): Dequantise | undefined {
  return Object.hasOwn(DEQUANTISERS, type) ? DEQUANTISERS[type as QuantisedType] : undefined;
}

/**
 * Refuses a tensor that cannot be turned into numbers, before anything is read for it.
 *
 * @throws NudgeError BAD_FILE naming the tensor, its type and the types that can be read.
 */
export function checkReadable(file: string, name: string, type: GgufType): void {
  if (READABLE_TYPES.includes(type)) return;
  throw new NudgeError('BAD_FILE', `This quantisation cannot be read: ${type}.`, {
    path: `${file}, tensor ${quote(name)}`,
    expected: READABLE_TYPES.join(', '),
    received: type,
    remedy: 'Use a file of this model in one of these types, such as Q8_0 or Q4_K_M.',
  });
}
