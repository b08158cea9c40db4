/** Work that several cases share, and the limits that they are held against. */

import { type Tensor, torch } from '../../src/tensor/index.ts';
import { native } from '../../src/tensor/native.ts';
import { type Body, timed } from '../case.ts';

/** A scope is opened for as many calls as a training step makes in one go. */
export const CALLS_A_SCOPE = 100;

export const ones = (size: number[]): Tensor => torch.ones(size).keep();

/** Repeats `hundred`, which makes 100 calls, in a scope each. */
export function inScopes(hundred: () => void, inputs: readonly Tensor[]): Body {
  const work = (times: number): void => {
    for (let done = 0; done < times; done += CALLS_A_SCOPE) torch.scope(hundred);
  };
  return timed(work, { multiple: CALLS_A_SCOPE, end: () => free(inputs) });
}

export function free(tensors: readonly Tensor[]): void {
  for (const tensor of tensors) tensor.dispose();
}

/** One operator as the addon calls it in a C++ loop: neither JavaScript nor its conversions. */
type AloneCall = [operator: string, ...args: unknown[]];

/** The limit of a call: the same operators called in C++ alone, one after the other. */
export function inCppAlone(make: () => { calls: readonly AloneCall[]; inputs: readonly Tensor[] }): () => Body {
  return () => {
    const { calls, inputs } = make();
    const resolved = calls.map(([name, ...args]) => [native.operator(name), ...args] as const);
    return {
      time: (times) => {
        let nanoseconds = 0;
        for (const [operator, ...args] of resolved) nanoseconds += native.timeCall(times, operator, ...args);
        return (nanoseconds * times) / 1e9;
      },
      end: () => free(inputs),
    };
  };
}

/**
 * a += b over tensors that take `footprint` bytes together, on all threads of the benchmark. Of the simple kernels it moves
 * most bytes in a second: a plain copy also has to read what it overwrites, or to go around the caches.
 *
 * @returns the work, and the bytes that one repetition reads and writes.
 */
export function streaming(footprint: number): { body: () => Body; bytes: number } {
  const elements = Math.floor(footprint / 8);
  const body = (): Body => {
    const [a, b] = [torch.zeros([elements]).keep(), torch.zeros([elements]).keep()];
    const work = (times: number): void => {
      for (let i = 0; i < times; i++) a.add_(b);
    };
    return timed(work, { end: () => free([a, b]) });
  };
  return { body, bytes: 12 * elements };
}

/** A copy between two tensors that exist already. */
export function copying(elements: number): () => Body {
  return () => {
    const [from, to] = [torch.zeros([elements]).keep(), torch.zeros([elements]).keep()];
    const work = (times: number): void => {
      for (let i = 0; i < times; i++) to.copy_(from);
    };
    return timed(work, { end: () => free([from, to]) });
  };
}
