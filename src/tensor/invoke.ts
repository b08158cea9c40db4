/** Calling an operator: arguments to the addon, its results back. */

import { NudgeError } from '../errors.ts';
import { atCaller } from './caller.ts';
import { type DType, dtypeCode } from './dtype.ts';
import { beginLists, handles, isTurn, numbers } from './lists.ts';
import { native, type OperatorNumber } from './native.ts';
import {
  choose,
  closeness,
  compileOverload,
  gatherIntegers,
  noChoices,
  noOverload,
  type OperatorSet,
  type Options,
  type Overload,
} from './overloads.ts';
import type { Generator } from './random.ts';
import { ComplexScalar, FloatScalar, type Scalar } from './scalars.ts';
import type { Parameter, Result } from './schema.ts';
import { shapesMayChange, Tensor } from './tensor.ts';

export function operatorNumber(overload: Overload): OperatorNumber {
  overload.number ??= native.operator(overload.schema.qualifiedName);
  return overload.number;
}

const LAYOUTS: Record<string, number> = {
  strided: 0,
  sparse_coo: 1,
  sparse_csr: 2,
  mkldnn: 3,
  sparse_csc: 4,
  sparse_bsr: 5,
  sparse_bsc: 6,
};
const MEMORY_FORMATS: Record<string, number> = { contiguous: 0, preserve: 1, channelsLast: 2, channelsLast3d: 3 };

function lookUp(table: Record<string, number>, value: unknown, what: string): number {
  const code = Object.hasOwn(table, value as string) ? table[value as string] : undefined;
  if (code !== undefined) return code;
  throw new NudgeError('OPERATOR_ARGUMENT', `unknown ${what} '${value}'`, { expected: Object.keys(table).join(', ') });
}

function convert(value: unknown, { kind }: Parameter): unknown {
  if (value === undefined || value === null) return value;
  switch (kind) {
    case 'tensor':
      return (value as Tensor).handle;
    case 'tensors':
    case 'optionalTensors':
      return handles(value as (Tensor | null)[]);
    case 'ints':
    case 'floats':
      return numbers(value as number | readonly number[]);
    case 'dtype':
      return dtypeCode(value as DType);
    case 'layout':
      return lookUp(LAYOUTS, value, 'layout');
    case 'memoryFormat':
      return lookUp(MEMORY_FORMATS, value, 'memory format');
    case 'generator':
      return (value as Generator).id;
    // Plain copies: a getter or a Proxy among the arguments must not run while the addon takes them apart.
    case 'scalar':
      return plainScalar(value as Scalar);
    case 'scalars':
      return Array.from(value as readonly Scalar[], plainScalar);
    case 'bools':
    case 'strings':
      return Array.from(value as readonly (boolean | string)[]);
    default:
      return value;
  }
}

function plainScalar(value: Scalar): unknown {
  if (value instanceof FloatScalar) return { float: Number(value.float) };
  return value instanceof ComplexScalar ? { re: Number(value.re), im: Number(value.im) } : value;
}

function wrapResult(
  value: unknown,
  { kind, written }: Result,
  { parameters }: Overload,
  values: readonly unknown[],
): unknown {
  if (written !== undefined) return values[parameters.findIndex((parameter) => parameter.written === written)];
  if (value === null || value === undefined) return null;
  if (kind === 'tensor') return new Tensor(value as number);
  if (kind === 'tensors') return (value as number[]).map((handle) => new Tensor(handle));
  return value;
}

/** The general way to call an operator: any overload, positional and named arguments. */
export function invoke(set: OperatorSet, args: readonly unknown[]): unknown {
  let count = withoutUndefined(args, args.length);
  const last = args[count - 1];
  const options = isOptions(last) ? last : undefined;
  if (options !== undefined) count = withoutUndefined(args, count - 1);
  const overload = choose(set, args, count, options);
  if (overload !== undefined) return run(overload, args, count, options);
  const gathered = gatherIntegers(set, args, count);
  const gatheredCount = count - (args.length - (gathered ?? args).length);
  const byIntegers = gathered && choose(set, gathered, gatheredCount, options);
  if (gathered !== undefined && byIntegers !== undefined) return run(byIntegers, gathered, gatheredCount, options);
  throw noOverload(set, args.slice(0, count), options);
}

