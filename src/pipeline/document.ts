/** A YAML file checked against a schema: a mistake is shown with its line and, where a name is wrong, the nearest right one. */
import { LineCounter, type Node, parseDocument } from 'yaml';
import * as z from 'zod';
import { NudgeError } from '../errors.ts';
import { nearest } from './nearest.ts';

/** What a schema said about one place of the file. */
interface Complaint {
  readonly path: readonly PropertyKey[];
  /** The key that is wrong, in place of its value. */
  readonly key?: string;
  readonly text: string;
}

/** Mistakes that are shown at once. */
const SHOWN = 10;

/**
 * Parses and checks a configuration.
 *
 * @param file shown in errors.
 * @throws NudgeError BAD_FILE, with every mistake's line and column.
 */
export function parseYaml<Schema extends z.ZodType>(text: string, schema: Schema, file: string): z.output<Schema> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const [mistake] = document.errors;
  if (mistake !== undefined) {
    const { line, col } = lines.linePos(mistake.pos[0]);
    throw new NudgeError('BAD_FILE', 'This is no YAML.', { path: `${file}:${line}:${col}`, received: mistake.message });
  }
  const result = schema.safeParse(document.toJS({ maxAliasCount: 100 }) ?? {}, { reportInput: true });
  if (result.success) return result.data;
  const complaints = result.error.issues.flatMap((issue) => complaintsOf(issue, schema));
  const described = complaints.map((complaint) => {
    const { line, col } = lines.linePos(offsetOf(document.contents, complaint));
    return { line, text: `${file}:${line}:${col}  ${placeOf(complaint)}${complaint.text}` };
  });
  described.sort((a, b) => a.line - b.line);
  const more = described.length > SHOWN ? [`and ${described.length - SHOWN} more`] : [];
  throw new NudgeError('BAD_FILE', `The configuration has ${count(described.length, 'mistake')}.`, {
    path: file,
    received: [...described.slice(0, SHOWN).map(({ text }) => text), ...more].join('\n            '),
    remedy: 'Correct these lines. `nudge init --stdout` prints a configuration with every key explained.',
  });
}

function complaintsOf(issue: z.core.$ZodIssue, schema: z.ZodType): Complaint[] {
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) => ({ path: issue.path, key, text: unknownKey(key, known) }));
  }
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String);
    const guess = typeof issue.input === 'string' ? nearest(issue.input, values) : null;
    const meant = guess === null ? '' : `; did you mean ${guess}?`;
    return [{ path: issue.path, text: `must be one of ${values.join(', ')}${meant}` }];
  }
  return [{ path: issue.path, text: issue.message.replace(/^Invalid input: /, '') }];
}

function unknownKey(key: string, known: readonly string[]): string {
  const guess = nearest(key, known);
  if (guess !== null) return `there is no such key; did you mean ${guess}?`;
  return `there is no such key${known.length === 0 ? '' : `; there are ${known.join(', ')}`}`;
}

/** The keys that an object of the schema may have at a place; none where it is no object. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let here: z.ZodType | null = unwrap(schema);
  for (const part of path) {
    if (here instanceof z.ZodObject) here = unwrap(here.shape[String(part)] as z.ZodType);
    else if (here instanceof z.ZodArray) here = unwrap(here.element as z.ZodType);
    else return [];
  }
  return here instanceof z.ZodObject ? Object.keys(here.shape) : [];
}

/** The object inside of defaults, options and alternatives. */
function unwrap(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodUnion) {
    const object = (schema.options as z.ZodType[]).map(unwrap).find((option) => option instanceof z.ZodObject);
    return object ?? schema;
  }
  const inner = (schema as { unwrap?: () => z.ZodType }).unwrap;
  return schema instanceof z.ZodArray || inner === undefined ? schema : unwrap(inner.call(schema));
}

function placeOf({ path, key }: Complaint): string {
  const place = [...path.map(String), ...(key === undefined ? [] : [key])].join('.');
  return place === '' ? '' : `${place}: `;
}

/** Where a complaint's key or value begins: where it is missing, the value that should hold it. */
function offsetOf(contents: Node | null, { path, key }: Complaint): number {
  let node: unknown = contents;
  let offset = contents?.range?.[0] ?? 0;
  for (const part of [...path, ...(key === undefined ? [] : [key])]) {
    const found = childOf(node, part);
    if (found === null) return offset;
    offset = found.offset;
    node = found.value;
  }
  return offset;
}

function childOf(node: unknown, part: PropertyKey): { offset: number; value: unknown } | null {
  const { items } = (node ?? {}) as { items?: unknown[] };
  if (items === undefined) return null;
  if (typeof part === 'number') {
    const item = items[part] as Node | undefined;
    return item === undefined ? null : { offset: item.range?.[0] ?? 0, value: item };
  }
  for (const item of items as { key?: Node & { value?: unknown }; value?: unknown }[]) {
    if (String(item.key?.value) === String(part)) return { offset: item.key?.range?.[0] ?? 0, value: item.value };
  }
  return null;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
