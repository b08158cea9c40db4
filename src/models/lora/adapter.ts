/** One adapter: for each chosen projection a pair of thin matrices, and perhaps a score head. */
import { init, kernels, Module, type Parameter, parameter } from '../../nn/index.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import type { ScoreHead } from '../heads.ts';
import type { Projection } from '../projection.ts';
import { type LoraConfig, type LoraOptions, loraScaling } from './config.ts';

/** The update of one projection: y + scaling (x Aᵀ) Bᵀ (arXiv 2106.09685, eq. 3). */
export class LoraPair extends Module {
  readonly lora_A: Parameter; // [r, in]
  readonly lora_B: Parameter; // [out, r]
  readonly scaling: number;
  readonly #dropout: number;

  /** A as PEFT draws it (kaiming uniform, a = √5), B zero: a fresh adapter changes nothing. */
  constructor(base: Projection, config: LoraConfig, { dtype = 'float32', generator }: LoraOptions) {
    super();
    const like = { dtype, device: base.weight.device };
    this.lora_A = parameter(torch.empty([config.rank, base.inFeatures], like)); // [r, in]
    this.lora_B = parameter(torch.zeros([base.outFeatures, config.rank], like)); // [out, r]
    this.scaling = loraScaling(config);
    this.#dropout = config.dropout;
    init.kaimingUniform_(this.lora_A, { a: Math.sqrt(5), ...(generator === undefined ? {} : { generator }) });
  }

  /** Whether dropout changes what the update is computed from. */
  drops(training: boolean): boolean {
    return training && this.#dropout > 0;
  }

  /** @param y what the projection gives for x: [N, out]. @param x [N, in]. */
  addTo(y: Tensor, x: Tensor, training: boolean): Tensor {
    const input = x.to(this.lora_A.dtype); // [N, in]
    const dropped = this.drops(training) ? torch.dropout(input, this.#dropout, true) : input; // [N, in]
    const narrow = kernels.linear(dropped, this.lora_A); // [N, r]
    return kernels.linear(narrow, this.lora_B).mul(this.scaling).add(y).to(y.dtype); // [N, out]
  }

  /** The update as one matrix, in the adapter's dtype: [out, in]. */
  product(): Tensor {
    return this.lora_B.matmul(this.lora_A).mul(this.scaling); // [out, in]
  }
}

/** A named adapter's weights. `parameters()` are what an optimiser trains; `requiresGrad_(false)` freezes it. */
export class LoraAdapter extends Module {
  readonly name: string;
  readonly config: LoraConfig;
  /** By the projection's name. */
  readonly pairs: Readonly<Record<string, LoraPair>>;
  /** The adapter's own head; null where the model's serves. */
  readonly score: ScoreHead | null;

  constructor(name: string, config: LoraConfig, pairs: Record<string, LoraPair>, score: ScoreHead | null) {
    super();
    this.name = name;
    this.config = config;
    this.pairs = pairs;
    this.score = score;
  }
}
