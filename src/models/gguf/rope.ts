/**
 * Llama 3's RoPE scaling. transformers has four numbers in the config; GGUF has the factors that follow from them, one a
 * frequency, in the tensor `rope_freqs.weight`.
 */

import { NudgeError } from '../../errors.ts';

/** `rope_scaling` of a config with `rope_type: 'llama3'`. */
export interface Llama3Scaling {
  readonly rope_type: 'llama3';
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
}

/** By what each of `headDim / 2` frequencies is divided (transformers, `_compute_llama3_parameters`). */
export function llama3Factors(scaling: Llama3Scaling, theta: number, headDim: number): Float32Array {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: length } = scaling;
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    if (wavelength < length / high) return 1;
    if (wavelength > length / low) return factor;
    const smooth = (length / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/**
 * The config that gives these factors.
 *
 * Between the frequencies that are kept and those that are divided by all of `factor`, the factors fix two numbers,
 * `length / (high - low)` and `low / (high - low)`. Three unknowns remain open by one degree, and every choice computes the
 * same: here `low_freq_factor` is 1, as in every Llama 3.
 *
 * @throws NudgeError BAD_FILE when no such config exists.
 */
export function llama3FromFactors(factors: Float32Array, theta: number, headDim: number): Llama3Scaling {
  const factor = factors.reduce((most, value) => Math.max(most, value), 0);
  const smooth = (value: number) => (1 / value - 1 / factor) / (1 - 1 / factor);
  const inverseWavelength = (i: number) => 1 / (2 * Math.PI * theta ** ((2 * i) / headDim));
  const between = [...factors.keys()].filter(
    (i) => (factors[i] as number) > 1.0001 && (factors[i] as number) < factor * 0.9999,
  );
  const [first, last] = [between[0], between.at(-1)];
  if (first !== undefined && last !== undefined && first !== last) {
    const rise = smooth(factors[first] as number) - smooth(factors[last] as number);
    const slope = rise / (inverseWavelength(first) - inverseWavelength(last));
    const offset = slope * inverseWavelength(first) - smooth(factors[first] as number);
    const scaling: Llama3Scaling = {
      rope_type: 'llama3',
      factor: tidy(factor),
      low_freq_factor: 1,
      high_freq_factor: tidy(1 + 1 / offset),
      original_max_position_embeddings: Math.round(tidy(slope / offset)),
    };
    const computed = llama3Factors(scaling, theta, headDim);
    if (computed.every((value, i) => Math.abs(value / (factors[i] as number) - 1) < 1e-3)) return scaling;
  }
  throw new NudgeError('BAD_FILE', 'The RoPE factors of this GGUF file are not of a kind that is known.', {
    path: 'rope_freqs.weight',
    expected: "factors of Llama 3's scaling",
    received: `[${Array.from(factors.subarray(0, 8), (value) => value.toPrecision(4)).join(', ')}, …]`,
    remedy: 'Load this model from its safetensors files.',
  });
}

/** Whole numbers come back as such, whatever float32 left of them. */
function tidy(value: number): number {
  const whole = Math.round(value);
  return Math.abs(value - whole) < 2e-3 * Math.abs(whole) ? whole : value;
}
