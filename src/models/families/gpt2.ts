/** GPT-2 (Radford et al., 2019): learned positions, layer norm before attention and MLP, weights stored [in, out]. */
import { NudgeError } from '../../errors.ts';
import { Embedding, LayerNorm, Module } from '../../nn/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import { ACTIVATIONS, type Activation } from '../activations.ts';
import type { AttentionContext } from '../attention.ts';
import { type ConfigReader, type ModelConfig, readDtype } from '../config.ts';
import type { LanguageModelHead, ScoreHead } from '../heads.ts';
import { type Backbone, type BuildOptions, CausalModel, layerOptions, makeHeads, type Pass } from '../model.ts';
import { Conv1D, type Projection } from '../projection.ts';

export interface Gpt2Config extends ModelConfig {
  /** I, the width inside the MLP. */
  readonly intermediateSize: number;
  readonly activation: Activation;
  readonly normEps: number;
  /** Whether attention's scores are divided by √Dh, and by the layer's number besides. */
  readonly scales: boolean;
  readonly scalesByLayer: boolean;
}

export function parseGpt2(config: ConfigReader): Gpt2Config {
  const [hiddenSize, heads] = [config.integer('n_embd'), config.integer('n_head')];
  if (hiddenSize % heads !== 0) throw config.unsupported('n_head', `a divisor of n_embd (${hiddenSize})`);
  config.refuse('add_cross_attention', false);
  return {
    modelType: config.string('model_type'),
    vocabSize: config.integer('vocab_size'),
    hiddenSize,
    layers: config.integer('n_layer'),
    heads,
    kvHeads: heads,
    headDim: hiddenSize / heads,
    maxPositions: config.integer('n_positions', config.has('n_ctx') ? config.integer('n_ctx') : 1024),
    tiedEmbeddings: config.boolean('tie_word_embeddings', true),
    initializerRange: config.number('initializer_range', 0.02),
    dtype: readDtype(config),
    json: config.json,
    intermediateSize: config.integer('n_inner', 4 * hiddenSize),
    activation: config.choice('activation_function', ACTIVATIONS, 'gelu_new'),
    normEps: config.number('layer_norm_epsilon', 1e-5),
    scales: config.boolean('scale_attn_weights', true),
    scalesByLayer: config.boolean('scale_attn_by_inverse_layer_idx', false),
  };
}

export class Gpt2 extends CausalModel {
  readonly config: Gpt2Config;
  readonly transformer: Gpt2Backbone;
  readonly lm_head: LanguageModelHead | null;
  readonly score: ScoreHead | null;

  constructor(config: Gpt2Config, options: BuildOptions) {
    super();
    this.config = config;
    this.transformer = new Gpt2Backbone(config, options);
    const { lm_head, score } = makeHeads(config, options, this.transformer.wte.weight);
    this.lm_head = lm_head;
    this.score = score;
  }

  get backbone(): Gpt2Backbone {
    return this.transformer;
  }
}

class Gpt2Backbone extends Module implements Backbone {
  readonly wte: Embedding;
  readonly wpe: Embedding;
  readonly h: readonly Gpt2Layer[];
  readonly ln_f: LayerNorm;
  readonly #maxPositions: number;

  constructor(config: Gpt2Config, options: BuildOptions) {
    super();
    const like = layerOptions(options);
    this.wte = new Embedding(config.vocabSize, config.hiddenSize, like);
    this.wpe = new Embedding(config.maxPositions, config.hiddenSize, like);
    this.h = Array.from({ length: config.layers }, (_, i) => new Gpt2Layer(i, config, options));
    this.ln_f = new LayerNorm(config.hiddenSize, { ...like, eps: config.normEps });
    this.#maxPositions = config.maxPositions;
  }

  forward(ids: Tensor, context: AttentionContext, pass: Pass): Tensor {
    checkLength(context.maxLength, this.#maxPositions);
    const embedded = this.wte.forward(ids).add(this.wpe.forward(context.positions)); // [N, D]
    return this.ln_f.forward(pass.through(this.h, embedded, context)); // [N, D]
  }
}

class Gpt2Layer extends Module {
  readonly ln_1: LayerNorm;
  readonly attn: Gpt2Attention;
  readonly ln_2: LayerNorm;
  readonly mlp: Gpt2MLP;

  constructor(index: number, config: Gpt2Config, options: BuildOptions) {
    super();
    const like = { ...layerOptions(options), eps: config.normEps };
    this.ln_1 = new LayerNorm(config.hiddenSize, like);
    this.attn = new Gpt2Attention(index, config, options);
    this.ln_2 = new LayerNorm(config.hiddenSize, like);
    this.mlp = new Gpt2MLP(config, options);
  }

  forward(hidden: Tensor, context: AttentionContext): Tensor {
    const attended = this.attn.forward(this.ln_1.forward(hidden), context).add(hidden); // [N, D]
    return this.mlp.forward(this.ln_2.forward(attended)).add(attended); // [N, D]
  }
}

class Gpt2Attention extends Module {
  c_attn: Projection;
  c_proj: Projection;
  readonly #index: number;
  readonly #heads: number;
  readonly #headDim: number;
  readonly #scale: number;

  constructor(index: number, config: Gpt2Config, options: BuildOptions) {
    super();
    const { hiddenSize, heads, headDim, scales, scalesByLayer } = config;
    this.#index = index;
    this.#heads = heads;
    this.#headDim = headDim;
    this.#scale = (scales ? headDim ** -0.5 : 1) / (scalesByLayer ? index + 1 : 1);
    const like = layerOptions(options);
    this.c_attn = new Conv1D(hiddenSize, 3 * hiddenSize, like);
    this.c_proj = new Conv1D(hiddenSize, hiddenSize, like);
  }

  forward(x: Tensor, context: AttentionContext): Tensor {
    const qkv = this.c_attn.forward(x).unflatten(1, [3, this.#heads, this.#headDim]); // [N, 3, H, Dh]
    const [q, k, v] = qkv.unbind(1) as [Tensor, Tensor, Tensor]; // each [N, H, Dh]
    const attended = context.attend(this.#index, q, k, v, { scale: this.#scale }); // [N, H, Dh]
    return this.c_proj.forward(attended.flatten(1)); // [N, D]
  }
}

class Gpt2MLP extends Module {
  c_fc: Projection;
  c_proj: Projection;
  readonly #activation: Activation;

  constructor({ hiddenSize, intermediateSize, activation }: Gpt2Config, options: BuildOptions) {
    super();
    const like = layerOptions(options);
    this.c_fc = new Conv1D(hiddenSize, intermediateSize, like);
    this.c_proj = new Conv1D(intermediateSize, hiddenSize, like);
    this.#activation = activation;
  }

  forward(x: Tensor): Tensor {
    return this.c_proj.forward(this.#activation(this.c_fc.forward(x))); // [N, D]
  }
}

function checkLength(length: number, maxPositions: number): void {
  if (length <= maxPositions) return;
  throw new NudgeError('BAD_ARGUMENT', 'A sequence is longer than the positions that this model has learned.', {
    path: 'Gpt2.forward',
    expected: `at most ${maxPositions} tokens`,
    received: `${length} tokens`,
    remedy: 'Cut the sequence.',
  });
}

/** GPT-2's own files lack the prefix; files of old transformers hold the causal mask as `attn.bias`. */
export function renameGpt2(name: string): string | null {
  if (/(^|\.)attn\.(masked_)?bias$/.test(name)) return null;
  return /^(wte|wpe|h|ln_f)\./.test(name) ? `transformer.${name}` : name;
}
