/** LoRA: small trained updates over a frozen model. */
export { LoraAdapter, LoraPair } from './adapter.ts';
export { LoraAdapters } from './adapters.ts';
export type { LoraConfig, LoraOptions, LoraTargets } from './config.ts';
export { loadAdapter, type SaveAdapterOptions, saveAdapter } from './files.ts';
export { LoraProjection } from './projection.ts';
