/**
 * Llama (arXiv 2302.13971, 2307.09288, 2407.21783): RMS norm before attention and MLP, rotary positions, grouped keys and
 * values, a gated MLP. SmolLM, TinyLlama and many others are this architecture; Mistral and Qwen are it with a few flags set.
 */
import { Embedding, Linear, Module, RMSNorm } from '../../nn/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import { ACTIVATIONS, type Activation, gated } from '../activations.ts';
import type { AttentionContext } from '../attention.ts';
import { type ConfigReader, type ModelConfig, readCommon, readHeads } from '../config.ts';
import type { LanguageModelHead, ScoreHead } from '../heads.ts';
import { type Backbone, type BuildOptions, CausalModel, layerOptions, makeHeads, type Pass } from '../model.ts';
import type { Projection } from '../projection.ts';
import { type RopeConfig, RotaryTable, readRope, rotate } from '../rotary.ts';

export interface LlamaConfig extends ModelConfig {
  /** I, the width inside the MLP. */
  readonly intermediateSize: number;
  readonly activation: Activation;
  readonly normEps: number;
  readonly rope: RopeConfig;
  /** Offsets on the projections to queries, keys and values; on the one back; and in the MLP. */
  readonly queryKeyValueBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  /** An RMS norm over each head of queries and keys, before they are rotated. */
  readonly normalisesQueriesAndKeys: boolean;
}

export function parseLlama(config: ConfigReader): LlamaConfig {
  const attentionBias = config.boolean('attention_bias', false);
  return {
    ...readDecoder(config),
    queryKeyValueBias: attentionBias,
    outputBias: attentionBias,
    mlpBias: config.boolean('mlp_bias', false),
    normalisesQueriesAndKeys: false,
  };
}

/** What Llama, Mistral and Qwen have in common. */
export function readDecoder(
  config: ConfigReader,
  defaults: { kvHeads?: number; headDim?: number } = {},
): Omit<LlamaConfig, 'queryKeyValueBias' | 'outputBias' | 'mlpBias' | 'normalisesQueriesAndKeys'> {
  const common = { ...readCommon(config, { tied: false }), ...readHeads(config, defaults) };
  return {
    ...common,
    intermediateSize: config.integer('intermediate_size'),
    activation: config.choice('hidden_act', ACTIVATIONS, 'silu'),
    normEps: config.number('rms_norm_eps', 1e-6),
    rope: readRope(config, common),
  };
}

export class Llama extends CausalModel {
  readonly config: LlamaConfig;
  readonly model: LlamaBackbone;
  readonly lm_head: LanguageModelHead | null;
  readonly score: ScoreHead | null;

  constructor(config: LlamaConfig, options: BuildOptions) {
    super();
    this.config = config;
    this.model = new LlamaBackbone(config, options);
    const { lm_head, score } = makeHeads(config, options, this.model.embed_tokens.weight);
    this.lm_head = lm_head;
    this.score = score;
  }

  get backbone(): LlamaBackbone {
    return this.model;
  }
}

class LlamaBackbone extends Module implements Backbone {
  readonly embed_tokens: Embedding;
  readonly layers: readonly LlamaLayer[];
  readonly norm: RMSNorm;
  readonly #rotary: RotaryTable;

  constructor(config: LlamaConfig, options: BuildOptions) {
    super();
    const like = layerOptions(options);
    this.embed_tokens = new Embedding(config.vocabSize, config.hiddenSize, like);
    this.layers = Array.from({ length: config.layers }, (_, i) => new LlamaLayer(i, config, options));
    this.norm = new RMSNorm(config.hiddenSize, { ...like, eps: config.normEps });
    this.#rotary = new RotaryTable(config.rope);
  }

  forward(ids: Tensor, context: AttentionContext, pass: Pass): Tensor {
    const embedded = this.embed_tokens.forward(ids); // [N, D]
    const { cos, sin } = this.#rotary.at(context, embedded.dtype); // [N, 1, Dh]
    return this.norm.forward(pass.through(this.layers, embedded, context, cos, sin)); // [N, D]
  }
}

