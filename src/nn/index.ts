/** Modules, layers, initialisation, optimisers, schedules and gradient checkpointing. */
export { CheckpointTape, type SegmentResult } from './checkpoint.ts';
export * as init from './init.ts';
export * as kernels from './kernels.ts';
export { Dropout } from './layers/dropout.ts';
export { Embedding } from './layers/embedding.ts';
export { Linear, type LinearOptions } from './layers/linear.ts';
export { LayerNorm, type LayerNormOptions, RMSNorm, type RMSNormOptions } from './layers/norm.ts';
export type { LayerOptions } from './layers/options.ts';
export { type LoadReport, Module } from './module.ts';
export { AdamW, type AdamWConfig, type AdamWOptions } from './optim/adamw.ts';
export { type ClipOptions, clipGradNorm, gradNorm } from './optim/clip.ts';
export type { GroupInput, ParameterGroup, ParameterSource } from './optim/groups.ts';
export {
  constantSchedule,
  cosineSchedule,
  type DecayOptions,
  linearSchedule,
  type Schedule,
  setLr,
  type WarmupOptions,
} from './optim/schedules.ts';
export { SGD, type SGDConfig, type SGDOptions } from './optim/sgd.ts';
export type { Optimizer, OptimizerState } from './optim/state.ts';
export { type Buffer, buffer, isBuffer, isParameter, type Parameter, parameter } from './parameter.ts';
