/**
 * `npm run generate`: writes src/tensor/generated/ from the schemas of the live libtorch.
 *
 *   schemas.ts  what the run time needs: the schema of every overload, by operator
 *   types.ts    what the editor needs: a declaration for every overload, with its schema as documentation
 *
 * tests/generated.test.ts renders both again and fails when they differ from what is committed.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { native } from '../../src/tensor/native.ts';
import { camelCase, type Kind, type Parameter, parseSchema, type Schema } from '../../src/tensor/schema.ts';
import { Tensor } from '../../src/tensor/tensor.ts';

export const FOLDER = fileURLToPath(new URL('../../src/tensor/generated/', import.meta.url));

interface Source {
  text: string;
  schema: Schema;
}

/** Named dimensions are a prototype that torch itself gave up; TorchScript objects, streams and storages have no JavaScript form. */
function isUsable({ text, schema }: Source): boolean {
  if (!text.startsWith('aten::') || /[dD]imname|\.names|str\[1\]/.test(text)) return false;
  return [...schema.parameters, ...schema.results].every(({ kind }) => kind !== 'unsupported');
}

/** The usable overloads of every operator, both in a stable order. */
export function groupByOperator(texts: readonly string[]): Map<string, Source[]> {
  const groups = new Map<string, Source[]>();
  for (const text of [...texts].sort()) {
    const source = { text, schema: parseSchema(text) };
    if (!isUsable(source)) continue;
    const group = groups.get(source.schema.baseName) ?? [];
    group.push(source);
    groups.set(source.schema.baseName, group);
  }
  return new Map([...groups].sort(([a], [b]) => (a < b ? -1 : 1)));
}

const HEADER = `// Made by \`npm run generate\` from the operators of libtorch ${native.version().torch}. Do not edit.\n`;

export function renderSchemas(groups: Map<string, Source[]>): string {
  const entries = [...groups].map(
    ([name, sources]) =>
      `  ${JSON.stringify(name)}: [\n${sources.map(({ text }) => `    ${JSON.stringify(text)},\n`).join('')}  ],\n`,
  );
  return `${HEADER}\n/** The schemas of every operator's overloads. */\nexport const SCHEMAS: Readonly<Record<string, readonly string[]>> = {\n${entries.join('')}};\n`;
}

const TYPES: Record<Kind, string> = {
  tensor: 'Tensor',
  tensors: 'readonly Tensor[]',
  optionalTensors: 'readonly (Tensor | null)[]',
  int: 'Int',
  ints: 'Ints',
  float: 'Float',
  floats: 'readonly number[]',
  scalar: 'Scalar',
  scalars: 'readonly Scalar[]',
  bool: 'boolean',
  bools: 'readonly boolean[]',
  string: 'string',
  strings: 'readonly string[]',
  dtype: 'DType',
  layout: 'Layout',
  memoryFormat: 'MemoryFormat',
  device: 'Device',
  generator: 'Generator',
  unsupported: 'never',
};

const RESULTS: Partial<Record<Kind, string>> = {
  tensor: 'Tensor',
  tensors: 'Tensor[]',
  int: 'number',
  ints: 'number[]',
  float: 'number',
  floats: 'number[]',
  scalar: 'number',
  bool: 'boolean',
  string: 'string',
  dtype: 'number',
};

function parameterType({ kind, nullable, single }: Parameter): string {
  const type = kind === 'ints' && single ? 'Int | Ints' : TYPES[kind];
  return nullable ? `${type} | null` : type;
}

const RESERVED = new Set(['in', 'out', 'with', 'function', 'default', 'this', 'new', 'var']);
const safeName = (name: string): string => (RESERVED.has(name) ? `${name}_` : name);

function optionsType(parameters: readonly Parameter[], factory: boolean): string {
  const fields = parameters.map(
    (parameter) => `${parameter.name}${parameter.hasDefault ? '?' : ''}: ${parameterType(parameter)}`,
  );
  if (factory) fields.push('requiresGrad?: boolean');
  return `{ ${fields.join('; ')} }`;
}

function resultType(schema: Schema, selfAlias: string | undefined): string {
  const types = schema.results.map(({ kind, nullable, written }) => {
    if (written !== undefined && written === selfAlias) return 'this';
    const type = RESULTS[kind] ?? 'unknown';
    return nullable ? `${type} | null` : type;
  });
  if (types.length === 0) return 'void';
  if (types.length === 1) return types[0] as string;
  const labelled = schema.results.every(({ name }) => name !== undefined);
  return `[${types.map((type, i) => (labelled ? `${safeName(schema.results[i]?.name as string)}: ${type}` : type)).join(', ')}]`;
}

