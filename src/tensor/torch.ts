/** The `torch` object: every operator as a function, and what is not an operator. */

import { NudgeError } from '../errors.ts';
import { fromBytes, fromTypedArray, fullDtype, type TensorOptions, tensor } from './create.ts';
import type { TorchFunctions } from './generated/types.ts';
import { slice } from './indexing.ts';
import { callByName } from './invoke.ts';
import { debugMemory, memory } from './memory.ts';
import { autocast, autocastState, enableGrad, inferenceMode, isGradEnabled, noGrad } from './modes.ts';
import { type EngineVersion, native } from './native.ts';
import { installOperators } from './operators.ts';
import { checkOptions } from './options.ts';
import { Generator, getRngState, manualSeed, setRngState } from './random.ts';
import { ComplexScalar, FloatScalar } from './scalars.ts';
import { scope, scopeAsync } from './scope.ts';
import { type BackwardOptions, checkBackward, type Device, Tensor } from './tensor.ts';

/** The gradients of several outputs, or of the only one. */
export type Gradients = Tensor | null | readonly (Tensor | null)[];

export interface GradOptions extends BackwardOptions {
  /** The gradient of each output; may be left out, or null, for outputs of one element. */
  gradOutputs?: Gradients;
  /** Give null for an input that the outputs do not depend on, instead of an error. Default false. */
  allowUnused?: boolean;
}

const operators = installOperators() as unknown as TorchFunctions;

/** A tensor stands for a list of one, as in Python. */
function listOf(tensors: Tensor | readonly Tensor[], name: string): readonly Tensor[] {
  if (tensors instanceof Tensor) return [tensors];
  if (Array.isArray(tensors) && tensors.every((entry) => entry instanceof Tensor)) return tensors;
  throw new NudgeError('BAD_ARGUMENT', `${name} must be a tensor or a list of tensors`);
}

const handles = (tensors: readonly Tensor[]): number[] => tensors.map(({ handle }) => handle);

/** One gradient an output, null where it has a single element; a single one may stand without its list. */
function gradientHandles(count: number, gradients: Gradients = []): (number | null)[] {
  const list: readonly (Tensor | null)[] = gradients === null || gradients instanceof Tensor ? [gradients] : gradients;
  const fits = Array.isArray(list) && list.every((entry) => entry === null || entry instanceof Tensor);
  if (!fits || (list.length !== 0 && list.length !== count)) {
    throw new NudgeError('BAD_ARGUMENT', 'each output needs one gradient, a tensor or null', {
      expected: `${count} gradients`,
      received: fits ? String(list.length) : String(gradients),
    });
  }
  return Array.from({ length: count }, (_, i) => list[i]?.handle ?? null);
}

/** Adds the gradients of all `outputs` to the `grad` of the leaves, in one pass. */
function backward(outputs: Tensor | readonly Tensor[], gradients?: Gradients, options: BackwardOptions = {}): void {
  const { retainGraph, createGraph = false } = checkBackward(options, 'torch.backward');
  const all = listOf(outputs, 'outputs');
  native.backward(handles(all), gradientHandles(all.length, gradients), retainGraph, createGraph);
}

/** The gradients of `outputs` with respect to each of `inputs`, returned instead of added to `grad`. */
function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor,
  options?: GradOptions & { allowUnused?: false },
): [Tensor];
function grad<const I extends readonly Tensor[]>(
  outputs: Tensor | readonly Tensor[],
  inputs: I,
  options?: GradOptions & { allowUnused?: false },
): { -readonly [K in keyof I]: Tensor };
function grad<const I extends readonly Tensor[]>(
  outputs: Tensor | readonly Tensor[],
  inputs: I,
  options?: GradOptions,
): { -readonly [K in keyof I]: Tensor | null };
function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options: GradOptions = {},
): (Tensor | null)[] {
  checkOptions(options, ['gradOutputs', 'retainGraph', 'createGraph', 'allowUnused'], 'torch.grad');
  const { gradOutputs, retainGraph, createGraph = false, allowUnused = false } = options;
  const all = listOf(outputs, 'outputs');
  const gradients = gradientHandles(all.length, gradOutputs);
  return native
    .grad(handles(all), handles(listOf(inputs, 'inputs')), gradients, retainGraph, createGraph, allowUnused)
    .map((handle) => (handle === null ? null : new Tensor(handle)));
}

/** A tensor of one value; without a dtype, float32 for a number, bool for a boolean, int64 for a bigint. */
function full(size: readonly number[], value: number | bigint | boolean, options: TensorOptions = {}): Tensor {
  return operators.full(size, value, { ...options, dtype: options.dtype ?? fullDtype(value) });
}

/** Takes over a tensor that another thread gave up with `release()`. A ticket can be taken once. */
function adopt(ticket: number): Tensor {
  native.transfer(ticket, true);
  return new Tensor(ticket);
}

const byHand = {
  Tensor,
  Generator,
  tensor,
  fromBytes,
  fromTypedArray,
  full,
  slice,
  /** A floating-point scalar even when integral: Python's `2.0`. */
  float: (value: number): FloatScalar => new FloatScalar(value),
  /** A complex scalar. */
  complexScalar: (re: number, im: number): ComplexScalar => new ComplexScalar(re, im),

  scope,
  scopeAsync,
  memory,
  debugMemory,
  adopt,

  backward,
  grad,
  noGrad,
  enableGrad,
  isGradEnabled,
  inferenceMode,
  autocast,
  autocastState,

  manualSeed,
  getRngState,
  setRngState,

  /** Threads that an operator called from this thread may use. Each thread has a team of its own: give a worker cores / workers. */
  getNumThreads: (): number => native.getNumThreads(),
  setNumThreads: (threads: number): void => native.setNumThreads(threads),
  /** Every device at hand: `['cpu']`, `['cpu', 'cuda:0', ...]`. */
  devices: (): Device[] => native.devices(),
  isAvailable: (device: Device): boolean =>
    native.devices().some((name) => name === device || name.replace(/:\d+$/, '') === device),
  /** Makes this the device that a bare `'cuda'` means, in this thread. */
  setDevice: (device: Device): void => native.setDevice(device),
  /** Waits until a device has finished what was asked of it; on the CPU nothing is ever pending. */
  synchronize: (device: Device = 'cpu'): void => native.synchronize(device),
  /** The id of a device's current stream; operators called from this thread are queued there. */
  currentStream: (device: Device): number | bigint => native.currentStream(device),
  setCurrentStream: (device: Device, stream: number | bigint): void => native.setCurrentStream(device, stream),
  /** Bytes that the caching allocator of an accelerator holds; null on the CPU. */
  deviceMemory: (device: Device): { allocated: number; peakAllocated: number; reserved: number } | null =>
    native.deviceMemory(device),
  resetPeakMemory: (device: Device): void => native.resetPeakMemory(device),
  /** Gives memory that is kept for reuse back to the system, on the CPU and on accelerators. */
  emptyCache: (): void => native.emptyCache(),
  version: (): EngineVersion => native.version(),

  /** Any operator of the dispatcher by its exact name, with arguments in their schema's order. */
  call: callByName,
};

export type Torch = Omit<TorchFunctions, keyof typeof byHand> & typeof byHand;

/** PyTorch's functions; see docs/tensor-api.md. */
export const torch: Torch = Object.assign(Object.create(null), operators, byHand) as Torch;
