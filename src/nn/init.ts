/**
 * Random and constant initialisation, in place: torch.nn.init's functions, with the same numbers under the same seed.
 *
 * None of them records a gradient; each returns its tensor. `generator` draws from a generator of its own instead of the
 * device's default one (`torch.manualSeed`).
 */
import { NudgeError } from '../errors.ts';
import { type Generator, type Tensor, torch } from '../tensor/index.ts';

export interface RandomOptions {
  generator?: Generator;
}

/** U(low, high). */
export function uniform_(tensor: Tensor, low = 0, high = 1, options: RandomOptions = {}): Tensor {
  return torch.noGrad(() => tensor.uniform_(low, high, options));
}

/** N(mean, std²). */
export function normal_(tensor: Tensor, mean = 0, std = 1, options: RandomOptions = {}): Tensor {
  return torch.noGrad(() => tensor.normal_(mean, std, options));
}

export function constant_(tensor: Tensor, value: number): Tensor {
  return torch.noGrad(() => tensor.fill_(value));
}

export function zeros_(tensor: Tensor): Tensor {
  return torch.noGrad(() => tensor.zero_());
}

export function ones_(tensor: Tensor): Tensor {
  return constant_(tensor, 1);
}

export interface XavierOptions extends RandomOptions {
  /** Scales the standard deviation; see `calculateGain`. Default 1. */
  gain?: number;
}

/** U(-a, a) with a = gain √(6 / (fanIn + fanOut)): Glorot and Bengio (2010), eq. 16. */
export function xavierUniform_(tensor: Tensor, { gain = 1, ...options }: XavierOptions = {}): Tensor {
  const { fanIn, fanOut } = fans(tensor);
  const std = gain * Math.sqrt(2 / (fanIn + fanOut));
  const bound = Math.sqrt(3) * std;
  return uniform_(tensor, -bound, bound, options);
}

/** N(0, std²) with std = gain √(2 / (fanIn + fanOut)): Glorot and Bengio (2010). */
export function xavierNormal_(tensor: Tensor, { gain = 1, ...options }: XavierOptions = {}): Tensor {
  const { fanIn, fanOut } = fans(tensor);
  return normal_(tensor, 0, gain * Math.sqrt(2 / (fanIn + fanOut)), options);
}

export type Nonlinearity = 'linear' | 'sigmoid' | 'tanh' | 'relu' | 'leakyRelu' | 'selu';

export interface KaimingOptions extends RandomOptions {
  /** Negative slope of the leaky ReLU that follows; other nonlinearities ignore it. Default 0. */
  a?: number;
  /** `fanIn` keeps the variance of activations, `fanOut` that of gradients. Default `fanIn`. */
  mode?: 'fanIn' | 'fanOut';
  /** Default `leakyRelu`. */
  nonlinearity?: Nonlinearity;
}

/** U(-b, b) with b = gain √(3 / fan): He et al. (2015, arXiv 1502.01852), eq. 14, as a uniform distribution. */
export function kaimingUniform_(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  const { a = 0, mode = 'fanIn', nonlinearity = 'leakyRelu', ...random } = options;
  const std = calculateGain(nonlinearity, a) / Math.sqrt(fans(tensor)[mode]);
  const bound = Math.sqrt(3) * std;
  return uniform_(tensor, -bound, bound, random);
}

/** The factor by which a nonlinearity's weights must grow to keep the variance. `slope` is the leaky ReLU's, 0.01 by default. */
export function calculateGain(nonlinearity: Nonlinearity, slope = 0.01): number {
  switch (nonlinearity) {
    case 'linear':
    case 'sigmoid':
      return 1;
    case 'tanh':
      return 5 / 3;
    case 'relu':
      return Math.SQRT2;
    case 'leakyRelu':
      return Math.sqrt(2 / (1 + slope ** 2));
    case 'selu':
      return 3 / 4;
  }
}

export interface TruncatedNormalOptions extends RandomOptions {
  mean?: number;
  std?: number;
  /** Lowest value. Default -2, in units of the tensor, not of std (as in PyTorch). */
  low?: number;
  /** Highest value. Default 2. */
  high?: number;
}

