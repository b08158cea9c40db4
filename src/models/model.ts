/** What every model can do, whatever its family; what differs stands in `families/`. */
import { NudgeError } from '../errors.ts';
import { type CheckpointTape, Module, type Parameter, parameter } from '../nn/index.ts';
import { type Device, type DType, type Tensor, torch } from '../tensor/index.ts';
import type { AttentionContext } from './attention.ts';
import type { ModelConfig } from './config.ts';
import { LanguageModelHead, ScoreHead } from './heads.ts';

/**
 * What the hidden states are for. `lm` predicts tokens. `score` and `value` put one number on a hidden state (the same weights:
 * a value model starts from a reward model): a reward model reads `scores`, a value model `values`.
 */
export type HeadKind = 'lm' | 'score' | 'value';

/** How a family's constructor makes its layers: with their memory as it is, since weights are loaded or drawn right after. */
export interface BuildOptions {
  readonly head: HeadKind;
  readonly dtype: DType;
  readonly device: Device;
}

/** The options of a layer from `nn`. */
export function layerOptions({ dtype, device }: BuildOptions): { dtype: DType; device: Device; init: 'none' } {
  return { dtype, device, init: 'none' };
}

/** A model's head: one of the two, the other is null. @param embedding the token embeddings, shared where the configuration ties them. */
export function makeHeads(
  { vocabSize, hiddenSize, tiedEmbeddings }: ModelConfig,
  { head, dtype, device }: BuildOptions,
  embedding: Parameter,
): { lm_head: LanguageModelHead | null; score: ScoreHead | null } {
  if (head !== 'lm') return { lm_head: null, score: new ScoreHead(hiddenSize, { device }) };
  const weight = tiedEmbeddings ? embedding : parameter(torch.empty([vocabSize, hiddenSize], { dtype, device })); // [V, D]
  return { lm_head: new LanguageModelHead(weight), score: null };
}

export interface ForwardOptions {
  /**
   * Keeps only the hidden states between layers, and computes the layers again in `tape.backward(loss)`: a third more time for
   * a fraction of the memory. What the context holds must live until then.
   */
  tape?: CheckpointTape;
  /**
   * Begins at a layer with what went into it in an earlier pass over the same tokens; the layers before are not computed. For
   * adapters that leave those layers alone: what the base makes of them serves all.
   */
  from?: LayerInput;
  /** Is shown what goes into each layer that is computed. `hidden.detach().keep()` holds on to it. */
  onLayer?: (input: LayerInput) => void;
}

/** What goes into a layer, counted from 0. */
export interface LayerInput {
  readonly layer: number;
  readonly hidden: Tensor; // [N, D]
}

/** Which of several adapters takes part: what a layer that runs again must restore. LoRA's implementation is in `lora/`. */
export interface AdapterSwitch {
  readonly active: string | null;
  /** The active adapter's own head, in place of the model's. */
  readonly score: ScoreHead | null;
  withAdapter<T>(name: string | null, fn: () => T): T;
}

/** A layer as `Pass.through` runs it; `shared` are tensors that all layers get, such as rotations. */
export interface DecoderLayer<Shared extends readonly Tensor[]> extends Module {
  forward(hidden: Tensor, context: AttentionContext, ...shared: Shared): Tensor;
}

/** A model without its head: ids to hidden states. */
export interface Backbone extends Module {
  forward(ids: Tensor, context: AttentionContext, pass: Pass): Tensor;
}

/** One forward pass: how hidden states go through layers. */
export class Pass {
  readonly #options: ForwardOptions;
  readonly #adapters: AdapterSwitch | null;

  constructor(options: ForwardOptions, adapters: AdapterSwitch | null) {
    this.#options = options;
    this.#adapters = adapters;
  }

