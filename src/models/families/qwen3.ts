/** Qwen3, dense (arXiv 2505.09388): Llama with heads of a width of their own, and an RMS norm over each head of queries and keys. */
import type { ConfigReader } from '../config.ts';
import { type LlamaConfig, readDecoder } from './llama.ts';
import { refuseQwenWindow } from './qwen2.ts';

export function parseQwen3(config: ConfigReader): LlamaConfig {
  const decoder = readDecoder(config, { headDim: 128 });
  refuseQwenWindow(config, decoder.maxPositions);
  const bias = config.boolean('attention_bias', false);
  return { ...decoder, queryKeyValueBias: bias, outputBias: bias, mlpBias: false, normalisesQueriesAndKeys: true };
}
