import { kernels, Linear, Module, type Parameter } from '../../nn/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Projection } from '../projection.ts';
import type { LoraPair } from './adapter.ts';

/**
 * Takes a projection's place in its layer, and adds the active adapter's update. Its weight and bias are the projection's own,
 * under their old names; the adapters' matrices belong to the adapters.
 */
export class LoraProjection extends Module implements Projection {
  readonly weight: Parameter;
  readonly bias: Parameter | null;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly #base: Projection;
  readonly #active: () => LoraPair | null;

  /** @param active finds the update to add now; null for none. */
  constructor(base: Projection, active: () => LoraPair | null) {
    super();
    this.weight = base.weight;
    this.bias = base.bias;
    this.inFeatures = base.inFeatures;
    this.outFeatures = base.outFeatures;
    this.training = base.training;
    this.#base = base;
    this.#active = active;
  }

  get base(): Projection {
    return this.#base;
  }

  forward(x: Tensor): Tensor {
    const pair = this.#active();
    if (pair === null) return this.#base.forward(x); // [N, out]
    if (this.#base instanceof Linear && !pair.drops(this.training)) {
      return kernels.loraLinear(x, this.weight, this.bias, pair.lora_A, pair.lora_B, pair.scaling); // [N, out]
    }
    return pair.addTo(this.#base.forward(x), x, this.training); // [N, out]
  }
}
