/** Generation: the engine that batches requests over a model in this process, and samplers behind a server. */

export { Engine, type EngineOptions } from './engine.ts';
export type { LanguageModel } from './model.ts';
export type { TextCodec } from './output.ts';
export type {
  ChatTurn,
  Completion,
  FinishReason,
  GenerateEvent,
  GenerateRequest,
  Sampler,
  SamplingParameters,
} from './request.ts';
export { ServerSampler, type ServerSamplerOptions } from './server/sampler.ts';
