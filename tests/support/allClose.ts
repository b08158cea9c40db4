/**
 * `expect(tensor).toBeCloseToTensor(expected, { rtol, atol, ulps })`: the one way in which tests compare tensors.
 *
 * Import this file for its effect. `expected` is a tensor (then the dtypes must agree) or nested arrays of numbers. Shapes must agree in
 * either case. The worst element is reported, and a tolerance that could hide an error is refused.
 */
import { expect } from 'vitest';
import { type Element, elementsOf, spacing, type TensorLike } from './elements.ts';

type Nested = Element | boolean | readonly Nested[];

export interface Tolerance {
  /** Allowed difference, as a share of the expected element. */
  rtol?: number;
  /** Allowed difference besides. Never more than the same share of the largest expected element. */
  atol?: number;
  /** For bfloat16 and float16, in place of the other two: how many representable values the result may be away. */
  ulps?: number;
}

/** Above this a wrong formula passes for rounding. */
const LARGEST_TOLERANCE = 1e-3;
const MOST_ULPS = 2;

/**
 * Where nothing is said. Half a unit in the last place of float32 is 6e-8 of the value, so a short chain of operations stays below 2e-6
 * (PyTorch's own assert_close takes 1.3e-6 and 1e-5); of float64 it is 1e-16. Integers and booleans must be equal.
 */
const DEFAULTS: Record<string, { rtol: number; atol: number }> = {
  float32: { rtol: 2e-6, atol: 1e-6 },
  complex64: { rtol: 2e-6, atol: 1e-6 },
  float64: { rtol: 1e-13, atol: 1e-13 },
  complex128: { rtol: 1e-13, atol: 1e-13 },
};
const EXACT = { rtol: 0, atol: 0 };
/** One result, computed in float32, rounds either way where it lies half-way between two 16-bit values. */
const DEFAULT_ULPS = 1;

declare module 'vitest' {
  interface Matchers<R extends void | Promise<void> = void | Promise<void>, T = unknown> {
    toBeCloseToTensor(expected: TensorLike | Nested, tolerance?: Tolerance): R;
  }
}

expect.extend({
  toBeCloseToTensor(received: unknown, expected: TensorLike | Nested, tolerance: Tolerance = {}) {
    refuseLooseness(tolerance);
    const problem = isTensorLike(received)
      ? whyNotClose(
          valuesOf(received),
          isTensorLike(expected) ? valuesOf(expected) : literal(expected, received.dtype),
          tolerance,
        )
      : `received no tensor but ${String(received)}`;
    return { pass: problem === null, message: () => problem ?? 'expected the tensors to differ, but they are close' };
  },
});

function refuseLooseness({ rtol = 0, atol = 0, ulps = 0 }: Tolerance): void {
  const allowed =
    rtol >= 0 && rtol <= LARGEST_TOLERANCE && atol >= 0 && atol <= LARGEST_TOLERANCE && ulps >= 0 && ulps <= MOST_ULPS;
  if (allowed) return;
  throw new RangeError(
    `a tolerance over ${LARGEST_TOLERANCE} (or ${MOST_ULPS} ulps) proves nothing: rtol ${rtol}, atol ${atol}, ulps ${ulps}`,
  );
}

interface Values {
  dtype: string;
  shape: readonly number[];
  elements: readonly Element[];
}

function isTensorLike(value: unknown): value is TensorLike {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'shape' in value && 'bytes' in value;
}

function valuesOf(tensor: TensorLike): Values {
  return { dtype: tensor.dtype, shape: tensor.shape, elements: elementsOf(tensor) };
}

/** Nested arrays as a tensor of the dtype that was received. */
function literal(nested: Nested, dtype: string): Values {
  const shape: number[] = [];
  for (let inner = nested; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
  const flat = Array.isArray(nested) ? (nested as unknown[]).flat(Number.POSITIVE_INFINITY) : [nested];
  if (flat.length !== shape.reduce((product, size) => product * size, 1))
    throw new TypeError('the expected arrays are ragged');
  return { dtype, shape, elements: flat.map((value) => (dtype === 'int64' ? BigInt(value as number) : Number(value))) };
}

function whyNotClose(received: Values, expected: Values, tolerance: Tolerance): string | null {
  if (received.dtype !== expected.dtype) return `expected dtype ${expected.dtype}, received ${received.dtype}`;
  if (received.shape.length !== expected.shape.length || received.shape.some((size, i) => size !== expected.shape[i])) {
    return `expected shape [${expected.shape.join(', ')}], received [${received.shape.join(', ')}]`;
  }
  const limit = limitOf(expected, tolerance);
  let [worst, worstExcess, wrong] = [-1, 0, 0];
  for (const [i, value] of received.elements.entries()) {
    const excess = excessOf(value, expected.elements[i]!, limit);
    if (excess > 0) wrong++;
    if (excess > worstExcess) [worst, worstExcess] = [i, excess];
  }
  if (wrong === 0) return null;
  const [target, value] = [expected.elements[worst]!, received.elements[worst]!];
  return [
    `${wrong} of ${received.elements.length} ${expected.dtype} elements differ, the worst at [${indexOf(worst, expected)}]`,
    `  expected: ${target}`,
    `  received: ${value}`,
    `  apart:    ${Math.abs(Number(value) - Number(target))}, allowed ${limit(target)}`,
  ].join('\n');
}

/** How far a value may be from an expected one. */
function limitOf({ dtype, elements }: Values, { rtol, atol, ulps }: Tolerance): (expected: Element) => number {
  if ((dtype === 'bfloat16' || dtype === 'float16') && rtol === undefined && atol === undefined) {
    return (expected) => (ulps ?? DEFAULT_ULPS) * spacing(dtype, Number(expected));
  }
  const defaults = DEFAULTS[dtype] ?? EXACT;
  const [relative, absolute] = [rtol ?? defaults.rtol, atol ?? defaults.atol];
  // A tolerance as large as the values would take zeros for them: it shrinks with the values.
  const finite = elements.map((value) => Math.abs(Number(value))).filter((value) => Number.isFinite(value));
  const largest = finite.reduce((most, value) => Math.max(most, value), 0);
  const floor = largest === 0 ? absolute : Math.min(absolute, absolute * largest);
  return (expected) => relative * Math.abs(Number(expected)) + floor;
}

/** 0 where the two are close, above that the larger the worse. NaN is close to NaN, an infinity to itself. */
function excessOf(value: Element, target: Element, limit: (expected: Element) => number): number {
  if (value === target || (Number.isNaN(value) && Number.isNaN(target))) return 0;
  const difference = Math.abs(Number(value) - Number(target));
  if (!Number.isFinite(difference) || typeof target === 'bigint') return Number.MAX_VALUE;
  const allowed = limit(target);
  return difference <= allowed ? 0 : difference / Math.max(allowed, Number.MIN_VALUE);
}

function indexOf(flat: number, { shape, dtype }: Values): string {
  let rest = dtype.startsWith('complex') ? flat >> 1 : flat;
  const index: number[] = [];
  for (const size of [...shape].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index.join(', ');
}
