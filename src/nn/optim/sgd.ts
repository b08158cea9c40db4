import { NudgeError } from '../../errors.ts';
import { torch } from '../../tensor/index.ts';
import { checkRange, makeGroups, type ParameterGroup, type ParameterSource } from './groups.ts';
import { type Batch, dropGradients, type Optimizer, OptimizerMemory, type OptimizerState } from './state.ts';

/** SGD's numbers; each group may have its own. */
export interface SGDOptions {
  /** Learning rate. Default 1e-3. */
  lr: number;
  /** Share of the last update's direction that is carried on. Default 0: none, and no memory. */
  momentum: number;
  /** Takes this share off the gradient as it enters the momentum. Default 0. */
  dampening: number;
  /** Looks one step ahead along the momentum (Sutskever et al., 2013). Needs momentum and no dampening. Default false. */
  nesterov: boolean;
  /** L2 penalty: this share of the weight is added to its gradient. Default 0. */
  weightDecay: number;
}

export interface SGDConfig extends Partial<SGDOptions> {
  /** As for `AdamW`: a float32 master copy of 16-bit weights. Default true. */
  masterWeights?: boolean;
}

const defaults: SGDOptions = { lr: 1e-3, momentum: 0, dampening: 0, nesterov: false, weightDecay: 0 };

/**
 * Stochastic gradient descent, by libtorch's fused kernel, with torch.optim.SGD's conventions:
 *
 *     g ← g + λ w
 *     b ← μ b + (1 - τ) g   (the first b is g itself)
 *     w ← w - lr · b        (Nesterov: w - lr · (g + μ b))
 */
export class SGD implements Optimizer {
  readonly groups: ParameterGroup<SGDOptions>[];
  readonly #memory: OptimizerMemory;

  constructor(parameters: ParameterSource<SGDOptions>, config: SGDConfig = {}) {
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
    return this.#memory.save('SGD', this.groups);
  }

  loadStateDict(state: OptimizerState): void {
    const remembers = state.groups.some(({ options }) => options.momentum !== 0);
    this.#memory.load(state, 'SGD', remembers ? ['momentum_buffer'] : [], this.groups);
  }

  dispose(): void {
    this.#memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #update(batch: Batch, { lr, momentum, dampening, nesterov, weightDecay }: SGDOptions): void {
    const buffers =
      momentum === 0
        ? []
        : batch.parameters.map((parameter, i) => this.#memory.slot(parameter, batch.states[i]!, 'momentum_buffer'));
    this.#memory.update(batch, (weights, gradients) => {
      torch._fusedSgd_(weights, gradients, buffers, {
        weightDecay,
        momentum,
        lr,
        dampening,
        nesterov,
        maximize: false,
        isFirstStep: momentum !== 0 && batch.states[0]!.step === 0,
      });
    });
  }
}

function checkOptions(options: SGDOptions, group: number): void {
  for (const name of ['lr', 'momentum', 'weightDecay'] as const) {
    checkRange(`SGD.groups[${group}].${name}`, options[name], 0);
  }
  if (options.nesterov && (options.momentum === 0 || options.dampening !== 0)) {
    throw new NudgeError('BAD_ARGUMENT', 'Nesterov needs a momentum, and no dampening.', {
      path: `SGD.groups[${group}].nesterov`,
      received: `momentum ${options.momentum}, dampening ${options.dampening}`,
    });
  }
}
