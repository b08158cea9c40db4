/**
 * Every ATen operator as a method of Tensor and a function of `torch`.
 *
 * The schemas (`generated/schemas.ts`) say what each overload takes; `overloads.ts` finds the one that a call means and
 * `invoke.ts` calls it. The common shapes of call (no argument; one tensor or number) skip that: they are what a training step
 * does thousands of times.
 */

import { SCHEMAS } from './generated/schemas.ts';
import { invoke, operatorNumber } from './invoke.ts';
import { native } from './native.ts';
import { compileOverload, noChoices, type OperatorSet, type Overload } from './overloads.ts';
import { camelCase, type Parameter } from './schema.ts';
import { shapesMayChange, Tensor } from './tensor.ts';

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
    if (overload.reshapes) shapesMayChange();
    frame[0] = operatorNumber(overload);
    frame[1] = this.handle;
    native.callUnary();
    return inPlace ? this : new Tensor(frame[0]);
  };
}

function binaryMethod(set: OperatorSet, withTensor: Overload | undefined, withScalar: Overload | undefined): Method {
  const inPlace = returnsSelf(withTensor ?? withScalar);
  return function (other?: unknown, options?: unknown, ...rest) {
    if (options === undefined && rest.length === 0) {
      const isTensor = other instanceof Tensor;
      const overload = isTensor ? withTensor : typeof other === 'number' ? withScalar : undefined;
      if (overload !== undefined) {
        if (overload.reshapes) shapesMayChange();
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
    set = { name, overloads: texts.map(compileOverload), chosen: noChoices() };
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
    let set: OperatorSet | undefined;
    functions[name] = (...args) => {
      set ??= compileSet(name, texts);
      return invoke(set, args);
    };
    if (texts.some(isMethod) && !Object.hasOwn(Tensor.prototype, name)) installMethod(name, texts);
  }
  return functions;
}
