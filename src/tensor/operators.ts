/**
 * Every ATen operator as a method of Tensor and a function of `torch`.
 *
 * The schemas (`generated/schemas.ts`) say what each overload takes; `overloads.ts` finds the one that a call means. The common
 * shapes of call (no argument; one tensor or number) skip that: they are what a training step does thousands of times.
 */

import { NudgeError } from '../errors.ts';
import { type DType, dtypeCode } from './dtype.ts';
import { SCHEMAS } from './generated/schemas.ts';
import { beginLists, handles, numbers } from './lists.ts';
import { native, type OperatorNumber } from './native.ts';
import {
  choose,
  closeness,
  compileOverload,
  noOverload,
  type OperatorSet,
  type Options,
  type Overload,
} from './overloads.ts';
import type { Generator } from './random.ts';
import { ComplexScalar, FloatScalar, type Scalar } from './scalars.ts';
import { camelCase, type Parameter, type Result } from './schema.ts';
import { Tensor } from './tensor.ts';

const call = native.call;

function operatorNumber(overload: Overload): OperatorNumber {
  overload.number ??= native.operator(overload.schema.qualifiedName);
  return overload.number;
}

// ---- arguments and results ----

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
      return handles((value as (Tensor | null)[]).map(handleOrZero));
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

/** A freed tensor's handle is 0 too, which in a list would read as absent: any other dead handle is refused by the addon. */
function handleOrZero(tensor: Tensor | null): number {
  if (tensor === null) return 0;
  return tensor.handle === 0 ? -1 : tensor.handle;
}

function wrapResult(value: unknown, result: Result, overload: Overload, args: readonly unknown[]): unknown {
  if (result.written !== undefined) {
    const position = overload.parameters.findIndex(({ written }) => written === result.written);
    return forgetShape(args[position]);
  }
  if (value === null || value === undefined) return null;
  if (result.kind === 'tensor') return new Tensor(value as number);
  if (result.kind === 'tensors') return (value as number[]).map((handle) => new Tensor(handle));
  return value;
}

/** In-place operators may change the shape or dtype that a Tensor remembers. */
function forgetShape(value: unknown): unknown {
  if (Array.isArray(value)) for (const element of value) forgetShape(element);
  else if (value instanceof Tensor) {
    value.knownShape = null;
    value.knownDtype = null;
  }
  return value;
}

/** The general way: any overload, positional and named arguments. */
function invoke(set: OperatorSet, args: readonly unknown[]): unknown {
  let count = withoutUndefined(args, args.length);
  const last = args[count - 1];
  const options = isOptions(last) ? last : undefined;
  if (options !== undefined) count = withoutUndefined(args, count - 1);
  const overload =
    set.overloads.length === 1 && options === undefined ? only(set, args, count) : choose(set, args, count, options);
  return run(overload, args, count, options);
}

/** How many arguments are left when the trailing undefined ones are not counted: leaving out and passing undefined are the same. */
function withoutUndefined(args: readonly unknown[], count: number): number {
  let left = count;
  while (left > 0 && args[left - 1] === undefined) left--;
  return left;
}

function only(set: OperatorSet, args: readonly unknown[], count: number): Overload {
  const overload = set.overloads[0] as Overload;
  return closeness(overload, args, count, undefined) < 0 ? choose(set, args, count, undefined) : overload;
}

function run(overload: Overload, args: readonly unknown[], count: number, options: Options | undefined): unknown {
  const { parameters, schema } = overload;
  const { results } = schema;
  beginLists();
  const values: unknown[] = [];
  const converted: unknown[] = [];
  for (let i = 0; i < parameters.length; i++) {
    const parameter = parameters[i] as Parameter;
    values.push(i < count ? args[i] : options?.[parameter.name]);
    converted.push(convert(values[i], parameter));
  }
  const output = call(operatorNumber(overload), ...converted);
  for (let i = 0; i < parameters.length; i++) if (parameters[i]?.written !== undefined) forgetShape(values[i]);
  if (results.length === 0) return undefined;
  if (results.length > 1) {
    return results.map((result, i) => wrapResult((output as unknown[])[i], result, overload, values));
  }
  const result = wrapResult(output, results[0] as Result, overload, values);
  if (overload.factory && options?.requiresGrad === true && result instanceof Tensor) result.requiresGrad = true;
  return result;
}

