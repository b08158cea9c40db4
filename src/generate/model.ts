/** What generation needs of a model: `CausalModel` of src/models has it. */
import type { Device, DType, Tensor } from '../tensor/index.ts';

export interface AttentionContext {
  readonly positions: Tensor; // [N] int64
  readonly maxLength: number;
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, options?: { scale?: number }): Tensor;
}

export interface LanguageModel {
  readonly config: {
    readonly layers: number;
    readonly kvHeads: number;
    readonly headDim: number;
    readonly vocabSize: number;
    readonly maxPositions: number;
  };
  readonly dtype: DType;
  readonly device: Device;
  /** ids [N] -> hidden states [N, D] */
  forward(ids: Tensor, context: AttentionContext): Tensor;
  /** [R, D] -> [R, V] */
  logits(hidden: Tensor): Tensor;
}
