/** Saving a whole model as GGUF: config, names and arrangement of its weights. Loading one is in weights.ts. */

import { NudgeError } from '../../errors.ts';
import type { Tensor } from '../../tensor/index.ts';
import { quoteSome } from '../files/index.ts';
import type { HfConfig } from './config.ts';
import { ggufArchitecture, hfToGguf, ropeFactors } from './hfConfig.ts';
import type { GgufMetadata } from './metadata.ts';
import { hfNames } from './names.ts';
import { type DeferredTensor, type GgufSaveOptions, saveGguf } from './save.ts';
import { headsOf } from './weights.ts';

export interface HfModel {
  /** transformers' `config.json`. */
  readonly config: HfConfig;
  /** By transformers' names. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** See `hfToGguf`. */
  readonly tokenizer: GgufMetadata;
  /** For people; default: none. */
  readonly name?: string;
}

/**
 * Saves a model as a GGUF file that llama.cpp loads. Promises and errors are those of `saveGguf`.
 *
 * A tied `lm_head.weight` (or `embed_out.weight`) is left out when `config.tie_word_embeddings`, masks and inverse frequencies
 * always; any other tensor without a place in GGUF is refused.
 */
export async function saveGgufModel(path: string, model: HfModel, options: GgufSaveOptions = {}): Promise<number> {
  const { config, tensors, tokenizer } = model;
  const names = hfNames(ggufArchitecture(config));
  const metadata = hfToGguf(config, tokenizer, model.name);
  const { toGgufArrangement } = await import('./arrange.ts');
  const saved = new Map<string, Tensor | DeferredTensor>();
  const unknown: string[] = [];
  for (const [hf, tensor] of tensors) {
    const mapped = names.toGguf(hf);
    if (mapped === null) {
      if (!names.isDerived(hf)) unknown.push(hf);
      continue;
    }
    const { name, arrangement } = mapped;
    if (name === 'output.weight' && isTied(config)) continue;
    if (arrangement === 'same') saved.set(name, tensor);
    else {
      const shape = arrangement === 'transposed' ? tensor.shape.toReversed() : tensor.shape;
      saved.set(name, { shape, make: () => toGgufArrangement(hf, tensor, arrangement, headsOf(config)) });
    }
  }
  if (unknown.length > 0) throw unknownTensors(path, unknown);
  const factors = ropeFactors(config);
  if (factors !== null) {
    const { torch } = await import('../../tensor/index.ts');
    saved.set('rope_freqs.weight', {
      shape: [factors.length],
      make: () => torch.fromTypedArray(factors, [factors.length]),
    });
  }
  return await saveGguf(path, { metadata, tensors: saved }, options);
}

// transformers' default, where a config does not say.
const TIED_BY_DEFAULT: readonly unknown[] = ['gpt2'];

function isTied(config: HfConfig): boolean {
  return config.tie_word_embeddings === undefined
    ? TIED_BY_DEFAULT.includes(config.model_type)
    : config.tie_word_embeddings === true;
}

function unknownTensors(path: string, names: readonly string[]): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'This model has tensors that GGUF has no place for.', {
    path,
    expected: 'the tensors of the architecture alone',
    received: quoteSome(names),
    remedy: 'Check that the weights and the config belong together; adapters are merged before a model is saved.',
  });
}
