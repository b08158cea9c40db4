/**
 * A model's configuration: GGUF's metadata and transformers' `config.json`, both ways.
 *
 * Sources: the constants of Python's gguf 0.19, convert_hf_to_gguf.py of llama.cpp, and transformers' own reader
 * (modeling_gguf_pytorch_utils.py).
 */

import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';
import {
  type GgufMetadata,
  ggufBoolean,
  ggufCount,
  ggufNumber,
  ggufString,
  ggufStrings,
  required,
} from './metadata.ts';
import { type Architecture, checkArchitecture } from './names.ts';
import { type Llama3Scaling, llama3FromFactors } from './rope.ts';

/** `config.json` as an object. */
export type HfConfig = Record<string, unknown>;

/** What a config needs to know of the tensors. */
export interface TensorFacts {
  /** Is there a tensor of this name? Without it, embeddings are taken as tied and projections as without bias. */
  has?(name: string): boolean;
  /** Rows of `token_embd.weight`, where the metadata does not say how large the vocabulary is. */
  vocabSize?: number;
  /** The elements of `rope_freqs.weight`, if there. */
  ropeFactors?: Float32Array;
}

/** The architecture of a model. @throws NudgeError BAD_FILE when it is missing or not known. */
export function architectureOf(metadata: GgufMetadata): Architecture {
  return checkArchitecture(required(metadata, 'general.architecture', ggufString));
}

/**
 * The `config.json` that transformers would have for this model.
 *
 * @throws NudgeError BAD_FILE for an unknown architecture, a missing or impossible value, or a kind of RoPE scaling or of
 * experts that no architecture here has.
 */
export function ggufToHf(metadata: GgufMetadata, tensors: TensorFacts = {}): HfConfig {
  const architecture = architectureOf(metadata);
  if ((ggufCount(metadata, `${architecture}.expert_count`) ?? 0) > 0) {
    throw new NudgeError('BAD_FILE', 'Models with a mixture of experts cannot be read.', {
      path: `${architecture}.expert_count`,
      expected: 'none',
      received: String(ggufCount(metadata, `${architecture}.expert_count`)),
      remedy: 'Use a dense model.',
    });
  }
  const config = READERS[architecture](new Keys(metadata, architecture), tensors);
  const special: HfConfig = {};
  for (const [ours, theirs] of SPECIAL_IDS) {
    const id = ggufCount(metadata, `tokenizer.ggml.${theirs}`);
    if (id !== undefined) special[ours] = id;
  }
  const untied = tensors.has?.('output.weight') ?? architecture === 'gptneox';
  return {
    ...config,
    vocab_size: vocabSize(metadata, architecture, tensors),
    tie_word_embeddings: !untied,
    ...special,
  };
}

/** transformers' name -> GGUF's, below `tokenizer.ggml.`. */
export const SPECIAL_IDS = [
  ['bos_token_id', 'bos_token_id'],
  ['eos_token_id', 'eos_token_id'],
  ['pad_token_id', 'padding_token_id'],
] as const;

/** The values of one architecture. */
class Keys {
  readonly metadata: GgufMetadata;
  readonly #architecture: string;
  constructor(metadata: GgufMetadata, architecture: string) {
    this.metadata = metadata;
    this.#architecture = architecture;
  }
  key(name: string): string {
    return `${this.#architecture}.${name}`;
  }
  count(name: string): number {
    const value = required(this.metadata, this.key(name), ggufCount);
    if (value > 0) return value;
    throw new NudgeError('BAD_FILE', 'The metadata of this GGUF file has an impossible value.', {
      path: this.key(name),
      expected: 'a positive number',
      received: String(value),
      remedy: 'Download the file again, or use another file of this model.',
    });
  }
  maybeCount(name: string): number | undefined {
    return this.metadata.has(this.key(name)) ? this.count(name) : undefined;
  }
  /** A float32 as the decimal that was meant: 1e-5, not 9.999999747378752e-06. */
  float(name: string): number | undefined {
    const value = ggufNumber(this.metadata, this.key(name));
    return value === undefined ? undefined : shortest(value);
  }
  requiredFloat(name: string): number {
    return shortest(required(this.metadata, this.key(name), ggufNumber));
  }
}

