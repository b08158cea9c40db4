/** Mistral (arXiv 2310.06825): Llama with grouped keys and values. Its sliding window is refused where it would change anything. */
import type { ConfigReader } from '../config.ts';
import { type LlamaConfig, readDecoder } from './llama.ts';

export function parseMistral(config: ConfigReader): LlamaConfig {
  const decoder = readDecoder(config, { kvHeads: 8 });
  refuseWindow(config, decoder.maxPositions);
  return { ...decoder, queryKeyValueBias: false, outputBias: false, mlpBias: false, normalisesQueriesAndKeys: false };
}

/** A window as wide as the longest sequence hides nothing; a narrower one needs attention that does not exist here. */
export function refuseWindow(config: ConfigReader, maxPositions: number): void {
  if (!config.has('sliding_window') || config.integer('sliding_window') >= maxPositions) return;
  throw config.unsupported(
    'sliding_window',
    `null, or at least max_position_embeddings (${maxPositions})`,
    'Lower max_position_embeddings to the window and stay below it, or choose a model without one.',
  );
}