/** The parameter lists of an overload: in their places, and with every default given by name. */
function argumentLists(parameters: readonly Parameter[], factory: boolean): string[] {
  const positional = parameters.filter(({ keywordOnly }) => !keywordOnly);
  const keywords = parameters.filter(({ keywordOnly }) => keywordOnly);
  const lastRequired = positional.findLastIndex(({ hasDefault }) => !hasDefault);
  const required = positional.slice(0, lastRequired + 1);
  const defaulted = positional.slice(lastRequired + 1);
  const place = (parameter: Parameter): string =>
    `${safeName(parameter.name)}${parameter.hasDefault && !required.includes(parameter) ? '?' : ''}: ${parameterType(parameter)}`;
  const hasOptions = keywords.length > 0 || factory;
  const mark = keywords.some(({ hasDefault }) => !hasDefault) ? '' : '?';
  const list = (parts: Parameter[], options: Parameter[], optional: string): string =>
    [
      ...parts.map(place),
      ...(options.length > 0 || factory ? [`options${optional}: ${optionsType(options, factory)}`] : []),
    ].join(', ');
  const lists: string[] = [];
  const only = positional.length === 1 ? positional[0] : undefined;
  if (only?.kind === 'ints' && !only.single && mark === '?') lists.push(`...${safeName(only.name)}: number[]`);
  // A required options object cannot follow optional parameters.
  if (mark === '?' || defaulted.length === 0) lists.push(list(positional, keywords, hasOptions ? mark : '?'));
  // Some defaults in their places, the others by name.
  const byName = parameters.some(({ name }) => name === 'out') ? Math.min(1, defaulted.length) : defaulted.length;
  for (let placed = 0; placed < byName; placed++) {
    const given = defaulted.slice(0, placed).map((parameter) => ({ ...parameter, hasDefault: false }));
    lists.push(list([...required, ...given], [...defaulted.slice(placed), ...keywords], placed === 0 ? mark : ''));
  }
  return lists;
}

function documentation(sources: readonly Source[]): string {
  const notes = sources.some(({ schema }) => schema.results.some(({ view }) => view))
    ? ['A view: shares memory with its input.']
    : [];
  const lines = [...notes, ...sources.map(({ text }) => `\`${text.replaceAll('*/', '*\\/')}\``)];
  if (lines.length === 1) return `  /** ${lines[0]} */\n`;
  return `  /**\n${lines.map((line) => `   * ${line}\n`).join('   *\n')}   */\n`;
}

function declarations(name: string, sources: readonly Source[], asMethod: boolean): string {
  const seen = new Set<string>();
  let text = documentation(sources);
  const plainFirst = [...sources].sort((a, b) => Number(isOut(a)) - Number(isOut(b)));
  for (const { schema } of plainFirst) {
    const self = schema.parameters[0];
    const parameters = asMethod ? schema.parameters.slice(1) : schema.parameters;
    const factory = schema.parameters.some((parameter) => parameter.name === 'pinMemory');
    const result = resultType(schema, asMethod ? self?.written : undefined);
    for (const list of argumentLists(parameters, factory)) {
      const signature = `  ${name}(${list}): ${result};\n`;
      if (!seen.has(signature)) text += signature;
      seen.add(signature);
    }
  }
  return text;
}

const isOut = ({ schema }: Source): boolean => schema.parameters.some(({ name }) => name === 'out');
const isMethod = ({ schema }: Source): boolean =>
  schema.parameters[0]?.name === 'self' && schema.parameters[0].kind === 'tensor';

export function renderTypes(groups: Map<string, Source[]>): string {
  const byHand = new Set(Object.getOwnPropertyNames(Tensor.prototype));
  let methods = '';
  let functions = '';
  for (const [aten, sources] of groups) {
    const name = camelCase(aten);
    functions += declarations(name, sources, false);
    const own = sources.filter(isMethod);
    if (own.length > 0 && !byHand.has(name)) methods += declarations(name, own, true);
  }
  return `${HEADER}
import type { DType } from '../dtype.ts';
import type { FloatScalar, Scalar } from '../scalars.ts';
import type { Generator } from '../random.ts';
import type { Device, Tensor } from '../tensor.ts';

type Int = number | bigint;
type Ints = readonly number[];
type Float = number | FloatScalar;
type Layout = 'strided' | 'sparse_coo' | 'sparse_csr' | 'mkldnn' | 'sparse_csc' | 'sparse_bsr' | 'sparse_bsc';
type MemoryFormat = 'contiguous' | 'preserve' | 'channelsLast' | 'channelsLast3d';

/** The operators whose first argument is the tensor itself. */
export interface TensorMethods {
${methods}}

/** Every operator. */
export interface TorchFunctions {
${functions}}
`;
}

function main(): void {
  const groups = groupByOperator(native.schemas());
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(`${FOLDER}schemas.ts`, renderSchemas(groups));
  writeFileSync(`${FOLDER}types.ts`, renderTypes(groups));
  const overloads = [...groups.values()].reduce((sum, sources) => sum + sources.length, 0);
  console.log(`${groups.size} operators, ${overloads} overloads`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
