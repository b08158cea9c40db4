/** What turns hidden states into something: logits over the vocabulary, or a number. */
import { init, kernels, Module, type Parameter, parameter } from '../nn/index.ts';
import { type Device, type DType, type Generator, type Tensor, torch } from '../tensor/index.ts';

/** Logits of the next token: [..., D] -> [..., V]. Its weight may be the embedding table itself (tied). */
export class LanguageModelHead extends Module {
  readonly weight: Parameter; // [V, D]

  constructor(weight: Parameter) {
    super();
    this.weight = weight;
  }

  forward(hidden: Tensor): Tensor {
    return kernels.linear(hidden, this.weight); // [..., V]
  }
}

export interface ScoreHeadOptions {
  /** Default float32, also over a bfloat16 model: scores are compared, and bfloat16 has eight bits to do it with. */
  dtype?: DType;
  device?: Device;
  generator?: Generator;
}

/**
 * One number for each hidden state: [..., D] -> [...]. A reward model reads it at the last token of each sequence, a value
 * model at every token. Starts at N(0, 1 / (D + 1)) with bias 0 (Ziegler et al., arXiv 1909.08593, and Huang et al., 2403.17031).
 */
export class ScoreHead extends Module {
  readonly weight: Parameter; // [1, D]
  readonly bias: Parameter; // [1]

  constructor(hiddenSize: number, options: ScoreHeadOptions = {}) {
    super();
    const { dtype = 'float32', device = 'cpu', generator } = options;
    this.weight = parameter(torch.empty([1, hiddenSize], { dtype, device })); // [1, D]
    this.bias = parameter(torch.zeros([1], { dtype, device })); // [1]
    init.normal_(this.weight, 0, 1 / Math.sqrt(hiddenSize + 1), generator === undefined ? {} : { generator });
  }

  forward(hidden: Tensor): Tensor {
    return torch.linear(hidden.to(this.weight.dtype), this.weight, this.bias).squeeze(-1); // [...]
  }
}
