/** Training: what every trainer stands on, and the trainers. */

export { Batches, type BatchesOptions, microBatches, type StepBatch } from './batches.ts';
export { Checkpoint, type CheckpointContents, type CheckpointOptions, Checkpoints, type Json } from './checkpoint.ts';
export { LoraSettings, parseConfig, TrainingConfig, type TrainingSettings } from './config.ts';
export { type FitProblem, type FitResult, type Mean, type PartLoss, runFit } from './fit.ts';
export { type Explosion, Guard, type GuardOptions, type GuardState } from './guard.ts';
export { completionLogProbSums, type LogProbSumOptions, type PromptedCompletion } from './logprobs.ts';
export { type Metrics, type MetricsLine, MetricsLog, type MetricsOptions, readMetrics } from './metrics.ts';
export { int64, modelFingerprint, type Packed, packSequences } from './pack.ts';
export * from './ppo.ts';
export { checkExamples, checkScores, type ExamplesToCheck, type Finding, isTarget, requireFit } from './preflight.ts';
export { Draws, deriveSeed, generatorFor, permutation } from './random.ts';
export * from './reward/index.ts';
export type { TrainEvent, TrainRun } from './run.ts';
export { fingerprint, type SessionOptions, TrainSession } from './session.ts';
export {
  evaluateSft,
  SftConfig,
  type SftFormat,
  type SftInputs,
  type SftOptions,
  type SftResult,
  trainSft,
} from './sft.ts';
export { EventFile } from './tensorboard.ts';
export { Trainable, type TrainableOptions } from './trainable.ts';
