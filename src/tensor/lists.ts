/**
 * Lists on their way to the addon.
 *
 * Reading a JavaScript array from C++ costs about 30 ns an element, so short lists travel through a Float64Array that both
 * sides see. Element 0 of it is the next free index. A list is passed as one number,
 * start * SIZE + length.
 */

import { native } from './native.ts';

const scratch = native.scratch;
const SIZE = scratch.length;

let turn = 0;

/** Begins a call: forgets what an earlier one left behind. Returns the number of this turn. */
export function beginLists(): number {
  scratch[0] = 1;
  return ++turn;
}

/** Whether no other call has begun since. */
export function isTurn(number: number): boolean {
  return turn === number;
}

/** Room for `length` elements: the index of the first, or 0 when they do not fit and must travel as an array. */
function reserve(length: number): number {
  const start = scratch[0] as number;
  if (start + length > SIZE) return 0;
  scratch[0] = start + length;
  return start;
}

/** Passes a list of numbers (integers or floats). One number stands for a list of one. */
export function numbers(list: number | bigint | readonly (number | bigint)[]): number | readonly (number | bigint)[] {
  if (typeof list === 'number') {
    const start = reserve(1);
    scratch[start] = list;
    return start * SIZE + 1;
  }
  if (typeof list === 'bigint') return [list];
  const length = list.length;
  const start = reserve(length);
  if (start === 0) return [...list];
  for (let i = 0; i < length; i++) {
    const element = list[i];
    if (typeof element !== 'number') return [...list];
    scratch[start + i] = element;
  }
  return start * SIZE + length;
}

/** What a list of tensors needs to know of them. */
interface HasHandle {
  handle: number;
}

/** Passes a list of tensors; 0 means an absent one. A freed tensor's handle is 0 too, so it is passed as -1, which the addon refuses. */
export function handles(list: readonly (HasHandle | null)[]): number | readonly (number | null)[] {
  const length = list.length;
  const start = reserve(length);
  if (start === 0) return list.map((tensor) => (tensor === null ? null : tensor.handle === 0 ? -1 : tensor.handle));
  for (let i = 0; i < length; i++) {
    const tensor = list[i];
    scratch[start + i] = tensor === null || tensor === undefined ? 0 : tensor.handle === 0 ? -1 : tensor.handle;
  }
  return start * SIZE + length;
}
