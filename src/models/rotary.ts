/**
 * Rotary position embeddings (Su et al., arXiv 2104.09864), in the halves-rotating form of GPT-NeoX and Llama, and the ways
 * to stretch them over longer contexts. Frequencies are computed in float32 by transformers' own steps: at position 100,000 the
 * last bit of a frequency is a hundredth of a radian.
 */
import { NudgeError } from '../errors.ts';
import { kernels } from '../nn/index.ts';
import { type Device, type DType, type Tensor, torch } from '../tensor/index.ts';
import type { AttentionContext } from './attention.ts';
import { ConfigReader } from './config.ts';

/** How frequencies are changed to reach further than the model was first trained for. */
export type RopeScaling =
  | { readonly type: 'default' }
  /** Positions divided by `factor`. */
  | { readonly type: 'linear'; readonly factor: number }
  /** A larger base once a sequence is longer than `maxPositions`; it depends on the longest sequence of the context. */
  | { readonly type: 'dynamic'; readonly factor: number }
  /** Low frequencies divided, high ones kept, a ramp between: Llama 3.1. */
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalMaxPositions: number;
    }
  /** The same idea with a ramp over dimensions, and cos and sin scaled: YaRN (arXiv 2309.00071). */
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly attentionFactor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly truncate: boolean;
      readonly originalMaxPositions: number;
    };

export interface RopeConfig {
  readonly theta: number;
  /** R, how many of a head's dimensions turn; even. */
  readonly dimensions: number;
  readonly maxPositions: number;
  readonly scaling: RopeScaling;
}

export interface RopeDefaults {
  readonly headDim: number;
  readonly maxPositions: number;
  /** The share of a head that turns, where the file does not say. Default 1. */
  readonly partial?: number;
  /** The names of theta and of the share before transformers 5. */
  readonly thetaField?: string;
  readonly partialField?: string;
}

/** Reads `rope_parameters` (transformers 5), or `rope_scaling` with `rope_theta` beside it. */
export function readRope(config: ConfigReader, defaults: RopeDefaults): RopeConfig {
  const { headDim, maxPositions, partial = 1 } = defaults;
  const { thetaField = 'rope_theta', partialField = 'partial_rotary_factor' } = defaults;
  const given = config.object('rope_parameters') ?? config.object('rope_scaling');
  const rope = given ?? new ConfigReader({}, config.path);
  const theta = rope.number('rope_theta', config.number(thetaField, 10_000));
  const share = rope.number('partial_rotary_factor', config.number(partialField, partial));
  const dimensions = Math.floor(headDim * share);
  if (!(dimensions >= 2 && dimensions <= headDim && dimensions % 2 === 0)) {
    throw new NudgeError('BAD_FILE', 'The rotary embedding has an impossible number of dimensions.', {
      path: rope.path,
      expected: `an even number from 2 to the head's ${headDim}`,
      received: `${dimensions} (${share} of the head)`,
      remedy: 'Check head_dim and partial_rotary_factor in config.json.',
    });
  }
  return { theta, dimensions, maxPositions, scaling: readScaling(rope, config, maxPositions) };
}

function readScaling(rope: ConfigReader, config: ConfigReader, maxPositions: number): RopeScaling {
  const field = rope.has('rope_type') ? 'rope_type' : 'type';
  const type = rope.string(field, 'default');
  const originalField = 'original_max_position_embeddings';
  const original = (): number => (config.has(originalField) ? config : rope).integer(originalField, maxPositions);
  switch (type) {
    case 'default':
      return { type };
    case 'linear':
    case 'dynamic':
      return { type, factor: rope.number('factor') };
    case 'llama3':
      return {
        type,
        factor: rope.number('factor'),
        lowFrequencyFactor: rope.number('low_freq_factor'),
        highFrequencyFactor: rope.number('high_freq_factor'),
        originalMaxPositions: original(),
      };
    case 'yarn': {
      const originalMaxPositions = original();
      const factor = rope.number('factor', maxPositions / originalMaxPositions);
      return {
        type,
        factor,
        attentionFactor: rope.number('attention_factor', yarnAttentionFactor(rope, factor)),
        betaFast: rope.number('beta_fast', 32),
        betaSlow: rope.number('beta_slow', 1),
        truncate: rope.boolean('truncate', true),
        originalMaxPositions,
      };
    }
  }
  throw rope.unsupported(field, 'default, linear, dynamic, llama3 or yarn');
}

function yarnAttentionFactor(rope: ConfigReader, factor: number): number {
  const mscale = (scale: number): number => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  const [above, below] = [rope.number('mscale', 0), rope.number('mscale_all_dim', 0)];
  return above !== 0 && below !== 0 ? mscale(above) / mscale(below) : mscale(1);
}

/** 1 / θ^(2i / R), scaled: [R / 2] float32. @param length the longest sequence; only dynamic scaling looks at it. */
export function inverseFrequencies(config: RopeConfig, length: number): Tensor {
  const { theta, dimensions, maxPositions, scaling } = config;
  const exponents = torch.arange(0, dimensions, 2, { dtype: 'float32' }).div(dimensions); // [R / 2]
  const powers = (base: number): Tensor => torch.pow(base, exponents); // [R / 2]
  switch (scaling.type) {
    case 'default':
      return powers(theta).reciprocal(); // [R / 2]
    case 'linear':
      return powers(theta).reciprocal().div(scaling.factor); // [R / 2]
    case 'dynamic': {
      const { factor } = scaling;
      const stretch = (factor * Math.max(length, maxPositions)) / maxPositions - (factor - 1);
      return powers(theta * stretch ** (dimensions / (dimensions - 2))).reciprocal(); // [R / 2]
    }
    case 'llama3':
      return llama3Frequencies(powers(theta).reciprocal(), scaling); // [R / 2]
    case 'yarn':
      return yarnFrequencies(powers(theta), config, scaling); // [R / 2]
  }
}

