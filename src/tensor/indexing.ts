/** Python's `x[...]` in JavaScript: `x.at(0, slice(1, 3), null)` and `x.put(value, ...)`. */

import { NudgeError } from '../errors.ts';
import { OwnedHandle } from './scope.ts';
import type { Tensor } from './tensor.ts';

/** A range of one dimension: Python's `start:end:step`. */
export class Slice {
  readonly start: number | null;
  readonly end: number | null;
  readonly step: number;

  constructor(start: number | null, end: number | null, step: number) {
    if (!Number.isInteger(step) || step < 1) {
      throw new NudgeError('BAD_ARGUMENT', 'the step of a slice must be a positive integer, as in torch', {
        received: String(step),
        remedy: 'To reverse a dimension, use x.flip(dim).',
      });
    }
    this.start = start;
    this.end = end;
    this.step = step;
  }
}

/** `slice()` is `:`, `slice(2)` is `2:`, `slice(1, 3)` is `1:3`, `slice(null, -1)` is `:-1`, `slice(0, null, 2)` is `::2`. */
export function slice(start: number | null = null, end: number | null = null, step = 1): Slice {
  return new Slice(start, end, step);
}

/** One entry of an index: an integer, a slice, a new dimension (null), the ellipsis, or a tensor of indices or truth values. */
export type Index = number | Slice | null | '...' | Tensor;

function isTensor(value: unknown): value is Tensor {
  return value instanceof OwnedHandle;
}

/** How many dimensions of the tensor an entry uses up. */
function consumed(entry: Index): number {
  if (entry === null || entry === '...') return 0;
  if (isTensor(entry) && (entry.dtype === 'bool' || entry.dtype === 'uint8')) return entry.ndim;
  return 1;
}

function expandEllipsis(x: Tensor, index: readonly Index[]): Index[] {
  const used = index.reduce<number>((sum, entry) => sum + consumed(entry), 0);
  const ellipses = index.filter((entry) => entry === '...').length;
  if (used > x.ndim || ellipses > 1) {
    const problem = ellipses > 1 ? "more than one '...'" : `too many indices: ${used} for ${x.ndim} dimensions`;
    throw new NudgeError('SHAPE_MISMATCH', problem, { received: `${x.dtype} [${x.shape.join(', ')}]` });
  }
  const skipped = Array.from({ length: x.ndim - used }, () => slice());
  return index.flatMap((entry) => (entry === '...' ? skipped : [entry]));
}

interface Position {
  /** x with the integers, slices and new dimensions applied: a view. */
  view: Tensor;
  /** One entry a dimension of the view (a mask stands for several); null where nothing is gathered. Empty: no tensors. */
  gather: (Tensor | null)[];
}

function locate(x: Tensor, index: readonly Index[]): Position {
  let view = x;
  let dim = 0;
  const gather: (Tensor | null)[] = [];
  const step = (next: Tensor): void => {
    if (view !== x) view.dispose();
    view = next;
  };
  for (const entry of expandEllipsis(x, index)) {
    if (entry === null) {
      step(view.unsqueeze(dim));
      gather.push(null);
      dim++;
    } else if (typeof entry === 'number') {
      step(view.select(dim, entry));
    } else if (isTensor(entry)) {
      gather.push(entry);
      dim += consumed(entry);
    } else {
      const { start, end, step: stride } = entry as Slice;
      if (start !== null || end !== null || stride !== 1) step(view.slice(dim, start, end, stride));
      gather.push(null);
      dim++;
    }
  }
  return { view, gather: gather.some((entry) => entry !== null) ? gather : [] };
}

/** `x[index]` */
export function read(x: Tensor, index: readonly Index[]): Tensor {
  const { view, gather } = locate(x, index);
  if (gather.length === 0) return view === x ? x.alias() : view;
  const result = view.index(gather);
  if (view !== x) view.dispose();
  return result;
}

/** `x[index] = value` */
export function write(x: Tensor, value: Tensor | number | boolean, index: readonly Index[]): void {
  const { view, gather } = locate(x, index);
  if (gather.length > 0) {
    const values = isTensor(value) ? value : view.newFull([], value);
    view.indexPut_(gather, values);
    if (values !== value) values.dispose();
  } else if (isTensor(value)) {
    view.copy_(value);
  } else {
    view.fill_(value);
  }
  if (view !== x) view.dispose();
}
