/**
 * The addon, loaded once per thread, and what it exports.
 *
 * A tensor is a number here: a slot of the process-wide table and a generation. Everything above sees `Tensor` instead.
 */

import { createRequire } from 'node:module';
import { availableParallelism, loadavg } from 'node:os';
import { NudgeError } from '../errors.ts';
import { locateEngine } from '../setup/engine.mjs';
import { atCaller } from './caller.ts';

/** A tensor in the native table. Never 0. */
export type Handle = number;

/** An operator, resolved once by `operator(name)`. */
export type OperatorNumber = number;

export interface Native {
  /** Lists are written here; element 0 is the next free index. See `lists.ts`. */
  readonly scratch: Float64Array;
  setErrorFactory(factory: (code: string, message: string) => Error): void;
  operator(name: string): OperatorNumber;
  schemas(): string[];
  schema(name: string): string;
  call(operator: OperatorNumber, ...args: unknown[]): unknown;
  /** [operator, self, other] of the three calls below; the first is replaced by the result's handle. */
  readonly frame: Float64Array;
  callUnary(): void;
  callWithTensor(): void;
  callWithNumber(): void;
  timeCall(times: number, operator: OperatorNumber, ...args: unknown[]): number;

  release(handle: Handle): void;
  release(handles: Float64Array, count: number): void;
  transfer(handle: Handle, toThisThread: boolean): void;
  isLive(handle: Handle): boolean;
  shape(handle: Handle): number[];
  strides(handle: Handle): number[];
  dtype(handle: Handle): number;
  device(handle: Handle): string;
  /** Bytes of its storage; 0 where others hold it too. */
  ownBytes(handle: Handle): number;
  item(handle: Handle): number | bigint | boolean;
  fromBytes(bytes: Uint8Array, shape: readonly number[], dtype: number): Handle;
  toBytes(handle: Handle, into: Uint8Array): void;
  map(handle: Handle): ArrayBuffer;
  memory(): { tensors: number; bytes: number };
  adjustExternalMemory(bytes: number): void;

  backward(
    outputs: Handle[],
    gradients: (Handle | null)[],
    retainGraph: boolean | undefined,
    createGraph: boolean,
  ): void;
  grad(
    outputs: Handle[],
    inputs: Handle[],
    gradOutputs: (Handle | null)[],
    retainGraph: boolean | undefined,
    createGraph: boolean,
    allowUnused: boolean,
  ): (Handle | null)[];
  getGrad(handle: Handle): Handle | null;
  setGrad(handle: Handle, gradient: Handle | null): void;
  requiresGrad(handle: Handle): boolean;
  setRequiresGrad(handle: Handle, flag: boolean): void;
  isLeaf(handle: Handle): boolean;
  isGradEnabled(): boolean;
  setGradEnabled(flag: boolean): boolean;
  pushInferenceMode(enabled: boolean): void;
  popInferenceMode(): void;
  pushAutocast(device: string, enabled: boolean, dtype: number | undefined): void;
  popAutocast(): void;

  getNumThreads(): number;
  setNumThreads(threads: number): void;
  loadLibrary(path: string): void;
  devices(): string[];
  synchronize(device: string): void;
  setDevice(device: string): void;
  deviceMemory(device: string): { allocated: number; peakAllocated: number; reserved: number } | null;
  resetPeakMemory(device: string): void;
  emptyCache(): void;
  currentStream(device: string): number | bigint;
  setCurrentStream(device: string, stream: number | bigint): void;
  version(): EngineVersion;

  newGenerator(device: string): number;
  deleteGenerator(id: number): void;
  seedGenerator(which: number | string, seed: number | bigint): void;
  manualSeed(seed: number | bigint): void;
  generatorState(which: number | string): Handle;
  setGeneratorState(which: number | string, state: Handle): void;
}

export interface EngineVersion {
  /** libtorch's version, such as `2.13.0`. */
  torch: string;
  /** The instruction set that ATen's kernels chose: `AVX512`, `AVX2`, `DEFAULT`, ... */
  cpuCapability: string;
  parallelInfo: string;
  config: string;
  mkl: boolean;
  mkldnn: boolean;
  openmp: boolean;
}

function nativeError(code: string, message: string): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 30;
  const error = new NudgeError(code as NudgeError['code'], message);
  Error.stackTraceLimit = limit;
  return atCaller(error);
}

function load(): Native {
  const engine = locateEngine();
  const require = createRequire(import.meta.url);
  let native: Native;
  try {
    native = withShortSpins(() => require(engine.addon) as Native);
  } catch (cause) {
    throw new NudgeError('ENGINE_LOAD_FAILED', 'libtorch or the addon could not be loaded', {
      path: engine.addon,
      received: (cause as Error).message,
      remedy: 'Run `npm run setup` again; `nudge doctor` says more.',
      cause,
    });
  }
  native.setErrorFactory(nativeError);
  for (const library of engine.extraLibraries) native.loadLibrary(library);
  return native;
}

/**
 * GNU's OpenMP lets a thread that waits for the others look 300,000 times before it sleeps. Where another program wants one of the
 * cores too, those that look keep away the one they wait for: generation fell from some hundred tokens a second to seven. Where
 * none does, sleeping early costs a fifth at one completion at a time (docs/log.md). So on a busy machine they look 1,000 times.
 * The variable is read when the library is loaded, which libtorch's own copy is now; programs that this process starts are left
 * alone.
 */
function withShortSpins<T>(load: () => T): T {
  const { GOMP_SPINCOUNT, OMP_WAIT_POLICY } = process.env;
  const isBusy = loadavg()[0]! > availableParallelism() / 2;
  if (!isBusy || GOMP_SPINCOUNT !== undefined || OMP_WAIT_POLICY !== undefined) return load();
  process.env.GOMP_SPINCOUNT = '1000';
  try {
    return load();
  } finally {
    delete process.env.GOMP_SPINCOUNT;
  }
}

export const native: Native = load();
