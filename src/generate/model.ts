/** What generation needs of a model: `CausalModel` has it. */
import type { AttentionContext, ModelConfig } from '../models/index.ts';
import type { Device, DType, Tensor } from '../tensor/index.ts';

export interface LanguageModel {
  readonly config: Pick<ModelConfig, 'layers' | 'kvHeads' | 'headDim' | 'vocabSize' | 'maxPositions'>;
  readonly dtype: DType;
  readonly device: Device;
  /** ids [N] -> hidden states [N, D] */
  forward(ids: Tensor, context: AttentionContext): Tensor;
  /** [R, D] -> [R, V] */
  logits(hidden: Tensor): Tensor;
}