function isOptions(value: unknown): value is Options {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

// ---- the fast ways ----

type Method = (this: Tensor, ...args: unknown[]) => unknown;

/** The overload that takes exactly these parameters and defaults for the rest, if there is one and it returns one tensor. */
function simple(overloads: readonly Overload[], kinds: readonly Parameter['kind'][]): Overload | undefined {
  return overloads.find(({ parameters, positional, schema }) => {
    const fits = kinds.every((kind, i) => i < positional && parameters[i]?.kind === kind);
    const rest = parameters.slice(kinds.length).every((parameter) => parameter.hasDefault);
    return fits && rest && schema.results.length === 1 && schema.results[0]?.kind === 'tensor';
  });
}

const returnsSelf = (overload: Overload | undefined): boolean => overload?.schema.results[0]?.written !== undefined;

/**
 * The frame: [operator, self, other] in, the result's handle out, in memory that both sides see. Passing them as arguments
 * instead costs a tenth of an addition of small tensors.
 */
const frame = native.frame;

function unaryMethod(set: OperatorSet, overload: Overload): Method {
  const inPlace = returnsSelf(overload);
  return function (...args) {
    if (args.length > 0) return invoke(set, [this, ...args]);
    frame[0] = operatorNumber(overload);
    frame[1] = this.handle;
    native.callUnary();
    return inPlace ? forgetShape(this) : new Tensor(frame[0]);
  };
}

function binaryMethod(set: OperatorSet, withTensor: Overload | undefined, withScalar: Overload | undefined): Method {
  const inPlace = returnsSelf(withTensor ?? withScalar);
  return function (other?: unknown, options?: unknown, ...rest) {
    if (options === undefined && rest.length === 0) {
      const isTensor = other instanceof Tensor;
      const overload = isTensor ? withTensor : typeof other === 'number' ? withScalar : undefined;
      if (overload !== undefined) {
        frame[0] = operatorNumber(overload);
        frame[1] = this.handle;
        frame[2] = isTensor ? other.handle : (other as number);
        if (isTensor) native.callWithTensor();
        else native.callWithNumber();
        return inPlace ? this : new Tensor(frame[0]);
      }
    }
    return invoke(set, [this, other, options, ...rest]);
  };
}

function compileMethod(set: OperatorSet): Method {
  const { overloads } = set;
  const withTensor = simple(overloads, ['tensor', 'tensor']);
  const withScalar = simple(overloads, ['tensor', 'scalar']);
  if (withTensor !== undefined || withScalar !== undefined) return binaryMethod(set, withTensor, withScalar);
  const unary = simple(overloads, ['tensor']);
  if (unary !== undefined) return unaryMethod(set, unary);
  return function (...args) {
    return invoke(set, [this, ...args]);
  };
}

// ---- installing them ----

const compiled = new Map<string, OperatorSet>();

function compileSet(name: string, texts: readonly string[]): OperatorSet {
  let set = compiled.get(name);
  if (set === undefined) {
    set = { name, overloads: texts.map(compileOverload) };
    compiled.set(name, set);
  }
  return set;
}

function isMethod(text: string): boolean {
  return /^[^(]*\(Tensor(\([^)]*\))? self\b/.test(text);
}

/** Compiled at the first call, then in its own place: 1,500 operators cost nothing until they are used. */
function installMethod(name: string, texts: readonly string[]): void {
  const lazy: Method = function (...args) {
    const method = compileMethod(compileSet(name, texts));
    define(Tensor.prototype, name, method);
    return method.apply(this, args);
  };
  define(Tensor.prototype, name, lazy);
}

function define(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
}

/** Installs the methods, and returns the functions for `torch`. What Tensor defines by hand is left alone. */
export function installOperators(): Record<string, (...args: unknown[]) => unknown> {
  const functions: Record<string, (...args: unknown[]) => unknown> = {};
  for (const [aten, texts] of Object.entries(SCHEMAS)) {
    const name = camelCase(aten);
    functions[name] = (...args) => invoke(compileSet(name, texts), args);
    if (texts.some(isMethod) && !Object.hasOwn(Tensor.prototype, name)) installMethod(name, texts);
  }
  return functions;
}

/**
 * Calls any operator of the dispatcher by its exact name, with arguments in their schema's order: `torch.call('aten::add.Tensor', a, b)`.
 *
 * @throws NudgeError `BAD_ARGUMENT` for a name this libtorch does not have.
 */
export function callByName(qualifiedName: string, ...args: unknown[]): unknown {
  let overload = named.get(qualifiedName);
  if (overload === undefined) {
    overload = compileOverload(native.schema(qualifiedName));
    named.set(qualifiedName, overload);
  }
  if (closeness(overload, args, args.length, undefined) < 0 && args.length > overload.positional) {
    // Keyword-only arguments have a place too here.
    overload = { ...overload, positional: overload.parameters.length };
  }
  if (closeness(overload, args, args.length, undefined) < 0) {
    throw noOverload({ name: qualifiedName, overloads: [overload] }, args, undefined);
  }
  return run(overload, args, args.length, undefined);
}

const named = new Map<string, Overload>();
