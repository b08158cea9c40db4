/** Random number generators. Under the same seed they give PyTorch's own numbers. */

import { NudgeError } from '../errors.ts';
import { native } from './native.ts';
import { checkOptions } from './options.ts';
import { Tensor } from './tensor.ts';

const generators = new FinalizationRegistry<number>((id) => native.deleteGenerator(id));

function checkSeed(seed: number | bigint): number | bigint {
  if (typeof seed === 'bigint' || Number.isSafeInteger(seed)) return seed;
  throw new NudgeError('BAD_ARGUMENT', 'a seed must be an integer', { received: String(seed) });
}

function readState(which: number | string): Uint8Array {
  using state = new Tensor(native.generatorState(which));
  return state.bytes();
}

function writeState(which: number | string, bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array)) {
    throw new NudgeError('BAD_ARGUMENT', "a generator's state is a Uint8Array, as getState() gives it", {
      received: String(bytes),
    });
  }
  using state = new Tensor(native.fromBytes(bytes, [bytes.length], 0));
  native.setGeneratorState(which, state.handle);
}

/** A generator of its own, independent of the default one; belongs to the thread that made it. */
export class Generator {
  /** @internal */
  readonly id: number;
  readonly device: string;

  /** @param options.seed - without one, libtorch's default seed; so that a run without seeds repeats too. */
  constructor(options: { seed?: number | bigint; device?: string } = {}) {
    checkOptions(options, ['seed', 'device'], 'Generator');
    const { seed, device = 'cpu' } = options;
    this.id = native.newGenerator(device);
    this.device = device;
    generators.register(this, this.id);
    if (seed !== undefined) this.manualSeed(seed);
  }

  manualSeed(seed: number | bigint): this {
    native.seedGenerator(this.id, checkSeed(seed));
    return this;
  }

  /** Everything needed to go on from here; a few kB on the CPU. */
  getState(): Uint8Array {
    return readState(this.id);
  }

  setState(state: Uint8Array): this {
    writeState(this.id, state);
    return this;
  }
}

/** Seeds the default generator of every device. */
export function manualSeed(seed: number | bigint): void {
  native.manualSeed(checkSeed(seed));
}

/** The state of a device's default generator. */
export function getRngState(device = 'cpu'): Uint8Array {
  return readState(device);
}

export function setRngState(state: Uint8Array, device = 'cpu'): void {
  writeState(device, state);
}
