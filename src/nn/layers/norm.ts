import { type Tensor, torch } from '../../tensor/index.ts';
import { ones_, zeros_ } from '../init.ts';
import { rmsNorm } from '../kernels.ts';
import { Module } from '../module.ts';
import { type Parameter, parameter } from '../parameter.ts';
import { type LayerOptions, tensorOptions } from './options.ts';

export interface RMSNormOptions extends LayerOptions {
  /** Added to the mean square. Default 1e-6, as in Llama's code; PyTorch takes the dtype's machine epsilon. */
  eps?: number;
}

/**
 * Root mean square normalisation over the last dimension: x / √(mean(x²) + eps) * weight (arXiv 1910.07467, eq. 4).
 * The mean is taken in float32 whatever the input's dtype. [..., D] -> [..., D].
 */
export class RMSNorm extends Module {
  readonly weight: Parameter; // [D]
  readonly eps: number;

  constructor(dimension: number, options: RMSNormOptions = {}) {
    super();
    this.eps = options.eps ?? 1e-6;
    this.weight = parameter(torch.empty([dimension], tensorOptions(options))); // [D]
    if (options.init !== 'none') ones_(this.weight);
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, this.eps); // [..., D]
  }
}

export interface LayerNormOptions extends LayerOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Adds a learned offset. Default true. */
  bias?: boolean;
}

/** Layer normalisation over the last dimension (arXiv 1607.06450, eq. 4): [..., D] -> [..., D]. */
export class LayerNorm extends Module {
  readonly weight: Parameter; // [D]
  readonly bias: Parameter | null; // [D]
  readonly eps: number;
  readonly #shape: readonly number[];

  constructor(dimension: number, options: LayerNormOptions = {}) {
    super();
    this.eps = options.eps ?? 1e-5;
    this.#shape = [dimension];
    const like = tensorOptions(options);
    this.weight = parameter(torch.empty([dimension], like)); // [D]
    this.bias = (options.bias ?? true) ? parameter(torch.empty([dimension], like)) : null; // [D]
    if (options.init === 'none') return;
    ones_(this.weight);
    if (this.bias !== null) zeros_(this.bias);
  }

  forward(x: Tensor): Tensor {
    return torch.layerNorm(x, this.#shape, this.weight, this.bias, this.eps); // [..., D]
  }
}
