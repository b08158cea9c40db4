/** Models with fresh, random weights. */
import { init, type Parameter } from '../nn/index.ts';
import { type Device, type DType, type Generator, type Tensor, torch } from '../tensor/index.ts';
import type { ConfigJson } from './config.ts';
import { parseConfig } from './families/index.ts';
import type { CausalModel, HeadKind } from './model.ts';

export interface CreateOptions {
  /** Default `lm`. */
  head?: HeadKind;
  /** Default: the configuration's, else float32. */
  dtype?: DType;
  /** Default: the CPU. */
  device?: Device;
  /** Draws the weights from this generator instead of the device's default one. */
  generator?: Generator;
}

/**
 * A model with random weights, as transformers draws them: matrices from N(0, initializer_range²), norms 1, offsets 0.
 *
 * It is in evaluation mode, which only dropout notices.
 *
 * @param json what a `config.json` would hold.
 * @throws NudgeError BAD_FILE for an unknown architecture, or a field that is missing or not supported.
 */
export function createModel(json: ConfigJson, options: CreateOptions = {}): CausalModel {
  const { family, config } = parseConfig(json);
  const { head = 'lm', dtype = config.dtype ?? 'float32', device = 'cpu', generator } = options;
  const model = torch.scope(() => family.build(config, { head, dtype, device }));
  drawWeights(model, new Map(model.namedParameters()), generator);
  return model.eval();
}

/** Draws the given ones of a model's parameters anew. The score head has drawn its own. */
export function drawWeights(
  model: CausalModel,
  parameters: ReadonlyMap<string, Parameter>,
  generator?: Generator,
): void {
  const { initializerRange, layers, modelType } = model.config;
  const random = generator === undefined ? {} : { generator };
  for (const [name, weight] of parameters) {
    if (name.startsWith('score.')) continue;
    if (weight.ndim === 1) init.constant_(weight, name.endsWith('.bias') ? 0 : 1);
    else init.normal_(weight, 0, initializerRange * shrink(name, modelType, layers), random);
  }
}

/** GPT-2 starts what each layer adds to the hidden states smaller, so that the sum of all is as large as one. */
function shrink(name: string, modelType: string, layers: number): number {
  return modelType === 'gpt2' && name.endsWith('.c_proj.weight') ? 1 / Math.sqrt(2 * layers) : 1;
}

/** Writes values into a parameter: dtype and device are the parameter's. */
export function copyInto(parameter: Tensor, values: Tensor): void {
  torch.noGrad(() => parameter.copy_(values));
}
