/** Generation: the engine that batches requests over a model in this process, and samplers behind a server. */

export { Engine, type EngineOptions } from './engine.ts';
export type { LanguageModel } from './model.ts';
export type { TextCodec } from './output.ts';
export {
  type ChatTurn,
  type Completion,
  type FinishReason,
  type GenerateEvent,
  type GenerateRequest,
  type ResolvedParameters,
  resolveParameters,
  type Sampler,
  type SamplingParameters,
} from './request.ts';
export { ServerSampler, type ServerSamplerOptions } from './server/sampler.ts';
