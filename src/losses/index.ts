/**
 * Losses and what leads to them: pure functions of tensors and numbers. Tokens are flat (docs/decisions/0006), results are named
 * and unreduced. See docs/algorithms.
 */
export * from './advantages.ts';
export * from './comparisons.ts';
export * from './direct.ts';
export {
  type EntropyKind,
  type HeadLogProbs,
  type HeadOptions,
  headLogProbs,
  throughHead,
} from './head.ts';
export * from './kl.ts';
export { type LogProbOptions, tokenEntropies, tokenLogProbs } from './logprobs.ts';
export * from './policy.ts';
export * from './ppo.ts';
export * from './reward.ts';
export * from './scores.ts';
export { expandSegments, type Lengths, segmentMeans, segmentStarts, segmentSums } from './segments.ts';
export {
  crossEntropy,
  type LinearCrossEntropy,
  type LinearCrossEntropyOptions,
  linearCrossEntropy,
} from './sft.ts';