/** How many arguments are left when the trailing undefined ones are not counted: leaving out and passing undefined are the same. */
function withoutUndefined(args: readonly unknown[], count: number): number {
  let left = count;
  while (left > 0 && args[left - 1] === undefined) left--;
  return left;
}

/** The values in their schema's order, without those at the end that are left to their defaults. */
function inOrder({ byName }: Overload, args: readonly unknown[], count: number, options: Options): unknown[] {
  const values: unknown[] = [];
  for (let i = 0; i < count; i++) values.push(args[i]);
  for (const name in options) {
    const value = options[name];
    if (value === undefined) continue;
    const position = byName.get(name);
    if (position === undefined) continue;
    while (values.length < position) values.push(undefined);
    values[position] = value;
  }
  return values;
}

function convertAll({ parameters, schema }: Overload, values: readonly unknown[], count: number): unknown[] {
  const turn = beginLists();
  const converted: unknown[] = [];
  try {
    for (let i = 0; i < count; i++) converted.push(convert(values[i], parameters[i] as Parameter));
  } catch (error) {
    if (!(error instanceof NudgeError)) throw error;
    error.message = `${schema.qualifiedName}: ${error.message}`;
    throw atCaller(error);
  }
  if (isTurn(turn)) return converted;
  // JavaScript ran meanwhile (a getter in a list) and called an operator, which overwrote the lists. Plain copies run nothing.
  beginLists();
  const plain = values.map((value) => (Array.isArray(value) ? Array.from(value) : value));
  return plain.slice(0, count).map((value, i) => convert(value, parameters[i] as Parameter));
}

/** Spreading a list into a native call costs more than the call. */
function callNative(number: OperatorNumber, values: readonly unknown[]): unknown {
  switch (values.length) {
    case 1:
      return native.call(number, values[0]);
    case 2:
      return native.call(number, values[0], values[1]);
    case 3:
      return native.call(number, values[0], values[1], values[2]);
    case 4:
      return native.call(number, values[0], values[1], values[2], values[3]);
    default:
      return native.call(number, ...values);
  }
}

/** Runs an overload that suits the arguments. */
export function run(
  overload: Overload,
  args: readonly unknown[],
  count: number,
  options: Options | undefined,
): unknown {
  const { reshapes, factory } = overload;
  const { results } = overload.schema;
  const values = options === undefined ? args : inOrder(overload, args, count, options);
  const converted = convertAll(overload, values, options === undefined ? count : values.length);
  if (reshapes) shapesMayChange();
  const output = callNative(operatorNumber(overload), converted);
  if (results.length === 0) return undefined;
  if (results.length > 1) {
    return results.map((result, i) => wrapResult((output as unknown[])[i], result, overload, values));
  }
  const result = wrapResult(output, results[0] as Result, overload, values);
  const requiresGrad = factory ? options?.requiresGrad : undefined;
  if (requiresGrad !== undefined) (result as Tensor).requiresGrad = requiresGrad as boolean;
  return result;
}

function isOptions(value: unknown): value is Options {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * Calls any operator of the dispatcher by its exact name, with arguments in their schema's order: `torch.call('aten::add.Tensor', a, b)`.
 *
 * @throws NudgeError `BAD_ARGUMENT` for a name this libtorch does not have.
 */
export function callByName(qualifiedName: string, ...args: unknown[]): unknown {
  let overload = named.get(qualifiedName);
  if (overload === undefined) {
    overload = compileOverload(native.schema(String(qualifiedName)));
    // Keyword-only arguments have a place too here.
    overload.positional = overload.parameters.length;
    overload.needsOptions = false;
    named.set(qualifiedName, overload);
  }
  const count = withoutUndefined(args, args.length);
  if (closeness(overload, args, count, undefined) < 0) {
    throw noOverload({ name: qualifiedName, overloads: [overload], chosen: noChoices() }, args, undefined);
  }
  return run(overload, args, count, undefined);
}

const named = new Map<string, Overload>();
