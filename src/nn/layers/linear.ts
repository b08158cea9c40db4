import { type Tensor, torch } from '../../tensor/index.ts';
import { kaimingUniform_, uniform_ } from '../init.ts';
import { linear } from '../kernels.ts';
import { Module } from '../module.ts';
import { type Parameter, parameter } from '../parameter.ts';
import { type LayerOptions, randomOptions, tensorOptions } from './options.ts';

export interface LinearOptions extends LayerOptions {
  /** Adds a learned offset to each output. Default true. */
  bias?: boolean;
}

/**
 * y = x Wᵀ + b: [..., inFeatures] -> [..., outFeatures].
 *
 * Weight and bias start at U(-1/√in, 1/√in), as in torch.nn.Linear (kaiming with a = √5).
 */
export class Linear extends Module {
  readonly weight: Parameter; // [out, in]
  readonly bias: Parameter | null; // [out]
  readonly inFeatures: number;
  readonly outFeatures: number;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    const like = tensorOptions(options);
    this.weight = parameter(torch.empty([outFeatures, inFeatures], like)); // [out, in]
    this.bias = (options.bias ?? true) ? parameter(torch.empty([outFeatures], like)) : null; // [out]
    if (options.init !== 'none') this.#initialise(randomOptions(options));
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias); // [..., out]
  }

  #initialise(random: ReturnType<typeof randomOptions>): void {
    if (this.weight.numel() > 0) kaimingUniform_(this.weight, { a: Math.sqrt(5), ...random });
    if (this.bias === null) return;
    const bound = this.inFeatures > 0 ? 1 / Math.sqrt(this.inFeatures) : 0;
    uniform_(this.bias, -bound, bound, random);
  }
}
