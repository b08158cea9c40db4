/** A small Llama with random weights, and the context of a whole sequence without a cache: what the engine is checked against. */
import { Embedding, kernels, Linear, Module, RMSNorm } from '../../nn/index.ts';
import { type DType, type Tensor, torch } from '../../tensor/index.ts';
import type { AttentionContext, LanguageModel } from '../model.ts';

export interface LlamaShape {
  layers: number;
  hidden: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  inner: number;
  vocabSize: number;
  maxPositions: number;
}

export const TINY: LlamaShape = {
  layers: 2,
  hidden: 32,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  inner: 48,
  vocabSize: 97,
  maxPositions: 256,
};

/** SmolLM2-135M. */
export const SMOL: LlamaShape = {
  layers: 30,
  hidden: 576,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  inner: 1536,
  vocabSize: 49_152,
  maxPositions: 2048,
};

class Layer extends Module {
  readonly norm1: RMSNorm;
  readonly norm2: RMSNorm;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly o: Linear;
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
  readonly #shape: LlamaShape;
  readonly #index: number;

  constructor(
    index: number,
    shape: LlamaShape,
    like: { dtype: DType; generator: InstanceType<typeof torch.Generator> },
  ) {
    super();
    const { hidden, heads, kvHeads, headDim, inner } = shape;
    const linear = (from: number, to: number) => new Linear(from, to, { ...like, bias: false });
    this.norm1 = new RMSNorm(hidden, { dtype: like.dtype });
    this.norm2 = new RMSNorm(hidden, { dtype: like.dtype });
    this.q = linear(hidden, heads * headDim);
    this.k = linear(hidden, kvHeads * headDim);
    this.v = linear(hidden, kvHeads * headDim);
    this.o = linear(heads * headDim, hidden);
    this.gate = linear(hidden, inner);
    this.up = linear(hidden, inner);
    this.down = linear(inner, hidden);
    this.#shape = shape;
    this.#index = index;
  }

  forward(x: Tensor, context: AttentionContext, cos: Tensor, sin: Tensor): Tensor {
    const { heads, kvHeads, headDim } = this.#shape;
    const normed = this.norm1.forward(x); // [N, D]
    const q = this.q.forward(normed).unflatten(1, [heads, headDim]); // [N, H, Dh]
    const k = this.k.forward(normed).unflatten(1, [kvHeads, headDim]); // [N, Hkv, Dh]
    const v = this.v.forward(normed).unflatten(1, [kvHeads, headDim]); // [N, Hkv, Dh]
    const attended = context.attend(this.#index, kernels.rope(q, cos, sin), kernels.rope(k, cos, sin), v); // [N, H, Dh]
    const middle = this.o.forward(attended.flatten(1)).add(x); // [N, D]
    const second = this.norm2.forward(middle); // [N, D]
    return this.down.forward(kernels.swiglu(this.gate.forward(second), this.up.forward(second))).add(middle); // [N, D]
  }
}

export class TestLlama extends Module implements LanguageModel {
  readonly embedding: Embedding;
  readonly layers: readonly Layer[];
  readonly norm: RMSNorm;
  readonly #shape: LlamaShape;
  readonly #dtype: DType;

  constructor(shape: LlamaShape, options: { dtype?: DType; seed?: number } = {}) {
    super();
    this.#shape = shape;
    this.#dtype = options.dtype ?? 'float32';
    const like = { dtype: this.#dtype, generator: new torch.Generator({ seed: options.seed ?? 0 }) };
    this.embedding = new Embedding(shape.vocabSize, shape.hidden, like);
    // Logits of standard deviation 1.5, so that every token has a chance.
    torch.noGrad(() => this.embedding.weight.mul_(1.5 / Math.sqrt(shape.hidden)));
    this.layers = Array.from({ length: shape.layers }, (_, i) => new Layer(i, shape, like));
    this.norm = new RMSNorm(shape.hidden, { dtype: this.#dtype });
  }

  get config(): LlamaShape {
    return this.#shape;
  }

  get dtype(): DType {
    return this.#dtype;
  }

  get device(): string {
    return 'cpu';
  }

  forward(ids: Tensor, context: AttentionContext): Tensor {
    return torch.scope(() => {
      const { headDim } = this.#shape;
      const powers = torch.arange(0, headDim, 2, { dtype: 'float32' }).div(headDim).mul(-Math.log(10_000)).exp(); // [Dh / 2]
      const angles = torch.outer(context.positions.float(), powers); // [N, Dh / 2]
      const [c, s] = [angles.cos(), angles.sin()]; // [N, Dh / 2]
      const cos = torch.cat([c, c], 1).unsqueeze(1).to(this.#dtype); // [N, 1, Dh]
      const sin = torch.cat([s.neg(), s], 1).unsqueeze(1).to(this.#dtype); // [N, 1, Dh]
      let hidden = this.embedding.forward(ids); // [N, D]
      for (const layer of this.layers) hidden = torch.scope(() => layer.forward(hidden, context, cos, sin)); // [N, D]
      return this.norm.forward(hidden); // [N, D]
    });
  }

  logits(hidden: Tensor): Tensor {
    return kernels.linear(hidden, this.embedding.weight); // [R, V]
  }

  /** Log-probabilities of the tokens from `start` on, by one pass over all of them without a cache. */
  score(ids: readonly number[], start: number, temperature = 1): number[] {
    return torch.scope(() =>
      torch.noGrad(() => {
        const hidden = this.forward(torch.tensor([...ids], { dtype: 'int64' }), new WholeSequence(ids.length)); // [T, D]
        const logits = torch.linear(hidden, this.embedding.weight).float().div(temperature); // [T, V]
        const logprobs = logits.logSoftmax(1).tolist() as number[][];
        return ids.slice(start).map((id, i) => logprobs[start + i - 1]![id]!);
      }),
    );
  }
}

class WholeSequence implements AttentionContext {
  readonly positions: Tensor; // [T]
  readonly maxLength: number;

  constructor(length: number) {
    this.maxLength = length;
    this.positions = torch.arange(length); // [T]
  }

  attend(_layer: number, q: Tensor, k: Tensor, v: Tensor): Tensor {
    const [one, two, three] = [q, k, v].map((x) => x.transpose(0, 1).unsqueeze(0)); // [1, H, T, Dh]
    const options = { isCausal: true, enableGqa: q.shape[1] !== k.shape[1] };
    return torch.scaledDotProductAttention(one!, two!, three!, options).squeeze(0).transpose(0, 1); // [T, H, Dh]
  }
}
