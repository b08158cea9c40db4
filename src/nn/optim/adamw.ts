import { type Tensor, torch } from '../../tensor/index.ts';
import { checkRange, makeGroups, type ParameterGroup, type ParameterSource } from './groups.ts';
import { type Batch, dropGradients, type Optimizer, OptimizerMemory, type OptimizerState } from './state.ts';

/** AdamW's numbers; each group may have its own. */
export interface AdamWOptions {
  /** Learning rate: about the size of the change of each weight in one step. Default 1e-3; full fine-tuning wants 1e-6 to 1e-5. */
  lr: number;
  /** Decay of the running mean of the gradient and of its square. Default [0.9, 0.999]; a shorter memory follows faster, noisier. */
  betas: readonly [number, number];
  /** Keeps the division finite. Default 1e-8; PPO code uses 1e-5, which also damps weights whose gradients are tiny. */
  eps: number;
  /** Share of each weight taken away in a step, times lr. Default 0.01. Norms and biases are best left at 0. */
  weightDecay: number;
}

export interface AdamWConfig extends Partial<AdamWOptions> {
  /**
   * Whether bfloat16 and float16 weights get a float32 master copy, which is updated and then rounded into them. Default true: 16
   * bytes a parameter with weight, gradient and both moments. False saves 4 of them, and loses every update below the weight's
   * last bit (about 1/256 of it in bfloat16), which at fine-tuning learning rates is nearly all. float32 weights need none.
   */
  masterWeights?: boolean;
}

const defaults: AdamWOptions = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 };

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2), by libtorch's fused kernel:
 *
 *     w ← w - lr · λ · w
 *     m ← β₁ m + (1 - β₁) g,   v ← β₂ v + (1 - β₂) g²
 *     w ← w - lr · (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)
 *
 * Same numbers as torch.optim.AdamW on float32 weights. On 16-bit weights both moments are float32 here (PyTorch keeps them in
 * the weight's dtype); see `masterWeights`. Parameters without a gradient are left alone, their step count too.
 */
export class AdamW implements Optimizer {
  readonly groups: ParameterGroup<AdamWOptions>[];
  readonly #memory: OptimizerMemory;

  constructor(parameters: ParameterSource<AdamWOptions>, config: AdamWConfig = {}) {
    const { masterWeights = true, ...options } = config;
    this.groups = makeGroups(parameters, { ...defaults, ...options });
    for (const [i, group] of this.groups.entries()) checkOptions(group, i);
    this.#memory = new OptimizerMemory({ masterWeights });
  }

  step(): void {
    torch.scope(() => {
      torch.noGrad(() => {
        for (const [i, group] of this.groups.entries()) {
          checkOptions(group, i);
          for (const batch of this.#memory.batches(group.parameters)) this.#update(batch, group);
        }
      });
    });
  }

  zeroGrad(): void {
    dropGradients(this.groups);
  }

  stateDict(): OptimizerState {
    return this.#memory.save('AdamW', this.groups);
  }

  loadStateDict(state: OptimizerState): void {
    this.#memory.load(state, 'AdamW', ['exp_avg', 'exp_avg_sq'], this.groups);
  }

  dispose(): void {
    this.#memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #update(batch: Batch, { lr, betas, eps, weightDecay }: AdamWOptions): void {
    const slot = (name: string): Tensor[] =>
      batch.parameters.map((parameter, i) => this.#memory.slot(parameter, batch.states[i]!, name));
    this.#memory.update(batch, (weights, gradients) => {
      // One step count serves the batch: the kernel only reads it, and a batch holds equal counts only.
      const step = torch.full([], batch.states[0]!.step + 1, { dtype: 'float32', device: weights[0]!.device }); // []
      const steps = weights.map(() => step);
      torch._fusedAdamw_(weights, gradients, slot('exp_avg'), slot('exp_avg_sq'), [], steps, {
        lr,
        beta1: betas[0],
        beta2: betas[1],
        weightDecay,
        eps,
        amsgrad: false,
        maximize: false,
      });
    });
  }
}

function checkOptions({ lr, betas, eps, weightDecay }: AdamWOptions, group: number): void {
  checkRange(`AdamW.groups[${group}].lr`, lr, 0);
  checkRange(`AdamW.groups[${group}].betas[0]`, betas[0], 0, 1);
  checkRange(`AdamW.groups[${group}].betas[1]`, betas[1], 0, 1);
  checkRange(`AdamW.groups[${group}].eps`, eps, 0);
  checkRange(`AdamW.groups[${group}].weightDecay`, weightDecay, 0);
}