/**
 * N(mean, std²) conditioned on [low, high], by rejection: from the normal itself while the interval holds more than 30 % of its
 * mass, otherwise from U(low, high), accepted with probability density / peak density.
 * Same numbers as PyTorch since 2.13; before, PyTorch inverted the distribution function.
 */
export function truncNormal_(tensor: Tensor, options: TruncatedNormalOptions = {}): Tensor {
  const { mean = 0, std = 1, low = -2, high = 2, ...random } = options;
  if (!(std > 0 && low < high)) {
    throw new NudgeError('BAD_ARGUMENT', 'A truncated normal needs a positive std and a non-empty interval.', {
      path: 'truncNormal_',
      expected: 'std > 0, low < high',
      received: `std ${std}, low ${low}, high ${high}`,
    });
  }
  const mass = normalMass((low - mean) / std, (high - mean) / std);
  torch.scope(() => {
    torch.noGrad(() => {
      if (mass > 0.3) rejectFromNormal(tensor, mean, std, low, high, random);
      else rejectFromUniform(tensor, mean, std, low, high, random);
    });
  });
  return tensor;
}

function rejectFromNormal(
  tensor: Tensor,
  mean: number,
  std: number,
  low: number,
  high: number,
  random: RandomOptions,
): void {
  // The bounds as the tensor's dtype rounds them: otherwise a value rounded onto a bound is redrawn for ever.
  const lowest = Number(torch.tensor(low, { dtype: tensor.dtype }).item());
  const highest = Number(torch.tensor(high, { dtype: tensor.dtype }).item());
  tensor.normal_(mean, std, random);
  for (;;) {
    const outside = tensor.lt(lowest).logicalOr(tensor.gt(highest)); // [...shape], true = outside the interval
    if (!outside.any().item()) return;
    const redrawn = torch.emptyLike(tensor).normal_(mean, std, random); // [...shape]
    tensor.copy_(torch.where(outside, redrawn, tensor));
  }
}

function rejectFromUniform(
  tensor: Tensor,
  mean: number,
  std: number,
  low: number,
  high: number,
  random: RandomOptions,
): void {
  const mode = Math.max(low, Math.min(mean, high));
  const logPeak = -0.5 * ((mode - mean) / std) ** 2;
  const candidates = torch.emptyLike(tensor); // [...shape]
  const uniform = torch.emptyLike(tensor); // [...shape]
  let pending: Tensor | undefined; // [...shape], true = not accepted yet
  for (;;) {
    candidates.uniform_(low, high, random);
    tensor.copy_(pending === undefined ? candidates : torch.where(pending, candidates, tensor));
    // Accepted when log u ≤ log density(candidate) - log density(mode).
    const logRatio = candidates.sub_(mean).div_(std).pow_(2).mul_(-0.5).sub_(logPeak); // [...shape]
    const rejected = uniform.uniform_(0, 1, random).log_().gt(logRatio); // [...shape]
    pending = pending === undefined ? rejected : pending.logicalAnd(rejected);
    if (!pending.any().item()) return;
  }
}

/** Φ(b) - Φ(a), from libtorch's erf: JavaScript has none. */
function normalMass(a: number, b: number): number {
  return torch.scope(() => {
    const erf = torch
      .tensor([a / Math.SQRT2, b / Math.SQRT2], { dtype: 'float64' })
      .erf()
      .tolist() as number[];
    return (erf[1]! - erf[0]!) / 2;
  });
}

/** Inputs and outputs of a weight [out, in, ...kernel]. */
function fans(tensor: Tensor): { fanIn: number; fanOut: number } {
  const [fanOut, fanIn, ...kernel] = tensor.shape;
  if (fanIn === undefined || fanOut === undefined) {
    throw new NudgeError('SHAPE_MISMATCH', 'Fan-in and fan-out need a weight of two or more dimensions.', {
      expected: '[out, in, ...]',
      received: `[${tensor.shape}]`,
    });
  }
  const field = kernel.reduce((product, size) => product * size, 1);
  return { fanIn: fanIn * field, fanOut: fanOut * field };
}
