/**
 * What an optimiser remembers of each parameter, and how that is saved and loaded.
 *
 * Memory is always float32 (float64 for float64 weights). For weights in a 16-bit type it includes, on request, a float32 master
 * copy, which is what gets updated: bfloat16 keeps 8 significant bits, so an update smaller than 1/256 of a weight (every
 * update, at a learning rate of 1e-5) rounds away if it is added to the weight itself (Micikevicius et al., arXiv 1710.03740, 3.1).
 */
import { NudgeError } from '../../errors.ts';
import { type DType, type Tensor, torch } from '../../tensor/index.ts';
import type { Parameter } from '../parameter.ts';
import type { ParameterGroup } from './groups.ts';

/** What every optimiser offers to a training loop. */
export interface Optimizer {
  /** Its parameters and their options; `lr` and the rest may be changed between steps. */
  readonly groups: readonly ({ lr: number } & ParameterGroup<object>)[];
  /** Updates every parameter that has a gradient. Gradients stay as they are. */
  step(): void;
  /** Drops the gradients and frees their memory. */
  zeroGrad(): void;
  stateDict(): OptimizerState;
  loadStateDict(state: OptimizerState): void;
  /** Frees the optimiser's memory, not the parameters. Twice is harmless. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** A saved optimiser: `tensors` for a tensor file, the rest as it is for JSON. */
export interface OptimizerState {
  readonly algorithm: string;
  readonly groups: readonly {
    readonly names: readonly string[];
    readonly options: Readonly<Record<string, unknown>>;
  }[];
  /** Updates made, by parameter. */
  readonly steps: Readonly<Record<string, number>>;
  /** `<parameter>.<slot>`, such as `layers.0.weight.exp_avg`: the live tensors, not copies. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** The memory of one parameter. */
export interface ParameterState {
  /** Updates made so far. */
  step: number;
  /** By slot (`exp_avg`, ..., `master`): kept tensors of the parameter's shape. */
  readonly tensors: Map<string, Tensor>;
  /** The weights' version after the last write-back: another version means that somebody else wrote to them. */
  version?: number;
}

/** Parameters of one device, dtype and step count with their gradients: what one fused kernel can update. */
export interface Batch {
  parameters: Parameter[];
  gradients: Tensor[];
  states: ParameterState[];
}

/** float32 copies of 16-bit gradients are made for at most this many elements at a time: 64 MiB. */
const batchElements = 1 << 24;

export class OptimizerMemory {
  readonly #states = new Map<Parameter, ParameterState>();
  readonly #masterWeights: boolean;

  constructor(options: { masterWeights: boolean }) {
    this.#masterWeights = options.masterWeights;
  }

  /** Splits the parameters that have a gradient into batches. The gradients belong to the calling scope. */
  batches(parameters: readonly Parameter[]): Batch[] {
    const open = new Map<string, { batch: Batch; elements: number }>();
    const batches: Batch[] = [];
    for (const parameter of parameters) {
      const gradient = parameter.grad;
      if (gradient === null) continue;
      const state = this.#stateOf(parameter);
      const key = `${parameter.device} ${parameter.dtype} ${state.step}`;
      const elements = is16Bit(parameter) ? parameter.numel() : 0;
      let entry = open.get(key);
      if (entry === undefined || entry.elements + elements > batchElements) {
        entry = { batch: { parameters: [], gradients: [], states: [] }, elements: 0 };
        open.set(key, entry);
        batches.push(entry.batch);
      }
      entry.elements += elements;
      entry.batch.parameters.push(parameter);
      entry.batch.gradients.push(gradient);
      entry.batch.states.push(state);
    }
    return batches;
  }

