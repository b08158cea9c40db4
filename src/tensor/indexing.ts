/** Python's `x[...]` in JavaScript: `x.at(0, slice(1, 3), null)` and `x.put(value, ...)`. */

import { inspect } from 'node:util';
import { NudgeError } from '../errors.ts';
import type { Scalar } from './scalars.ts';
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

function isMask({ dtype }: Tensor): boolean {
  return dtype === 'bool' || dtype === 'uint8';
}

function isInteger({ dtype }: Tensor): boolean {
  return /^u?int/.test(dtype) && dtype !== 'uint8';
}

/** How many dimensions of the tensor an entry uses up. */
function consumed(entry: Index): number {
  if (entry === null || entry === '...') return 0;
  if (isTensor(entry) && isMask(entry)) return entry.ndim;
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
    } else if (isTensor(entry) && entry.ndim === 0 && isInteger(entry)) {
      step(view.select(dim, entry.item()));
    } else if (isTensor(entry) && entry.ndim === 0 && isMask(entry)) {
      // One truth value is a mask over a new dimension of size 1.
      step(view.unsqueeze(dim));
      gather.push(entry.unsqueeze(0));
      dim++;
    } else if (isTensor(entry)) {
      gather.push(entry);
      dim += consumed(entry);
    } else if (entry instanceof Slice) {
      const { start, end, step: stride } = entry;
      if (start !== null || end !== null || stride !== 1) step(view.slice(dim, start, end, stride));
      gather.push(null);
      dim++;
    } else {
      throw new NudgeError('BAD_ARGUMENT', 'this is no index', {
        expected: "an integer, slice(start, end, step), null, '...' or a tensor",
        received: inspect(entry),
        remedy: "For a list of indices, write torch.tensor([0, 2], { dtype: 'int64' }).",
      });
    }
  }
  return { view, gather: gather.some((entry) => entry !== null) ? gather : [] };
}

/** Frees what `locate` made. */
function free({ view, gather }: Position, x: Tensor, index: readonly Index[]): void {
  if (view !== x) view.dispose();
  for (const entry of gather) if (entry !== null && !index.includes(entry)) entry.dispose();
}

/** `x[index]` */
export function read(x: Tensor, index: readonly Index[]): Tensor {
  const position = locate(x, index);
  const { view, gather } = position;
  if (gather.length === 0) return view === x ? x.alias() : view;
  try {
    return view.index(gather);
  } finally {
    free(position, x, index);
  }
}

/** Leading ones of a value say nothing, and PyTorch drops them: `x[0] = torch.ones(1, 5)` writes a row. */
function withoutLeadingOnes(value: Tensor): Tensor {
  if (value.shape[0] !== 1) return value;
  const first = value.shape.findIndex((size) => size !== 1);
  return value.reshape(first < 0 ? [] : value.shape.slice(first));
}

/** `x[index] = value` */
export function write(x: Tensor, value: Tensor | Scalar, index: readonly Index[]): void {
  const position = locate(x, index);
  const { view, gather } = position;
  try {
    if (!isTensor(value) && gather.length === 0) {
      view.fill_(value);
      return;
    }
    const values = isTensor(value) ? withoutLeadingOnes(value) : view.newFull([], value);
    if (gather.length > 0) view.indexPut_(gather, values);
    else view.copy_(values);
    if (values !== value) values.dispose();
  } finally {
    free(position, x, index);
  }
}
