/** Qwen2 and Qwen2.5 (arXiv 2407.10671, 2412.15115): Llama with offsets on queries, keys and values. */
import type { ConfigReader } from '../config.ts';
import { type LlamaConfig, readDecoder } from './llama.ts';
import { refuseWindow } from './mistral.ts';

export function parseQwen2(config: ConfigReader): LlamaConfig {
  const decoder = readDecoder(config);
  refuseQwenWindow(config, decoder.maxPositions);
  return { ...decoder, queryKeyValueBias: true, outputBias: false, mlpBias: false, normalisesQueriesAndKeys: false };
}

/** Qwen's files name a window even where `use_sliding_window` is false and nothing reads it. */
export function refuseQwenWindow(config: ConfigReader, maxPositions: number): void {
  if (config.boolean('use_sliding_window', false)) refuseWindow(config, maxPositions);
}
