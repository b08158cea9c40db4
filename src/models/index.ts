/** Models: their architectures, heads, adapters and files. */

export { type AttendOptions, type AttentionContext, inWideFloats, PackedAttention } from './attention.ts';
export { type ConfigJson, ConfigReader, type ModelConfig } from './config.ts';
export { type CreateOptions, createModel } from './create.ts';
export { MODEL_FAMILIES, type ModelFamily, parseConfig } from './families/index.ts';
export * from './gguf/index.ts';
export { LanguageModelHead, ScoreHead, type ScoreHeadOptions } from './heads.ts';
export * from './hub/index.ts';
export { type LoadModelOptions, loadModel, modelFromWeights } from './load.ts';
export * from './lora/index.ts';
export { type AdapterSwitch, CausalModel, type ForwardOptions, type HeadKind, type LayerInput } from './model.ts';
export { isProjection, type Projection } from './projection.ts';
export * from './safetensors/index.ts';
export { type SaveModelOptions, saveModel } from './save.ts';
export type { WeightInfo, WeightSource } from './weights.ts';
