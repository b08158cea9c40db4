/** transformers' `config.json` as GGUF metadata: what llama.cpp's converter writes for it. The reverse is in config.ts. */

import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';
import { type HfConfig, SPECIAL_IDS } from './config.ts';
import { f32, flag, type GgufMetadata, type GgufValue, text, u32 } from './metadata.ts';
import type { Architecture } from './names.ts';
import { type Llama3Scaling, llama3Factors } from './rope.ts';

const ARCHITECTURE_OF: Readonly<Record<string, Architecture>> = {
  llama: 'llama',
  mistral: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  gpt2: 'gpt2',
  gpt_neox: 'gptneox',
};

/** The architecture that a config becomes. @throws NudgeError BAD_ARGUMENT when GGUF files of it cannot be written. */
export function ggufArchitecture(config: HfConfig): Architecture {
  const type = config.model_type;
  const known = typeof type === 'string' && Object.hasOwn(ARCHITECTURE_OF, type) ? ARCHITECTURE_OF[type] : undefined;
  if (known !== undefined) return known;
  throw new NudgeError('BAD_ARGUMENT', 'Models of this type cannot be saved as GGUF.', {
    path: 'config.model_type',
    expected: Object.keys(ARCHITECTURE_OF).join(', '),
    received: typeof type === 'string' ? quote(type) : typeof type,
    remedy: "Save it as a Hugging Face directory, and convert that with llama.cpp's convert_hf_to_gguf.py.",
  });
}

/**
 * The metadata of a GGUF file for a model.
 *
 * @param config transformers' `config.json`.
 * @param tokenizer its `tokenizer.*` entries are taken: the metadata of a loaded GGUF file, or what `ggufTokenizerMetadata`
 * makes of a `tokenizer.json`. Special ids that it lacks come from the config.
 * @param name for people; default: none.
 * @throws NudgeError BAD_ARGUMENT for an unknown type of model, a missing value or a scaling of RoPE that GGUF has not.
 */
export function hfToGguf(config: HfConfig, tokenizer: GgufMetadata, name?: string): Map<string, GgufValue> {
  const architecture = ggufArchitecture(config);
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', text(architecture)],
    ['general.type', text('model')],
  ]);
  if (name !== undefined) metadata.set('general.name', text(name));
  const entries = WRITERS[architecture](new Config(config));
  for (const [key, value] of Object.entries(entries)) {
    if (value !== undefined) metadata.set(`${architecture}.${key}`, value);
  }
  for (const [key, value] of tokenizer) if (key.startsWith('tokenizer.')) metadata.set(key, value);
  for (const [theirs, ours] of SPECIAL_IDS) {
    // Some configs list several ends; GGUF has room for one, and the first is the model's own.
    const id = Array.isArray(config[theirs]) ? config[theirs][0] : config[theirs];
    const key = `tokenizer.ggml.${ours}`;
    if (typeof id === 'number' && !metadata.has(key)) metadata.set(key, u32(id));
  }
  return metadata;
}

/** The elements of `rope_freqs.weight`, for a config that needs that tensor; null for others. */
export function ropeFactors(config: HfConfig): Float32Array | null {
  const values = new Config(config);
  const scaling = values.scaling();
  if (scaling?.type !== 'llama3') return null;
  return llama3Factors(scaling.values as unknown as Llama3Scaling, values.theta(), values.headDim());
}

type Entries = Readonly<Record<string, GgufValue | undefined>>;

const WRITERS: Readonly<Record<Architecture, (config: Config) => Entries>> = {
  llama: (config) => ({
    vocab_size: config.u32('vocab_size'),
    ...decoder(config),
    'rope.dimension_count': u32(config.headDim()),
  }),
  qwen2: (config) => decoder(config),
  qwen3: (config) => decoder(config),
  gpt2: (config) => ({
    block_count: config.u32('n_layer'),
    context_length: config.u32('n_positions'),
    embedding_length: config.u32('n_embd'),
    feed_forward_length: u32(config.maybe('n_inner') ?? 4 * config.number('n_embd')),
    'attention.head_count': config.u32('n_head'),
    'attention.layer_norm_epsilon': f32(config.maybe('layer_norm_epsilon') ?? 1e-5),
  }),
  gptneox: (config) => {
    const headDim = config.number('hidden_size') / config.number('num_attention_heads');
    return {
      context_length: config.u32('max_position_embeddings'),
      embedding_length: config.u32('hidden_size'),
      block_count: config.u32('num_hidden_layers'),
      feed_forward_length: config.u32('intermediate_size'),
      'rope.dimension_count': u32(Math.floor(config.rotaryShare() * headDim)),
      'rope.freq_base': f32(config.maybe('rotary_emb_base') ?? config.theta()),
      'attention.head_count': config.u32('num_attention_heads'),
      use_parallel_residual: flag(config.raw('use_parallel_residual') !== false),
      'attention.layer_norm_epsilon': f32(config.maybe('layer_norm_eps') ?? 1e-5),
    };
  },
};