/** The shortest decimal with the same float32. */
function shortest(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

type Reader = (keys: Keys, tensors: TensorFacts) => HfConfig;

const READERS: Readonly<Record<Architecture, Reader>> = {
  llama: (keys, tensors) => ({
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...decoder(keys, tensors),
    attention_bias: tensors.has?.('blk.0.attn_q.bias') ?? false,
    mlp_bias: tensors.has?.('blk.0.ffn_up.bias') ?? false,
  }),
  qwen2: (keys, tensors) => ({
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    ...decoder(keys, tensors),
  }),
  qwen3: (keys, tensors) => ({
    architectures: ['Qwen3ForCausalLM'],
    model_type: 'qwen3',
    ...decoder(keys, tensors),
    attention_bias: tensors.has?.('blk.0.attn_q.bias') ?? false,
  }),
  gpt2: (keys) => ({
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    n_embd: keys.count('embedding_length'),
    n_layer: keys.count('block_count'),
    n_head: keys.count('attention.head_count'),
    n_inner: keys.maybeCount('feed_forward_length') ?? null,
    n_positions: keys.count('context_length'),
    layer_norm_epsilon: keys.requiredFloat('attention.layer_norm_epsilon'),
    activation_function: 'gelu_new',
  }),
  gptneox: (keys) => {
    const [hidden, heads] = [keys.count('embedding_length'), keys.count('attention.head_count')];
    const rotary = keys.maybeCount('rope.dimension_count') ?? hidden / heads;
    return {
      architectures: ['GPTNeoXForCausalLM'],
      model_type: 'gpt_neox',
      hidden_size: hidden,
      intermediate_size: keys.count('feed_forward_length'),
      num_hidden_layers: keys.count('block_count'),
      num_attention_heads: heads,
      max_position_embeddings: keys.count('context_length'),
      layer_norm_eps: keys.requiredFloat('attention.layer_norm_epsilon'),
      rotary_pct: rotary / (hidden / heads),
      rotary_emb_base: keys.float('rope.freq_base') ?? 10_000,
      use_parallel_residual: ggufBoolean(keys.metadata, keys.key('use_parallel_residual')) ?? true,
      hidden_act: 'gelu',
    };
  },
};

/** What llama and qwen have in common. */
function decoder(keys: Keys, { ropeFactors }: TensorFacts): HfConfig {
  const [hidden, heads] = [keys.count('embedding_length'), keys.count('attention.head_count')];
  const headDim = keys.maybeCount('attention.key_length') ?? keys.maybeCount('rope.dimension_count') ?? hidden / heads;
  const theta = keys.float('rope.freq_base') ?? 10_000;
  return {
    hidden_size: hidden,
    intermediate_size: keys.count('feed_forward_length'),
    num_hidden_layers: keys.count('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: keys.maybeCount('attention.head_count_kv') ?? heads,
    head_dim: headDim,
    max_position_embeddings: keys.count('context_length'),
    rms_norm_eps: keys.requiredFloat('attention.layer_norm_rms_epsilon'),
    rope_theta: theta,
    rope_scaling: ropeFactors === undefined ? ropeScaling(keys) : llama3FromFactors(ropeFactors, theta, headDim),
    hidden_act: 'silu',
  };
}

function ropeScaling(keys: Keys): Llama3Scaling | HfConfig | null {
  const legacy = keys.float('rope.scale_linear');
  const type = ggufString(keys.metadata, keys.key('rope.scaling.type')) ?? (legacy === undefined ? 'none' : 'linear');
  const factor = keys.float('rope.scaling.factor') ?? legacy ?? 1;
  if (type === 'none' || (type === 'linear' && factor === 1)) return null;
  if (type === 'linear') return { rope_type: 'linear', factor };
  if (type === 'yarn') {
    const original = keys.maybeCount('rope.scaling.original_context_length');
    const [fast, slow] = [keys.float('rope.scaling.yarn_beta_fast'), keys.float('rope.scaling.yarn_beta_slow')];
    return {
      rope_type: 'yarn',
      factor,
      ...(original === undefined ? {} : { original_max_position_embeddings: original }),
      ...(fast === undefined ? {} : { beta_fast: fast }),
      ...(slow === undefined ? {} : { beta_slow: slow }),
    };
  }
  throw new NudgeError('BAD_FILE', 'This kind of RoPE scaling is not known.', {
    path: keys.key('rope.scaling.type'),
    expected: 'none, linear, yarn, or the factors of Llama 3',
    received: quote(type),
    remedy: 'Use another model.',
  });
}

function vocabSize(metadata: GgufMetadata, architecture: string, tensors: TensorFacts): number {
  // The embedding decides: converters pad it, and a vocabulary in the metadata may be shorter.
  const size =
    tensors.vocabSize ??
    ggufCount(metadata, `${architecture}.vocab_size`) ??
    ggufStrings(metadata, 'tokenizer.ggml.tokens')?.length;
  return size ?? required(metadata, `${architecture}.vocab_size`, ggufCount);
}