class LlamaLayer extends Module {
  readonly input_layernorm: RMSNorm;
  readonly self_attn: LlamaAttention;
  readonly post_attention_layernorm: RMSNorm;
  readonly mlp: LlamaMLP;

  constructor(index: number, config: LlamaConfig, options: BuildOptions) {
    super();
    const like = { ...layerOptions(options), eps: config.normEps };
    this.input_layernorm = new RMSNorm(config.hiddenSize, like);
    this.self_attn = new LlamaAttention(index, config, options);
    this.post_attention_layernorm = new RMSNorm(config.hiddenSize, like);
    this.mlp = new LlamaMLP(config, options);
  }

  forward(hidden: Tensor, context: AttentionContext, cos: Tensor, sin: Tensor): Tensor {
    const attended = this.self_attn.forward(this.input_layernorm.forward(hidden), context, cos, sin).add(hidden); // [N, D]
    return this.mlp.forward(this.post_attention_layernorm.forward(attended)).add(attended); // [N, D]
  }
}

class LlamaAttention extends Module {
  q_proj: Projection;
  k_proj: Projection;
  v_proj: Projection;
  o_proj: Projection;
  readonly q_norm: RMSNorm | null;
  readonly k_norm: RMSNorm | null;
  readonly #index: number;
  readonly #config: LlamaConfig;

  constructor(index: number, config: LlamaConfig, options: BuildOptions) {
    super();
    this.#index = index;
    this.#config = config;
    const { hiddenSize, heads, kvHeads, headDim, queryKeyValueBias, outputBias, normEps } = config;
    const like = layerOptions(options);
    this.q_proj = new Linear(hiddenSize, heads * headDim, { ...like, bias: queryKeyValueBias });
    this.k_proj = new Linear(hiddenSize, kvHeads * headDim, { ...like, bias: queryKeyValueBias });
    this.v_proj = new Linear(hiddenSize, kvHeads * headDim, { ...like, bias: queryKeyValueBias });
    this.o_proj = new Linear(heads * headDim, hiddenSize, { ...like, bias: outputBias });
    const norm = () => (config.normalisesQueriesAndKeys ? new RMSNorm(headDim, { ...like, eps: normEps }) : null);
    this.q_norm = norm();
    this.k_norm = norm();
  }

  forward(x: Tensor, context: AttentionContext, cos: Tensor, sin: Tensor): Tensor {
    const { heads, kvHeads, headDim } = this.#config;
    let q = this.q_proj.forward(x).unflatten(1, [heads, headDim]); // [N, H, Dh]
    let k = this.k_proj.forward(x).unflatten(1, [kvHeads, headDim]); // [N, Hkv, Dh]
    const v = this.v_proj.forward(x).unflatten(1, [kvHeads, headDim]); // [N, Hkv, Dh]
    if (this.q_norm !== null) q = this.q_norm.forward(q); // [N, H, Dh]
    if (this.k_norm !== null) k = this.k_norm.forward(k); // [N, Hkv, Dh]
    const attended = context.attend(this.#index, rotate(q, { cos, sin }), rotate(k, { cos, sin }), v); // [N, H, Dh]
    return this.o_proj.forward(attended.flatten(1)); // [N, D]
  }
}

class LlamaMLP extends Module {
  gate_proj: Projection;
  up_proj: Projection;
  down_proj: Projection;
  readonly #activation: Activation;

  constructor({ hiddenSize, intermediateSize, mlpBias, activation }: LlamaConfig, options: BuildOptions) {
    super();
    const like = { ...layerOptions(options), bias: mlpBias };
    this.gate_proj = new Linear(hiddenSize, intermediateSize, like);
    this.up_proj = new Linear(hiddenSize, intermediateSize, like);
    this.down_proj = new Linear(intermediateSize, hiddenSize, like);
    this.#activation = activation;
  }

  forward(x: Tensor): Tensor {
    const inner = gated(this.#activation, this.gate_proj.forward(x), this.up_proj.forward(x)); // [N, I]
    return this.down_proj.forward(inner); // [N, D]
  }
}
