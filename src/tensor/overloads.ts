/**
 * Which overload a call means: decided from the types of its arguments, never by trying one and catching the error.
 */

import { NudgeError } from '../errors.ts';
import { atCaller } from './caller.ts';
import type { OperatorNumber } from './native.ts';
import { nearest } from './options.ts';
import { Generator } from './random.ts';
import { ComplexScalar, FloatScalar } from './scalars.ts';
import { camelCase, type Parameter, parseSchema, type Schema } from './schema.ts';
import { describe, Tensor } from './tensor.ts';

export type Options = Record<string, unknown>;

/** One schema of an operator, ready to be matched against a call. */
export interface Overload {
  schema: Schema;
  parameters: readonly Parameter[];
  /** How many arguments may be given in their place. */
  positional: number;
  byName: ReadonlyMap<string, number>;
  /** Has arguments that can only be given by name, and must be: those of the `out` forms. */
  needsOptions: boolean;
  /** May change the shape of a tensor that exists: in place, or of an `out`. */
  reshapes: boolean;
  /** Makes a new tensor from nothing; takes `requiresGrad` besides. */
  factory: boolean;
  number: OperatorNumber | undefined;
}

/** All overloads of one operator. */
export interface OperatorSet {
  name: string;
  overloads: readonly Overload[];
  /** The overloads chosen so far, by the types of the arguments. */
  chosen: Choices;
}

/** In-place operators that change more than the elements. */
const RESHAPING =
  /^_?(resize|set|squeeze|unsqueeze|transpose|t|swapaxes|swapdims|as_strided|sparse_resize|rename|resize_as|resize_output)\w*_$|^set_data$/;

export function compileOverload(text: string): Overload {
  const schema = parseSchema(text);
  const { parameters } = schema;
  const firstKeyword = parameters.findIndex((parameter) => parameter.keywordOnly);
  return {
    schema,
    parameters,
    positional: firstKeyword < 0 ? parameters.length : firstKeyword,
    needsOptions: parameters.some(({ keywordOnly, hasDefault }) => keywordOnly && !hasDefault),
    byName: new Map(parameters.map((parameter, i) => [parameter.name, i])),
    reshapes:
      RESHAPING.test(schema.baseName) ||
      parameters.some(({ keywordOnly, written }) => keywordOnly && written !== undefined),
    factory: parameters.some((parameter) => parameter.name === 'pinMemory'),
    number: undefined,
  };
}

/** How well a value suits a parameter: 0 not at all, 1 by conversion, 2 exactly. */
function suits(value: unknown, { kind, nullable, single, hasDefault }: Parameter): number {
  if (value === null || value === undefined) return nullable || hasDefault ? 2 : 0;
  const type = typeof value;
  const isNumber = type === 'number' || type === 'bigint';
  switch (kind) {
    case 'tensor':
      return value instanceof Tensor ? 2 : 0;
    case 'tensors':
      return isList(value) && every(value, (element) => element instanceof Tensor) ? 2 : 0;
    case 'optionalTensors':
      return isList(value) && every(value, (element) => element === null || element instanceof Tensor) ? 2 : 0;
    case 'int':
      return type === 'bigint' || Number.isInteger(value) ? 2 : 0;
    case 'float':
      return type === 'number' ? 2 : value instanceof FloatScalar ? 2 : 0;
    case 'scalar':
      return isNumber || type === 'boolean' || value instanceof FloatScalar || value instanceof ComplexScalar ? 2 : 0;
    case 'ints':
      if (isNumber) return single && (type === 'bigint' || Number.isInteger(value)) ? 1 : 0;
      return isNumberList(value) && every(value, (element) => typeof element === 'bigint' || Number.isInteger(element))
        ? 2
        : 0;
    case 'floats':
      return isNumberList(value) && every(value, (element) => typeof element === 'number') ? 2 : 0;
    case 'scalars':
      return isList(value) && every(value, (element) => typeof element === 'number' || element instanceof FloatScalar)
        ? 1
        : 0;
    case 'bools':
      return isList(value) && every(value, (element) => typeof element === 'boolean') ? 2 : 0;
    case 'bool':
      return type === 'boolean' ? 2 : 0;
    case 'strings':
      return isList(value) && every(value, (element) => typeof element === 'string') ? 2 : 0;
    case 'generator':
      return value instanceof Generator ? 2 : 0;
    case 'unsupported':
      return 0;
    default:
      return type === 'string' ? 2 : 0; // string, dtype, device, layout, memoryFormat
  }
}

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);