  /**
   * Runs one fused update on a batch, in a scope: `kernel` gets weights and gradients of equal, full precision and changes the
   * weights in place; for a 16-bit type they are then rounded into the parameters.
   */
  update(batch: Batch, kernel: (weights: Tensor[], gradients: Tensor[]) => void): void {
    torch.scope(() => {
      const { parameters, gradients, states } = batch;
      if (!is16Bit(parameters[0]!)) {
        kernel(parameters, gradients);
      } else {
        const weights = parameters.map((parameter, i) => this.#fullPrecision(parameter, states[i]!)); // each float32
        kernel(
          weights,
          gradients.map((gradient) => gradient.float()),
        );
        torch._foreachCopy_(parameters, weights);
        for (const [i, state] of states.entries()) state.version = parameters[i]!._version();
      }
      for (const state of states) state.step += 1;
    });
  }

  /** A slot of a parameter's memory, made of zeros at its first use. */
  slot(parameter: Parameter, state: ParameterState, name: string): Tensor {
    return remember(state, name, () => torch.zerosLike(parameter, { dtype: stateDtype(parameter) }));
  }

  /** The parameter's memory as it would be saved. */
  save(algorithm: string, groups: readonly ParameterGroup<object>[]): OptimizerState {
    const steps: Record<string, number> = {};
    const tensors = new Map<string, Tensor>();
    for (const [name, parameter] of named(groups)) {
      const state = this.#states.get(parameter);
      // Step 0: an update that failed has left it empty.
      if (state === undefined || state.step === 0) continue;
      steps[name] = state.step;
      for (const [slot, tensor] of state.tensors) tensors.set(`${name}.${slot}`, tensor);
    }
    return {
      algorithm,
      groups: groups.map(({ parameters: _, names, ...options }) => ({ names, options })),
      steps,
      tensors,
    };
  }

  /**
   * Replaces memory and group options by copies of saved ones. Everything is checked before anything changes.
   *
   * @param slots the slots that every parameter with a step must have.
   */
  load(saved: OptimizerState, algorithm: string, slots: readonly string[], groups: ParameterGroup<object>[]): void {
    const expected = describeGroups(algorithm, groups);
    const received = describeGroups(saved.algorithm, saved.groups);
    if (expected !== received) throw otherOptimizer(expected, received);
    const loaded: { parameter: Parameter; step: number; tensors: [slot: string, tensor: Tensor][] }[] = [];
    for (const [name, parameter] of named(groups)) {
      const step = saved.steps[name];
      if (step === undefined) continue;
      const tensors = slots.map((slot): [string, Tensor] => [slot, savedSlot(saved, name, slot, parameter)]);
      // A state saved without masters can be resumed with them, and the other way round.
      if (this.#masterWeights && is16Bit(parameter) && saved.tensors.has(`${name}.master`)) {
        tensors.push(['master', savedSlot(saved, name, 'master', parameter)]);
      }
      loaded.push({ parameter, step, tensors });
    }
    this.dispose();
    for (const { parameter, step, tensors } of loaded) {
      const state: ParameterState = { step, tensors: new Map() };
      this.#states.set(parameter, state);
      for (const [slot, tensor] of tensors) remember(state, slot, () => copyFor(parameter, tensor));
    }
    for (const [i, group] of groups.entries()) Object.assign(group, structuredClone(saved.groups[i]!.options));
  }

  dispose(): void {
    for (const { tensors } of this.#states.values()) for (const tensor of tensors.values()) tensor.dispose();
    this.#states.clear();
  }

  #stateOf(parameter: Parameter): ParameterState {
    let state = this.#states.get(parameter);
    if (state === undefined) {
      state = { step: 0, tensors: new Map() };
      this.#states.set(parameter, state);
    }
    return state;
  }

  /**
   * The float32 weights to update: the master copy, or without one a copy for this step alone.
   *
   * The parameter stays the truth: if somebody wrote to it since the last step (a checkpoint loaded, an adapter merged) and the
   * master no longer rounds to it, the master starts again from the parameter. If it does (a checkpoint of both), the master's
   * extra bits are kept, so that resuming is exact in whatever order model and optimiser are loaded.
   */
  #fullPrecision(parameter: Parameter, state: ParameterState): Tensor {
    if (!this.#masterWeights) return parameter.float(); // same shape, float32
    const master = remember(state, 'master', () => parameter.float()); // same shape, float32
    const written = state.version !== undefined && state.version === parameter._version();
    if (!written && !torch.equal(master.to(parameter.dtype), parameter)) master.copy_(parameter);
    return master;
  }
}

/** Drops the gradients of every parameter of the groups. */
export function dropGradients(groups: readonly ParameterGroup<object>[]): void {
  for (const { parameters } of groups) for (const parameter of parameters) parameter.grad = null;
}

function remember(state: ParameterState, slot: string, make: () => Tensor): Tensor {
  let tensor = state.tensors.get(slot);
  if (tensor === undefined) {
    tensor = make().keep();
    state.tensors.set(slot, tensor);
  }
  return tensor;
}

const is16Bit = (tensor: Tensor): boolean => tensor.dtype === 'bfloat16' || tensor.dtype === 'float16';
const stateDtype = (parameter: Tensor): DType => (is16Bit(parameter) ? 'float32' : parameter.dtype);

/** A copy of a saved tensor in the layout of its parameter. */
function copyFor(parameter: Parameter, saved: Tensor): Tensor {
  return torch.noGrad(() => torch.emptyLike(parameter, { dtype: stateDtype(parameter) }).copy_(saved));
}

function* named(groups: readonly ParameterGroup<object>[]): Generator<[name: string, parameter: Parameter]> {
  for (const { names, parameters } of groups) for (const [i, name] of names.entries()) yield [name, parameters[i]!];
}

function describeGroups(algorithm: string, groups: readonly { readonly names: readonly string[] }[]): string {
  return `${algorithm} over ${groups.map(({ names }) => `[${names.join(', ')}]`).join(', ')}`;
}

function otherOptimizer(expected: string, received: string): NudgeError {
  const cut = (text: string) => (text.length > 300 ? `${text.slice(0, 300)}...` : text);
  return new NudgeError('BAD_ARGUMENT', 'The saved state is of another optimiser, or of other parameters.', {
    expected: cut(expected),
    received: cut(received),
    remedy: 'Build the optimiser with the same parameters in the same groups as when it was saved.',
  });
}

/** A tensor of a saved optimiser, checked. */
function savedSlot({ tensors }: OptimizerState, name: string, slot: string, parameter: Parameter): Tensor {
  const path = `${name}.${slot}`;
  const tensor = tensors.get(path);
  if (tensor === undefined) {
    throw new NudgeError('BAD_ARGUMENT', 'The saved optimiser is incomplete.', {
      path,
      expected: 'a tensor of this name',
    });
  }
  if (!sameShape(tensor.shape, parameter.shape)) {
    throw new NudgeError('SHAPE_MISMATCH', 'A tensor of the saved optimiser does not fit its parameter.', {
      path,
      expected: `[${parameter.shape}]`,
      received: `[${tensor.shape}]`,
    });
  }
  return tensor;
}

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, i) => size === b[i]);