function llama3Frequencies(plain: Tensor, scaling: Extract<RopeScaling, { type: 'llama3' }>): Tensor {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions: context } = scaling;
  const wavelengths = plain.reciprocal().mul(2 * Math.PI); // [R / 2]
  const isLow = wavelengths.gt(context / low); // [R / 2], true = divided
  const isMedium = isLow.logicalOr(wavelengths.lt(context / high)).logicalNot(); // [R / 2], true = between the two
  const divided = torch.where(isLow, plain.div(factor), plain); // [R / 2]
  const smooth = wavelengths
    .reciprocal()
    .mul(context)
    .sub(low)
    .div(high - low); // [R / 2], 0 at the low end, 1 at the high one
  const ramp = smooth.neg().add(1).mul(divided).div(factor).add(smooth.mul(divided)); // [R / 2]
  return torch.where(isMedium, ramp, divided); // [R / 2]
}

function yarnFrequencies(
  powers: Tensor,
  { theta, dimensions }: RopeConfig,
  scaling: Extract<RopeScaling, { type: 'yarn' }>,
): Tensor {
  const { factor, betaFast, betaSlow, truncate, originalMaxPositions } = scaling;
  // The dimension whose wave turns so many times over the original context (paper, eq. 19 and 20).
  const dimensionOf = (rotations: number): number =>
    (dimensions * Math.log(originalMaxPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const [fast, slow] = [dimensionOf(betaFast), dimensionOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, dimensions - 1);
  const width = low === high ? 0.001 : high - low;
  const interpolated = torch
    .arange(dimensions / 2, { dtype: 'float32' })
    .sub(low)
    .div(width)
    .clamp({ min: 0, max: 1 }); // [R / 2], 1 = positions are interpolated
  const kept = interpolated.neg().add(1); // [R / 2]
  const slowed = powers.mul(factor).reciprocal(); // [R / 2]
  return slowed.mul(kept.neg().add(1)).add(powers.reciprocal().mul(kept)); // [R / 2]
}

/** For each token of a pass: cos and sin of its angles, R wide. `sin`'s first half is negated, see `rotate`. */
export interface Rotation {
  readonly cos: Tensor; // [N, 1, R]
  readonly sin: Tensor; // [N, 1, R]
}

/** The table of a model's angles. It grows with the longest sequence met, since some models' limits are 131,072 positions. */
export class RotaryTable {
  readonly config: RopeConfig;
  /** [T, 2 R]: cos, then sin with its first half negated. */
  #table: Tensor | null = null;
  /** What the table was made for: a string to compare. */
  #madeFor = '';

  constructor(config: RopeConfig) {
    this.config = config;
  }

  /** The rotations of a context's tokens, computed in float32 and rounded to `dtype`. */
  at(context: AttentionContext, dtype: DType): Rotation {
    const { dimensions } = this.config;
    const rows = this.#tableFor(context, dtype).indexSelect(0, context.positions).unsqueeze(1); // [N, 1, 2 R]
    return { cos: rows.narrow(2, 0, dimensions), sin: rows.narrow(2, dimensions, dimensions) }; // [N, 1, R]
  }

  #tableFor({ positions, maxLength }: AttentionContext, dtype: DType): Tensor {
    const { scaling, maxPositions } = this.config;
    // With dynamic scaling every length past the limit has angles of its own.
    const stretched = scaling.type === 'dynamic' ? Math.max(maxLength, maxPositions) : 0;
    const device = positions.device;
    const madeFor = `${device} ${dtype} ${stretched}`;
    const table = this.#table;
    const fits = table !== null && madeFor === this.#madeFor && maxLength <= table.shape[0]!;
    // A table from inference mode cannot take part in autograd.
    if (fits && !(torch.isGradEnabled() && table.isInference())) return table;
    const length = Math.max(512, 2 ** Math.ceil(Math.log2(maxLength)));
    const made = torch.scope(() => torch.noGrad(() => this.#make(length, maxLength, dtype, device))).keep(); // [T, 2 R]
    table?.dispose();
    this.#table = made;
    this.#madeFor = madeFor;
    return made;
  }

  #make(length: number, maxLength: number, dtype: DType, device: Device): Tensor {
    const { scaling } = this.config;
    const scale = scaling.type === 'yarn' ? scaling.attentionFactor : 1;
    const angles = torch.outer(torch.arange(length, { dtype: 'float32' }), inverseFrequencies(this.config, maxLength)); // [T, R / 2]
    const [cos, sin] = [angles.cos().mul(scale), angles.sin().mul(scale)]; // [T, R / 2]
    return torch.cat([cos, cos, sin.neg(), sin], 1).to({ dtype, device }); // [T, 2 R]
  }
}

/**
 * Turns the first R dimensions of each head, the pair (x_i, x_{i + R/2}) by the angle of frequency i: [N, H, Dh] -> the same.
 *
 * In formulas x cos + [-x₂, x₁] sin; the table holds [-sin, sin], so that one roll of the halves takes the place of a
 * negation and a concatenation. The other dimensions stay as they are.
 */
export function rotate(x: Tensor, { cos, sin }: Rotation): Tensor {
  return kernels.rope(x, cos, sin); // [N, H, Dh]
}
