/** In which precision to compute where the user did not say. */
import { kernels } from '../nn/index.ts';
import type { Device, DType } from '../tensor/index.ts';

/** `training` covers scoring as well: all that runs over whole sequences. `inference` draws token after token. */
export type ModelUse = 'training' | 'inference';

export interface DtypeSituation {
  use: ModelUse;
  /** Of most of the weights, as their file spells it: `BF16`, `F32`, `Q4_1`. */
  stored: string | null;
  parameters: number;
  device: Device;
  /** The instruction set of the kernels, see `kernels.selected()`. Default: this processor's. */
  processor?: string;
}

/** Up to so many parameters, 1 GiB in float32, a CPU is fast enough for what bfloat16 would round away. */
const SMALL = 2 ** 28;

/**
 * The precision of `dtype: 'auto'`. Weights that were published in float32 stay so: nothing is rounded unasked. Those of 16 bits
 * and quantised ones become
 *
 * - `bfloat16` on a GPU, and on a CPU with bfloat16 instructions;
 * - on other CPUs `float32` for training and scoring, which compute more than they read and are 3 to 5 times faster so;
 * - and for inference there `bfloat16` above 2^28 parameters, since a token costs one pass over the weights and half the bytes
 *   pass in half the time, but `float32` below: SmolLM2-135M (Q4_1, two cores with AVX-512) writes 38 tokens/s so and 65 in
 *   bfloat16 when it answers once, 340 and 430 when it answers 16 times at once, and reads 1000 tokens in 1.3 against 3.1 s.
 *   What bfloat16 rounds moves its logits by 0.1 (RMS), enough to change a likeliest token, and small models forgive the least.
 */
export function chooseDtype({
  use,
  stored,
  parameters,
  device,
  processor = kernels.selected(),
}: DtypeSituation): DType {
  if (stored === null || /^F(32|64)$/.test(stored)) return 'float32';
  if (device !== 'cpu' || processor === 'avx512_bf16') return 'bfloat16';
  // Without kernels of ours bfloat16 is slow at everything.
  const streams = processor === 'avx512' || processor === 'avx2';
  return use === 'inference' && streams && parameters > SMALL ? 'bfloat16' : 'float32';
}
