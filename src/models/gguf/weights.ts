/** Loading a whole GGUF model as transformers would have it: config, names and arrangement of its weights. */

import { NudgeError } from '../../errors.ts';
import type { Device, DType, Tensor } from '../../tensor/index.ts';
import { quoteSome } from '../files/index.ts';
import { architectureOf, ggufToHf, type HfConfig } from './config.ts';
import { checkReadable } from './dequantise.ts';
import type { GgufMetadata } from './metadata.ts';
import { hfNames, type MappedName } from './names.ts';
import { type GgufReader, openGguf } from './reader.ts';
import type { GgufTensorLoader } from './tensor.ts';

/** The config of an open model, `rope_freqs.weight` and the size of the embedding considered. */
export async function readGgufConfig(model: GgufReader): Promise<HfConfig> {
  const rows = model.tensors.get('token_embd.weight')?.shape[0];
  let factors: Float32Array | undefined;
  if (model.tensors.get('rope_freqs.weight')?.type === 'F32') {
    factors = new Float32Array(new Uint8Array(await model.read('rope_freqs.weight')).buffer);
  }
  return ggufToHf(model.metadata, {
    has: (name) => model.has(name),
    ...(rows === undefined ? {} : { vocabSize: rows }),
    ...(factors === undefined ? {} : { ropeFactors: factors }),
  });
}

/** The weights of an open model under transformers' names, to be read one by one into tensors that are there. */
export class GgufWeights implements AsyncDisposable {
  readonly path: string;
  readonly config: HfConfig;
  /** By transformers' name, in the order of the file; no `lm_head.weight` where `config.tie_word_embeddings`. */
  readonly tensors: ReadonlyMap<
    string,
    { readonly shape: readonly number[]; readonly dtype: string; readonly isFloatingPoint: true }
  >;
  readonly #model: GgufReader;
  readonly #stored: ReadonlyMap<string, MappedName>;
  #loader: GgufTensorLoader | null = null;

  private constructor(model: GgufReader, config: HfConfig, stored: ReadonlyMap<string, MappedName>) {
    this.#model = model;
    this.#stored = stored;
    this.path = model.path;
    this.config = config;
    this.tensors = new Map(
      Array.from(stored, ([name, { name: gguf, arrangement }]) => {
        const { shape, type } = model.info(gguf);
        return [
          name,
          { shape: arrangement === 'transposed' ? shape.toReversed() : shape, dtype: type, isFloatingPoint: true },
        ];
      }),
    );
  }

  /**
   * @param model stays the caller's to close.
   * @throws NudgeError BAD_FILE for an unknown architecture, quantisation or tensor, before any weight is read.
   */
  static async of(model: GgufReader): Promise<GgufWeights> {
    const config = await readGgufConfig(model);
    const names = hfNames(architectureOf(model.metadata));
    const stored = new Map<string, MappedName>();
    const unknown: string[] = [];
    for (const [gguf, { type }] of model.tensors) {
      if (names.isDerived(gguf)) continue;
      const mapped = names.toHf(gguf);
      if (mapped === null) unknown.push(gguf);
      else stored.set(mapped.name, { name: gguf, arrangement: mapped.arrangement });
      checkReadable(model.path, gguf, type);
    }
    if (unknown.length === 0) return new GgufWeights(model, config, stored);
    throw new NudgeError('BAD_FILE', 'This GGUF file has tensors that its architecture has no place for.', {
      path: model.path,
      expected: `the tensors of ${architectureOf(model.metadata)} alone`,
      received: quoteSome(unknown),
      remedy: 'Use another file of this model, or load it from its safetensors files.',
    });
  }

  /**
   * Fills a contiguous tensor of the weight's shape, in its dtype and on its device. One call at a time.
   *
   * @throws NudgeError SHAPE_MISMATCH; BAD_FILE where the shape does not fit the heads of the config; IO_FAILED.
   */
  async read(name: string, into: Tensor): Promise<void> {
    const { name: gguf, arrangement } = this.#find(name);
    const loader = await this.#getLoader();
    if (arrangement === 'same') return await loader.fill(gguf, into);
    const { torch } = await import('../../tensor/index.ts');
    const { toHfArrangement } = await import('./arrange.ts');
    into.expectShape([...(this.tensors.get(name)?.shape ?? [])], name);
    using stored = await loader.load(gguf, { device: into.device as Device, dtype: into.dtype });
    torch.scope(() => {
      torch.noGrad(() => into.copy_(toHfArrangement(gguf, stored, arrangement, headsOf(this.config))));
    });
  }

  /** Frees what reading took. The model stays open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#loader?.[Symbol.dispose]();
    this.#loader = null;
  }

  async #getLoader() {
    const { GgufTensorLoader } = await import('./tensor.ts');
    this.#loader ??= new GgufTensorLoader(this.#model);
    return this.#loader;
  }

  #find(name: string): MappedName {
    const found = this.#stored.get(name);
    if (found !== undefined) return found;
    throw new NudgeError('BAD_ARGUMENT', 'This GGUF model has no such weight.', {
      path: this.path,
      expected: `one of ${quoteSome([...this.#stored.keys()], 8)}`,
      received: name,
      remedy: 'Check the name; `tensors` lists them all.',
    });
  }
}

export interface GgufModel {
  /** As transformers' `config.json`. */
  readonly config: HfConfig;
  /** By transformers' names; no `lm_head.weight` where `config.tie_word_embeddings`. */
  readonly tensors: Map<string, Tensor>;
  /** All of the file's, for the tokenizer, the chat template, and to save the model again. */
  readonly metadata: GgufMetadata;
}

export interface GgufModelOptions {
  /** Default: the CPU. */
  device?: Device;
  /** Of all weights. Default: float32. */
  dtype?: DType;
}

/**
 * Loads a model as transformers would have it.
 *
 *     const { config, tensors } = await loadGgufModel('SmolLM2-135M-Instruct.Q4_1.gguf', { dtype: 'bfloat16' });
 *
 * Peak memory: the weights, and one rearranged matrix.
 *
 * @param model an open reader, or a path as for `openGguf`.
 * @throws NudgeError BAD_FILE for a damaged file, an unknown architecture, quantisation or tensor, before any weight is read;
 * IO_FAILED. The tensors made until then are freed.
 */
export async function loadGgufModel(model: GgufReader | string, options: GgufModelOptions = {}): Promise<GgufModel> {
  if (typeof model === 'string') {
    await using opened = await openGguf(model);
    return await loadGgufModel(opened, options);
  }
  const { device = 'cpu', dtype = 'float32' } = options;
  await using weights = await GgufWeights.of(model);
  const { torch } = await import('../../tensor/index.ts');
  const tensors = new Map<string, Tensor>();
  try {
    for (const [name, { shape }] of weights.tensors) {
      const tensor = torch.empty(shape, { device, dtype });
      tensors.set(name, tensor);
      await weights.read(name, tensor);
    }
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
  return { config: weights.config, tensors, metadata: model.metadata };
}

/** Heads of the queries and of the keys, by a config. */
export function headsOf(config: HfConfig): { q: number; k: number } {
  const q = Number(config.num_attention_heads ?? config.n_head);
  return { q, k: Number(config.num_key_value_heads ?? q) };
}
