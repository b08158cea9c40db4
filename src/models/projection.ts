import { Module, type Parameter, parameter } from '../nn/index.ts';
import { type Device, type DType, type Tensor, torch } from '../tensor/index.ts';

/**
 * A learned linear map of a model's layer, x W + b: [N, in] -> [N, out]. It is `nn.Linear`, GPT-2's `Conv1D`, or either of them
 * with LoRA adapters on it, which takes its place in the layer.
 */
export interface Projection extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;
  readonly inFeatures: number;
  readonly outFeatures: number;
  forward(x: Tensor): Tensor;
}

export function isProjection(module: Module): module is Projection {
  const { weight, inFeatures, outFeatures } = module as Partial<Projection>;
  return weight !== undefined && inFeatures !== undefined && outFeatures !== undefined;
}

/** GPT-2's linear map: W is stored [in, out], the other way round than in `nn.Linear`. Its values are the model's to set. */
export class Conv1D extends Module implements Projection {
  readonly weight: Parameter; // [in, out]
  readonly bias: Parameter; // [out]
  readonly inFeatures: number;
  readonly outFeatures: number;

  constructor(inFeatures: number, outFeatures: number, { dtype, device }: { dtype: DType; device: Device }) {
    super();
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.weight = parameter(torch.empty([inFeatures, outFeatures], { dtype, device })); // [in, out]
    this.bias = parameter(torch.empty([outFeatures], { dtype, device })); // [out]
  }

  forward(x: Tensor): Tensor {
    return torch.addmm(this.bias, x, this.weight); // [N, out]
  }
}

/** Whether a projection's weight is [in, out]. */
export function isStoredInputFirst(projection: Projection): boolean {
  return projection instanceof Conv1D;
}
