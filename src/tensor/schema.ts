/**
 * ATen schemas as data: `aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor`.
 *
 * Parsed on an operator's first call, and by the generator of the declarations.
 */

import { InvariantError } from '../errors.ts';

/** What an argument takes, as far as JavaScript can tell values apart. */
export type Kind =
  | 'tensor'
  | 'tensors'
  | 'optionalTensors'
  | 'int'
  | 'ints'
  | 'float'
  | 'floats'
  | 'scalar'
  | 'scalars'
  | 'bool'
  | 'bools'
  | 'string'
  | 'strings'
  | 'dtype'
  | 'layout'
  | 'memoryFormat'
  | 'device'
  | 'generator'
  | 'unsupported';

export interface Parameter {
  /** In camelCase, as options name it. */
  name: string;
  kind: Kind;
  /** null is a legal value. */
  nullable: boolean;
  /** A list that may be given as one element (`int[2]`). */
  single: boolean;
  hasDefault: boolean;
  /** The default as ATen writes it; for documentation. */
  defaultText: string | undefined;
  keywordOnly: boolean;
  /** The operator writes to it; the letter of its alias set. */
  written: string | undefined;
}

export interface Result {
  name: string | undefined;
  kind: Kind;
  nullable: boolean;
  /** The alias set of a written argument that this result is. */
  written: string | undefined;
  /** The result shares memory with an argument. */
  view: boolean;
}

export interface Schema {
  /** `aten::add.Tensor` */
  qualifiedName: string;
  /** `add` */
  baseName: string;
  parameters: Parameter[];
  results: Result[];
}

const KINDS: Record<string, Kind> = {
  Tensor: 'tensor',
  int: 'int',
  SymInt: 'int',
  float: 'float',
  Scalar: 'scalar',
  bool: 'bool',
  SymBool: 'bool',
  str: 'string',
  ScalarType: 'dtype',
  Layout: 'layout',
  MemoryFormat: 'memoryFormat',
  Device: 'device',
  Generator: 'generator',
};

const LISTS: Partial<Record<Kind, Kind>> = {
  tensor: 'tensors',
  int: 'ints',
  float: 'floats',
  scalar: 'scalars',
  bool: 'bools',
  string: 'strings',
};

/** snake_case to camelCase; leading and trailing underscores mean something in torch and stay. */
export function camelCase(name: string): string {
  const lead = /^_*/.exec(name)?.[0] ?? '';
  const tail = name.length > lead.length ? (/_*$/.exec(name)?.[0] ?? '') : '';
  const core = name.slice(lead.length, name.length - tail.length);
  return lead + core.replace(/_+([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase()) + tail;
}

/** Splits at commas that are not inside brackets or quotes. */
function splitTopLevel(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quoted = false;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i] as string;
    if (c === '"') quoted = !quoted;
    if (quoted) continue;
    if (c === '(' || c === '[') depth++;
    if (c === ')' || c === ']') depth--;
    if (c === ',' && depth === 0) {
      parts.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  const last = text.slice(start).trim();
  if (last !== '') parts.push(last);
  return parts;
}

interface ParsedType {
  kind: Kind;
  nullable: boolean;
  single: boolean;
  written: string | undefined;
  alias: boolean;
}

const TYPE = /^([A-Za-z_][\w.]*)(?:\(([^)]*)\))?(\?)?(?:\[(\d*)\])?(?:\(([^)]*)\))?(\?)?$/;

function parseType(text: string): ParsedType {
  const match = TYPE.exec(text);
  if (match === null) return { kind: 'unsupported', nullable: false, single: false, written: undefined, alias: false };
  const [, base = '', elementAlias, innerOptional, length, listAlias, outerOptional] = match;
  const alias = elementAlias ?? listAlias;
  const element = KINDS[base] ?? 'unsupported';
  const isList = length !== undefined;
  let kind: Kind = element;
  if (isList)
    kind =
      innerOptional === '?'
        ? element === 'tensor'
          ? 'optionalTensors'
          : 'unsupported'
        : (LISTS[element] ?? 'unsupported');
  return {
    kind,
    nullable: isList ? outerOptional === '?' : innerOptional === '?' || outerOptional === '?',
    single: isList && length !== '',
    written: alias?.includes('!') ? alias.replace(/!.*/, '') : undefined,
    alias: alias !== undefined,
  };
}

function parseParameter(text: string, keywordOnly: boolean): Parameter {
  const equals = text.indexOf('=');
  const declaration = equals < 0 ? text : text.slice(0, equals);
  const space = declaration.lastIndexOf(' ');
  const { kind, nullable, single, written } = parseType(declaration.slice(0, space));
  return {
    name: camelCase(declaration.slice(space + 1)),
    kind,
    nullable,
    single,
    hasDefault: equals >= 0,
    defaultText: equals < 0 ? undefined : text.slice(equals + 1),
    keywordOnly,
    written,
  };
}

function parseResult(text: string): Result {
  const named = TYPE.exec(text) === null ? /^(.*) ([A-Za-z_]\w*)$/.exec(text) : null;
  const type = parseType(named?.[1] ?? text);
  return {
    name: named?.[2] === undefined ? undefined : camelCase(named[2]),
    kind: type.kind,
    nullable: type.nullable,
    written: type.written,
    view: type.alias && type.written === undefined,
  };
}

export function parseSchema(text: string): Schema {
  const open = text.indexOf('(');
  const arrow = text.lastIndexOf(' -> ');
  if (open < 0 || arrow < 0) throw new InvariantError(`not an ATen schema: ${text}`);
  const qualifiedName = text.slice(0, open);
  let keywordOnly = false;
  const parameters: Parameter[] = [];
  for (const part of splitTopLevel(text.slice(open + 1, text.lastIndexOf(')', arrow)))) {
    if (part === '*') keywordOnly = true;
    else parameters.push(parseParameter(part, keywordOnly));
  }
  const returns = text.slice(arrow + 4).trim();
  const inner = returns.startsWith('(') ? returns.slice(1, -1) : returns;
  return {
    qualifiedName,
    baseName: qualifiedName.replace(/^.*::/, '').replace(/\..*$/, ''),
    parameters,
    results: splitTopLevel(inner).map(parseResult),
  };
}