  /** Each layer in a scope of its own: without gradients, a layer's intermediate values are freed before the next one runs. */
  through<Shared extends readonly Tensor[]>(
    layers: readonly DecoderLayer<Shared>[],
    first: Tensor,
    context: AttentionContext,
    ...shared: Shared
  ): Tensor {
    const { from, onLayer } = this.#options;
    // A handle of our own: the loop frees each layer's input.
    let hidden = from === undefined ? first : torch.alias(from.hidden); // [N, D]
    for (let i = from?.layer ?? 0; i < layers.length; i++) {
      onLayer?.({ layer: i, hidden });
      const layer = layers[i]!;
      const next = torch.scope(() => this.#run(layer, hidden, context, shared)); // [N, D]
      hidden.dispose();
      hidden = next;
    }
    return hidden;
  }

  #run<Shared extends readonly Tensor[]>(
    layer: DecoderLayer<Shared>,
    hidden: Tensor,
    context: AttentionContext,
    shared: Shared,
  ): Tensor {
    const [tape, adapters] = [this.#options.tape, this.#adapters];
    if (tape === undefined) return layer.forward(hidden, context, ...shared);
    const active = adapters?.active ?? null;
    const forward = (...[hidden, ...rest]: Tensor[]): Tensor => {
      const run = () => layer.forward(hidden!, context, ...(rest as unknown as Shared));
      // By the time of the backward pass another adapter may be on.
      return adapters === null ? run() : adapters.withAdapter(active, run);
    };
    return tape.run(forward, hidden, ...shared);
  }
}

/**
 * A decoder of a known family, with its head. Parameters have transformers' names (`model.layers.0.self_attn.q_proj.weight`),
 * which is why some properties are in snake case.
 */
export abstract class CausalModel extends Module {
  abstract readonly config: ModelConfig;
  /** The model without its head. */
  abstract readonly backbone: Backbone;
  abstract readonly lm_head: LanguageModelHead | null;
  abstract readonly score: ScoreHead | null;
  /** Set by `LoraAdapters`. */
  adapters: AdapterSwitch | null = null;
  /** The directory that the model was loaded from: where `saveModel` finds the tokenizer's files. */
  source: string | null = null;

  /** Hidden states after the last normalisation: ids [N] int64 -> [N, D]. */
  forward(ids: Tensor, context: AttentionContext, options: ForwardOptions = {}): Tensor {
    checkIds(ids, context);
    return torch.scope(() => this.backbone.forward(ids, context, new Pass(options, this.adapters))); // [N, D]
  }

  /** Logits of the next token, for the rows that need them: [..., D] -> [..., V], in the model's dtype. */
  logits(hidden: Tensor): Tensor {
    if (this.lm_head === null) throw noHead(this, 'lm', 'logits');
    return this.lm_head.forward(hidden); // [..., V]
  }

  /** A reward model's score of each sequence, read at its last token: hidden [N, D] -> [S]. */
  scores(hidden: Tensor, context: { readonly lastTokens: Tensor }): Tensor {
    return this.values(hidden.indexSelect(0, context.lastTokens)); // [S]
  }

  /** A value model's estimate at each token: [..., D] -> [...]. */
  values(hidden: Tensor): Tensor {
    const head = this.adapters?.score ?? this.score;
    if (head === null) throw noHead(this, 'score', 'scores');
    return head.forward(hidden); // [...]
  }

  get dtype(): DType {
    const [first] = this.backbone.parameters();
    return first!.dtype;
  }

  get device(): Device {
    const [first] = this.backbone.parameters();
    return first!.device;
  }
}

function checkIds(ids: Tensor, context: AttentionContext): void {
  const tokens = context.positions.shape[0];
  if (ids.shape.length === 1 && ids.shape[0] === tokens) return;
  throw new NudgeError('SHAPE_MISMATCH', 'The ids do not fit the attention context.', {
    path: 'CausalModel.forward',
    expected: `[${tokens}], the tokens of all sequences one after the other`,
    received: `[${ids.shape}]`,
    remedy: 'Flatten a batch without its padding, and make the context from the lengths of its sequences.',
  });
}

function noHead(model: CausalModel, head: HeadKind, what: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', `This ${model.constructor.name} has no head for ${what}.`, {
    expected: `a model with head '${head}'`,
    received: `a model with head '${model.score === null ? 'lm' : 'score'}'`,
    remedy: `Load it with { head: '${head}' }.`,
  });
}
