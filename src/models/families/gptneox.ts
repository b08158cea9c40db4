/** GPT-NeoX (arXiv 2204.06745) and Pythia (arXiv 2304.01373): attention and MLP side by side, a quarter of each head rotated. */
import { Embedding, LayerNorm, Linear, Module } from '../../nn/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import { ACTIVATIONS, type Activation } from '../activations.ts';
import type { AttentionContext } from '../attention.ts';
import { type ConfigReader, type ModelConfig, readCommon, readHeads } from '../config.ts';
import type { LanguageModelHead, ScoreHead } from '../heads.ts';
import { type Backbone, type BuildOptions, CausalModel, layerOptions, makeHeads, type Pass } from '../model.ts';
import type { Projection } from '../projection.ts';
import { type RopeConfig, RotaryTable, readRope, rotate } from '../rotary.ts';

export interface GptNeoXConfig extends ModelConfig {
  /** I, the width inside the MLP. */
  readonly intermediateSize: number;
  readonly activation: Activation;
  readonly normEps: number;
  readonly rope: RopeConfig;
  readonly attentionBias: boolean;
  /** Whether the MLP reads the layer's input, as attention does, or attention's result. */
  readonly parallelResidual: boolean;
}

export function parseGptNeoX(config: ConfigReader): GptNeoXConfig {
  const common = { ...readCommon(config, { tied: false }), ...readHeads(config) };
  return {
    ...common,
    intermediateSize: config.integer('intermediate_size'),
    activation: config.choice('hidden_act', ACTIVATIONS, 'gelu'),
    normEps: config.number('layer_norm_eps', 1e-5),
    rope: readRope(config, { ...common, partial: 0.25, thetaField: 'rotary_emb_base', partialField: 'rotary_pct' }),
    attentionBias: config.boolean('attention_bias', true),
    parallelResidual: config.boolean('use_parallel_residual', true),
  };
}

export class GptNeoX extends CausalModel {
  readonly config: GptNeoXConfig;
  readonly gpt_neox: GptNeoXBackbone;
  readonly lm_head: LanguageModelHead | null;
  readonly score: ScoreHead | null;

  constructor(config: GptNeoXConfig, options: BuildOptions) {
    super();
    this.config = config;
    this.gpt_neox = new GptNeoXBackbone(config, options);
    const { lm_head, score } = makeHeads(config, options, this.gpt_neox.embed_in.weight);
    this.lm_head = lm_head;
    this.score = score;
  }

  get backbone(): GptNeoXBackbone {
    return this.gpt_neox;
  }
}

class GptNeoXBackbone extends Module implements Backbone {
  readonly embed_in: Embedding;
  readonly layers: readonly GptNeoXLayer[];
  readonly final_layer_norm: LayerNorm;
  readonly #rotary: RotaryTable;

  constructor(config: GptNeoXConfig, options: BuildOptions) {
    super();
    const like = layerOptions(options);
    this.embed_in = new Embedding(config.vocabSize, config.hiddenSize, like);
    this.layers = Array.from({ length: config.layers }, (_, i) => new GptNeoXLayer(i, config, options));
    this.final_layer_norm = new LayerNorm(config.hiddenSize, { ...like, eps: config.normEps });
    this.#rotary = new RotaryTable(config.rope);
  }

  forward(ids: Tensor, context: AttentionContext, pass: Pass): Tensor {
    const embedded = this.embed_in.forward(ids); // [N, D]
    const { cos, sin } = this.#rotary.at(context, embedded.dtype); // [N, 1, R]
    return this.final_layer_norm.forward(pass.through(this.layers, embedded, context, cos, sin)); // [N, D]
  }
}

class GptNeoXLayer extends Module {
  readonly input_layernorm: LayerNorm;
  readonly post_attention_layernorm: LayerNorm;
  readonly attention: GptNeoXAttention;
  readonly mlp: GptNeoXMLP;
  readonly #parallel: boolean;

  constructor(index: number, config: GptNeoXConfig, options: BuildOptions) {
    super();
    const like = { ...layerOptions(options), eps: config.normEps };
    this.input_layernorm = new LayerNorm(config.hiddenSize, like);
    this.post_attention_layernorm = new LayerNorm(config.hiddenSize, like);
    this.attention = new GptNeoXAttention(index, config, options);
    this.mlp = new GptNeoXMLP(config, options);
    this.#parallel = config.parallelResidual;
  }

  forward(hidden: Tensor, context: AttentionContext, cos: Tensor, sin: Tensor): Tensor {
    const attended = this.attention.forward(this.input_layernorm.forward(hidden), context, cos, sin).add(hidden); // [N, D]
    const read = this.#parallel ? hidden : attended; // [N, D]
    return this.mlp.forward(this.post_attention_layernorm.forward(read)).add(attended); // [N, D]
  }
}

class GptNeoXAttention extends Module {
  query_key_value: Projection;
  dense: Projection;
  readonly #index: number;
  readonly #heads: number;
  readonly #headDim: number;

  constructor(index: number, config: GptNeoXConfig, options: BuildOptions) {
    super();
    const { hiddenSize, heads, headDim, attentionBias } = config;
    this.#index = index;
    this.#heads = heads;
    this.#headDim = headDim;
    const like = { ...layerOptions(options), bias: attentionBias };
    this.query_key_value = new Linear(hiddenSize, 3 * hiddenSize, like);
    this.dense = new Linear(hiddenSize, hiddenSize, like);
  }

  forward(x: Tensor, context: AttentionContext, cos: Tensor, sin: Tensor): Tensor {
    const qkv = this.query_key_value.forward(x).unflatten(1, [this.#heads, 3, this.#headDim]); // [N, H, 3, Dh]
    const [q, k, v] = qkv.unbind(2) as [Tensor, Tensor, Tensor]; // each [N, H, Dh]
    const attended = context.attend(this.#index, rotate(q, { cos, sin }), rotate(k, { cos, sin }), v); // [N, H, Dh]
    return this.dense.forward(attended.flatten(1)); // [N, D]
  }
}

class GptNeoXMLP extends Module {
  dense_h_to_4h: Projection;
  dense_4h_to_h: Projection;
  readonly #activation: Activation;

  constructor({ hiddenSize, intermediateSize, activation }: GptNeoXConfig, options: BuildOptions) {
    super();
    const like = layerOptions(options);
    this.dense_h_to_4h = new Linear(hiddenSize, intermediateSize, like);
    this.dense_4h_to_h = new Linear(intermediateSize, hiddenSize, like);
    this.#activation = activation;
  }

  forward(x: Tensor): Tensor {
    return this.dense_4h_to_h.forward(this.#activation(this.dense_h_to_4h.forward(x))); // [N, D]
  }
}

/** Pythia's files call the head `embed_out`, and those of old transformers hold masks and frequencies. */
export function renameGptNeoX(name: string): string | null {
  if (/\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/.test(name)) return null;
  return name.replace(/^embed_out\./, 'lm_head.').replace(/^(embed_in|layers|final_layer_norm)\./, 'gpt_neox.$1.');
}