/** What llama and qwen have in common. */
function decoder(config: Config): Entries {
  const heads = config.number('num_attention_heads');
  const explicit = config.maybe('head_dim');
  return {
    block_count: config.u32('num_hidden_layers'),
    context_length: config.u32('max_position_embeddings'),
    embedding_length: config.u32('hidden_size'),
    feed_forward_length: config.u32('intermediate_size'),
    'attention.head_count': u32(heads),
    'attention.head_count_kv': u32(config.maybe('num_key_value_heads') ?? heads),
    'rope.freq_base': f32(config.theta()),
    'attention.layer_norm_rms_epsilon': f32(config.maybe('rms_norm_eps') ?? 1e-6),
    'attention.key_length': explicit === undefined ? undefined : u32(explicit),
    'attention.value_length': explicit === undefined ? undefined : u32(explicit),
    ...scalingEntries(config),
  };
}

function scalingEntries(config: Config): Entries {
  const scaling = config.scaling();
  // Llama 3's factors are a tensor, see rope.ts.
  if (scaling === null || scaling.type === 'llama3') return {};
  const { factor, original_max_position_embeddings: original, beta_fast: fast, beta_slow: slow } = scaling.values;
  if ((scaling.type !== 'linear' && scaling.type !== 'yarn') || typeof factor !== 'number') {
    throw new NudgeError('BAD_ARGUMENT', 'This RoPE scaling cannot be saved as GGUF.', {
      path: 'config.rope_scaling',
      expected: 'llama3, linear or yarn, with a factor',
      received: quote(JSON.stringify(scaling.values)),
      remedy: 'Save the model as a Hugging Face directory.',
    });
  }
  return {
    'rope.scaling.type': text(scaling.type),
    'rope.scaling.factor': f32(factor),
    'rope.scaling.original_context_length': typeof original === 'number' ? u32(original) : undefined,
    'rope.scaling.yarn_beta_fast': typeof fast === 'number' ? f32(fast) : undefined,
    'rope.scaling.yarn_beta_slow': typeof slow === 'number' ? f32(slow) : undefined,
  };
}

/** A config whose values are checked as they are asked for. */
class Config {
  readonly #config: HfConfig;
  constructor(config: HfConfig) {
    this.#config = config;
  }

  raw(key: string): unknown {
    return this.#config[key];
  }

  maybe(key: string): number | undefined {
    const value = this.#config[key];
    return value === undefined || value === null ? undefined : this.number(key);
  }

  number(key: string): number {
    const value = this.#config[key];
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw new NudgeError('BAD_ARGUMENT', 'This config is incomplete.', {
      path: `config.${key}`,
      expected: 'a number',
      received: value === undefined ? 'nothing' : quote(String(value)),
      remedy: "Pass the model's own config.json.",
    });
  }

  u32(key: string): GgufValue {
    return u32(this.number(key));
  }

  headDim(): number {
    return this.maybe('head_dim') ?? this.number('hidden_size') / this.number('num_attention_heads');
  }

  theta(): number {
    const { rope_theta: nested } = this.#rope();
    return this.maybe('rope_theta') ?? (typeof nested === 'number' ? nested : 10_000);
  }

  /** How much of a head is rotated. */
  rotaryShare(): number {
    const { partial_rotary_factor: nested } = this.#rope();
    return this.maybe('rotary_pct') ?? (typeof nested === 'number' ? nested : 0.25);
  }

  /** The scaling of RoPE, under its name since transformers 5 or before; null for none. */
  scaling(): { type: string; values: HfConfig } | null {
    const values = this.#rope();
    const type = values.rope_type ?? values.type ?? 'default';
    return type === 'default' ? null : { type: String(type), values };
  }

  #rope(): HfConfig {
    const rope = this.#config.rope_parameters ?? this.#config.rope_scaling;
    return typeof rope === 'object' && rope !== null ? (rope as HfConfig) : {};
  }
}