type NumberList = ArrayLike<number | bigint>;

function isNumberList(value: unknown): value is NumberList {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

/** Unlike Array.every, it sees the holes of a sparse list. */
function every(list: ArrayLike<unknown>, test: (element: unknown) => boolean): boolean {
  for (let i = 0; i < list.length; i++) if (!test(list[i])) return false;
  return true;
}

/** -1 when the overload cannot take the call; otherwise higher for a closer fit. */
export function closeness(
  overload: Overload,
  args: readonly unknown[],
  count: number,
  options: Options | undefined,
): number {
  const { parameters, positional, byName, factory, needsOptions } = overload;
  if (count > positional || (needsOptions && options === undefined)) return -1;
  let score = 0;
  let named = 0;
  for (let i = 0; i < parameters.length; i++) {
    const parameter = parameters[i] as Parameter;
    const given = i < count;
    const value = given ? args[i] : options?.[parameter.name];
    if (!given && options !== undefined && parameter.name in options) named++;
    if (value === undefined) {
      if (!parameter.hasDefault) return -1;
      continue;
    }
    const suitability = suits(value, parameter);
    if (suitability === 0) return -1;
    score += suitability === 2 ? 100 : 50;
  }
  if (options !== undefined && named < Object.keys(options).length) {
    for (const key of Object.keys(options)) if (!byName.has(key) && !(key === 'requiresGrad' && factory)) return -1;
    for (const key of Object.keys(options)) if ((byName.get(key) ?? count) < count) return -1;
  }
  // Of two that take the call, the one with less left to its defaults was meant: sum(x) over sum(x, dim=None).
  return score * 100 - parameters.length + 64;
}

/** The overloads chosen so far, by the types of the arguments; and how it goes on with the name of an option. */
export interface Choices {
  overloads: Map<number, Overload>;
  next: Map<string, Choices>;
}

export const noChoices = (): Choices => ({ overloads: new Map(), next: new Map() });

/** The overload that suits the call best, or undefined when none does. */
export function choose(
  set: OperatorSet,
  args: readonly unknown[],
  count: number,
  options: Options | undefined,
): Overload | undefined {
  // The choice depends on the types alone (and on which options are named), so calls of the same types need not search again.
  let key = signature(args, count);
  if (key === 0) return search(set, args, count, options);
  let choices: Choices | undefined = set.chosen;
  for (const name in options) {
    const code = typeCode(options[name]);
    key = code < 0 || key > 2 ** 44 ? 0 : key * 16 + code;
    choices = choices?.next.get(name);
    if (key === 0) return search(set, args, count, options);
  }
  const known = choices?.overloads.get(key);
  if (known !== undefined) return known;
  const overload = search(set, args, count, options);
  // Only what was found is remembered: the names of options may come from anywhere.
  if (overload !== undefined) remember(set.chosen, options, key, overload);
  return overload;
}

function remember(chosen: Choices, options: Options | undefined, key: number, overload: Overload): void {
  let choices = chosen;
  for (const name in options) {
    let next = choices.next.get(name);
    if (next === undefined) {
      next = noChoices();
      choices.next.set(name, next);
    }
    choices = next;
  }
  choices.overloads.set(key, overload);
}

function search(
  { overloads }: OperatorSet,
  args: readonly unknown[],
  count: number,
  options: Options | undefined,
): Overload | undefined {
  let best: Overload | undefined;
  let bestScore = -1;
  for (const overload of overloads) {
    const score = closeness(overload, args, count, options);
    if (score > bestScore) {
      best = overload;
      bestScore = score;
    }
  }
  return best;
}

/** A number for the types of the arguments, four bits each; 0 where it would not say enough. */
function signature(args: readonly unknown[], count: number): number {
  if (count > 12) return 0;
  let key = 1;
  for (let i = 0; i < count; i++) {
    const code = typeCode(args[i]);
    if (code < 0) return 0;
    key = key * 16 + code;
  }
  return key;
}

function typeCode(value: unknown): number {
  if (value instanceof Tensor) return 2;
  switch (typeof value) {
    case 'undefined':
      return 0;
    case 'number':
      return Number.isInteger(value) ? 3 : 4;
    case 'boolean':
      return 5;
    case 'string':
      return 6;
    case 'bigint':
      return 7;
    default:
      return value === null ? 1 : Array.isArray(value) ? listCode(value) : -1;
  }
}

/** Lists of integers and of tensors, by far the most; empty, mixed and other lists take the long way. */
function listCode(list: readonly unknown[]): number {
  // Lists of lists are no argument of any operator, and may hold themselves.
  const code = Array.isArray(list[0]) ? -1 : typeCode(list[0]);
  if (code !== 2 && code !== 3) return -1;
  for (let i = 1; i < list.length; i++) if (Array.isArray(list[i]) || typeCode(list[i]) !== code) return -1;
  return code + 6;
}

/** `zeros(2, 3)` and `x.view(2, -1)`: where an operator takes one list of integers and nothing else, they may come without brackets. */
export function gatherIntegers(set: OperatorSet, args: readonly unknown[], count: number): unknown[] | undefined {
  const first = args[0] instanceof Tensor ? 1 : 0;
  const integers = args.slice(first, count);
  if (integers.length === 0 || !integers.every((value) => Number.isInteger(value))) return undefined;
  const takesThem = set.overloads.some(({ parameters, positional }) => {
    const list = parameters[first];
    return positional === first + 1 && list?.kind === 'ints' && !list.single;
  });
  return takesThem ? [...args.slice(0, first), integers, ...args.slice(count)] : undefined;
}

export function noOverload(
  { name, overloads }: OperatorSet,
  args: readonly unknown[],
  options: Options | undefined,
): NudgeError {
  const given = args.map((value) => describeValue(value));
  if (options !== undefined) {
    given.push(
      `{ ${Object.entries(options)
        .map(([key, value]) => `${key}: ${describeValue(value)}`)
        .join(', ')} }`,
    );
  }
  const forms = overloads.filter((overload) => !overload.parameters.some(({ name: key }) => key === 'out'));
  const remedy = unknownOption(overloads, options);
  return atCaller(
    new NudgeError('OPERATOR_ARGUMENT', `no form of ${name} takes these arguments`, {
      received: `${name}(${given.join(', ')})`,
      expected: (forms.length > 0 ? forms : overloads).map(describeOverload).join('\n            '),
      ...(remedy !== undefined && { remedy }),
    }),
  );
}

function unknownOption(overloads: readonly Overload[], options: Options = {}): string | undefined {
  const known = new Set(overloads.flatMap(({ byName }) => [...byName.keys()]));
  const unknown = Object.keys(options).find((key) => !known.has(key) && key !== 'requiresGrad');
  if (unknown === undefined) return undefined;
  const meant = nearest(known, unknown);
  return `There is no option '${unknown}'${meant === undefined ? '' : `: write '${meant}'`}.`;
}

function describeOverload({ schema, parameters, positional }: Overload): string {
  const show = ({ name, kind, nullable, defaultText }: Parameter) =>
    `${name}: ${kind}${nullable ? ' | null' : ''}${defaultText === undefined ? '' : ` = ${defaultText}`}`;
  const parts = parameters.slice(0, positional).map(show);
  if (positional < parameters.length) parts.push(`{ ${parameters.slice(positional).map(show).join(', ')} }`);
  return `${camelCase(schema.baseName)}(${parts.join(', ')})`;
}

function describeValue(value: unknown, depth = 0): string {
  if (value instanceof Tensor) return value.isDisposed ? 'a freed Tensor' : describe(value);
  if (Array.isArray(value)) {
    if (depth > 2) return '[...]';
    const shown = value.slice(0, 6).map((element) => describeValue(element, depth + 1));
    return `[${shown.join(', ')}${value.length > 6 ? `, ... ${value.length} in all` : ''}]`;
  }
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
  return typeof value === 'object' && value !== null ? className(value) : String(value);
}

/** A getter of a hostile object may throw; the error about the call must not be lost to it. */
function className(value: object): string {
  try {
    return String(value.constructor.name);
  } catch {
    return 'object';
  }
}
