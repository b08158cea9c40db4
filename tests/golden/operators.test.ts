/**
 * Every case of scripts/golden/operators against Python's PyTorch: as a function of `torch` and, where the operator has one, as a method.
 *
 * Only the operator's name is given; the overload must be found from the arguments, as for a user.
 */
import { describe, expect, test } from 'vitest';
import { Tensor, torch } from '../../src/tensor/index.ts';
import type { Tolerance } from '../support/allClose.ts';
import { camelCase, decode, type Encoded, expectGolden, loadCases } from './load.ts';

interface OperatorCase {
  /** `add.Tensor`: the overload that Python ran. */
  op: string;
  args: Encoded[];
  kwargs?: Record<string, Encoded>;
  method?: true;
  /** Absent where the operator returns nothing. */
  out?: Encoded;
  /** Arguments that the operator writes to, as they were afterwards, by position. */
  written?: Record<string, Encoded>;
  ulps?: number;
  loose?: number;
}

/** Names under which the API has something of its own: `torch.slice(1, 3)` makes an index, `x.put(value, ...index)` writes at one. */
const TAKEN_ON_TORCH = new Set(['slice']);
const TAKEN_ON_TENSOR = new Set(['put']);

type Call = (...args: unknown[]) => unknown;

const FAMILIES = ['pointwise', 'reductions', 'shaping', 'indexing', 'neural', 'linear_algebra'];
const all = FAMILIES.map((family) => ({ family, cases: loadCases<OperatorCase>(`operators.${family}`) }));

for (const { family, cases } of all) {
  describe(family, () => {
    // not test.each, which cuts long titles
    for (const [i, golden] of cases.entries()) {
      test(`${i} ${golden.op}(${summary(golden)})`, () => checkEveryForm(golden));
    }
  });
}

test('at least 150 operators are compared', () => {
  const names = new Set(all.flatMap(({ cases }) => cases.map(({ op }) => baseName(op))));
  expect(names.size).toBeGreaterThanOrEqual(150);
});

function checkEveryForm(golden: OperatorCase): void {
  const name = camelCase(baseName(golden.op));
  if (!TAKEN_ON_TORCH.has(name)) torch.scope(() => check(golden, functionNamed(torch, name)));
  if (golden.method === true && !TAKEN_ON_TENSOR.has(name)) {
    torch.scope(() => check(golden, (self, ...args) => functionNamed(self as Tensor, name).apply(self, args)));
  }
  // by the overload's exact name; only there no choice is made
  if (golden.kwargs === undefined) {
    torch.scope(() => check(golden, (...args) => torch.call(`aten::${golden.op}`, ...args)));
  }
}

function check(golden: OperatorCase, call: Call): void {
  const args = golden.args.map(decode);
  // a Tensor remembers its shape once it was asked: asking first shows where an in-place operator leaves the old one
  for (const arg of args) if (arg instanceof Tensor) expect(arg.shape).toBe(arg.shape);
  const options = Object.entries(golden.kwargs ?? {}).map(([key, value]) => [camelCase(key), decode(value)]);
  const result = call(...args, ...(options.length > 0 ? [Object.fromEntries(options)] : []));
  if (golden.out === undefined) expect(result).toBeUndefined();
  else expectGolden(result, golden.out, toleranceOf(golden));
  for (const [position, value] of Object.entries(golden.written ?? {})) {
    expectGolden(args[Number(position)], value, toleranceOf(golden));
  }
  if (golden.method === true && isInPlace(golden.op)) {
    expect(result, 'an in-place operator returns its own tensor').toBe(args[0]);
  }
}

/** 16-bit results must be equal unless the case says otherwise: most operators round once, from an exact or a float32 result. */
function toleranceOf({ loose, ulps }: OperatorCase): Tolerance {
  return loose === undefined ? { ulps: ulps ?? 0 } : { rtol: loose, atol: loose };
}

function functionNamed(owner: object, name: string): Call {
  const found = (owner as Record<string, unknown>)[name];
  if (typeof found !== 'function') throw new TypeError(`there is no ${name}`);
  return found as Call;
}

const baseName = (op: string): string => op.split('.')[0]!;
const isInPlace = (op: string): boolean => /[^_]_$/.test(baseName(op));

function summary({ args, kwargs = {} }: OperatorCase): string {
  return [...args.map(show), ...Object.entries(kwargs).map(([key, value]) => `${key}=${show(value)}`)].join(', ');
}

function show(value: Encoded): string {
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`;
  if (typeof value === 'object' && value !== null && 'tensor' in value) return `${value.tensor}[${value.shape}]`;
  if (typeof value === 'object' && value !== null) return Object.values(value).join();
  return String(value);
}
