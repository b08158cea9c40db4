/**
 * Tensors for people: nested arrays, and the text that PyTorch prints, character by character.
 *
 * The rules are those of `torch.Tensor.__repr__` with its default options: four decimals, lines of 80 characters, and beyond
 * 1000 elements only the first and last three of each dimension. Only what is shown is read from the tensor.
 *
 * One difference: which operation made a tensor is not known here, so where PyTorch prints `grad_fn=<MulBackward0>` this
 * prints `requires_grad=True`.
 */

import { NudgeError } from '../errors.ts';
import { type DType, isFloatingDType } from './dtype.ts';
import { type Complex, type Element, elements } from './elements.ts';
import { native } from './native.ts';
import { scope } from './scope.ts';
import type { Tensor } from './tensor.ts';

/** Arrays nested as deep as the tensor has dimensions; the bare element where it has none. */
export type Nested = Element | Nested[];

const PRECISION = 4;
const LINE_WIDTH = 80;
/** Tensors of more elements are summarised, */
const THRESHOLD = 1000;
/** to this many at both ends of each dimension. */
const EDGE = 3;

const PREFIX = 'tensor(';

/** `tolist()`: every element, in nested arrays. 16-bit and 8-bit floats become numbers, complex ones `{ re, im }`. */
export function nest(tensor: Tensor): Nested {
  const flat = elements(tensor.dtype, tensor.data());
  const { shape } = tensor;
  let next = 0;
  const build = (dim: number): Nested => {
    const size = shape[dim];
    if (size === undefined) return flat[next] as Element;
    if (dim < shape.length - 1) return Array.from({ length: size }, () => build(dim + 1));
    next += size;
    return flat.slice(next - size, next);
  };
  return build(0);
}

/** What `print(tensor)` shows in PyTorch; `tensor(<freed>)` where there is none any more. Never throws for what a tensor is. */
export function format(tensor: Tensor): string {
  if (!native.isLive(tensor.handle)) return `${PREFIX}<freed>)`;
  const { shape, dtype, device } = tensor;
  const size = `size=(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`;
  const suffixes: string[] = [];
  if (device !== 'cpu') suffixes.push(`device='${device}'`);
  let body: string;
  let dtypeIsPlain = dtype === 'float32';
  if (device === 'meta') {
    body = '...';
    suffixes.push(size);
  } else if (tensor.numel() === 0) {
    body = '[]';
    if (shape.length !== 1) suffixes.push(size);
  } else {
    body = formatElements(tensor);
    dtypeIsPlain ||= dtype === 'int64' || dtype === 'bool' || dtype === 'complex64';
  }
  if (!dtypeIsPlain) suffixes.push(`dtype=torch.${dtype}`);
  if (tensor.requiresGrad) suffixes.push('requires_grad=True');
  return addSuffixes(PREFIX + body, suffixes);
}

/** Each suffix goes on the last line while it fits there. */
function addSuffixes(text: string, suffixes: readonly string[]): string {
  let result = text;
  // PyTorch takes the last line for two characters longer than it is, and forgets the comma of a suffix that moved.
  let length = text.length - text.lastIndexOf('\n') + 1;
  for (const suffix of suffixes) {
    if (length + suffix.length + 2 > LINE_WIDTH) {
      result += `,\n${' '.repeat(PREFIX.length)}${suffix}`;
      length = PREFIX.length + suffix.length;
    } else {
      result += `, ${suffix}`;
      length += suffix.length + 2;
    }
  }
  return `${result})`;
}

function formatElements(tensor: Tensor): string {
  const summarised = tensor.numel() > THRESHOLD;
  let shown: Nested;
  try {
    shown = summarised ? readEdges(tensor) : nest(tensor);
  } catch (error) {
    // A log line must not fail on top of what made the elements unreadable: a device in an error state, a sparse layout.
    if (!(error instanceof NudgeError)) throw error;
    return `<unreadable: ${error.message.split('\n', 1)[0]}>`;
  }
  const cut = tensor.shape.map((size) => summarised && size > 2 * EDGE);
  return layOut(shown, cut, columnFor(tensor.dtype, shown));
}

// ---- which elements ----

/** The elements that a summary shows. Views are cut down in every dimension before anything is copied. */
function readEdges(tensor: Tensor): Nested {
  const read = (view: Tensor, dim: number): Nested => {
    const size = view.shape[dim];
    if (size === undefined) return nest(view);
    if (size <= 2 * EDGE) return read(view, dim + 1);
    const start = read(view.narrow(dim, 0, EDGE), dim + 1);
    const end = read(view.narrow(dim, size - EDGE, EDGE), dim + 1);
    return concatenate(start, end, dim);
  };
  return scope(() => read(tensor.detach(), 0));
}

function concatenate(a: Nested, b: Nested, dim: number): Nested {
  const [left, right] = [a as Nested[], b as Nested[]];
  if (dim === 0) return [...left, ...right];
  return left.map((child, i) => concatenate(child, right[i] as Nested, dim - 1));
}

// ---- how each is written ----

/** Writes the elements of one tensor, padded to one width. */
interface Column<T> {
  width: number;
  write(value: T): string;
}

function columnFor(dtype: DType, shown: Nested): Column<Element> {
  const values = flatten(shown);
  if (dtype.startsWith('complex')) return complexColumn(values as Complex[]) as Column<Element>;
  if (isFloatingDType(dtype)) return floatColumn(values as number[]) as Column<Element>;
  const plain = (value: Element): string => {
    if (typeof value === 'boolean') return value ? 'True' : 'False';
    return String(value);
  };
  return padded(plain, values);
}

function flatten(shown: Nested): Element[] {
  return Array.isArray(shown) ? shown.flatMap(flatten) : [shown];
}

function padded<T>(write: (value: T) => string, widest: readonly T[]): Column<T> {
  const width = widest.reduce((most, value) => Math.max(most, write(value).length), 1);
  return { width, write: (value) => write(value).padStart(width) };
}

/** Zeros and what is not finite have no say in the notation, nor in the width. */
function floatColumn(values: readonly number[]): Column<number> {
  const telling = values.filter((value) => Number.isFinite(value) && value !== 0);
  let largest = 0;
  let smallest = Number.POSITIVE_INFINITY;
  for (const value of telling) {
    largest = Math.max(largest, Math.abs(value));
    smallest = Math.min(smallest, Math.abs(value));
  }
  const needsExponent = largest / smallest > 1000 || largest > 1e8 || smallest < 1e-4;
  if (needsExponent) return padded(withExponent, telling);
  return padded(telling.every(Number.isInteger) ? wholeNumber : withDecimals, telling);
}

/** The imaginary part is not padded: it stands right behind its sign. */
function complexColumn(values: readonly Complex[]): Column<Complex> {
  const real = floatColumn(values.map(({ re }) => re));
  const imaginary = floatColumn(values.map(({ im }) => im));
  return {
    width: real.width + imaginary.width + 1,
    write: ({ re, im }) => {
      const text = imaginary.write(im).trimStart();
      return `${real.write(re)}${text.startsWith('-') ? '' : '+'}${text}j`;
    },
  };
}

function notFinite(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  return value > 0 ? 'inf' : '-inf';
}

/** JavaScript writes -0 without its sign. */
function signOf(value: number): string {
  return value < 0 || Object.is(value, -0) ? '-' : '';
}

function wholeNumber(value: number): string {
  return Number.isFinite(value) ? `${signOf(value)}${Math.abs(value)}.` : notFinite(value);
}

function withDecimals(value: number): string {
  if (!Number.isFinite(value)) return notFinite(value);
  return signOf(value) + roundedToEven((digits) => Math.abs(value).toFixed(digits));
}

function withExponent(value: number): string {
  if (!Number.isFinite(value)) return notFinite(value);
  const text = roundedToEven((digits) => Math.abs(value).toExponential(digits));
  // 1.0000e+5 -> 1.0000e+05
  return signOf(value) + text.replace(/e([+-])(\d)$/, 'e$10$2');
}

/**
 * JavaScript rounds a decimal tie up, Python to the even digit: 0.03125 is 0.0313 in the one and 0.0312 in the other.
 * A tie shows in the exact decimal digits: a 5 after the last one kept, and zeros from there on.
 */
function roundedToEven(write: (digits: number) => string): string {
  const withOneMore = write(PRECISION + 1);
  const [, kept, exponent = ''] = /^(\d+\.\d*[02468])5(e.*)?$/.exec(withOneMore) ?? [];
  if (kept === undefined) return write(PRECISION);
  const isTie = /^50*(e|$)/.test(write(100).slice(kept.length));
  return isTie ? kept + exponent : write(PRECISION);
}

// ---- where each stands ----

/** Joins the written elements to lines, brackets and blank lines. `cut` says which dimensions lost their middle. */
function layOut(shown: Nested, cut: readonly boolean[], column: Column<Element>): string {
  const dims = cut.length;
  const render = (node: Nested, depth: number): string => {
    if (depth === dims) return column.write(node as Element);
    const indent = PREFIX.length + depth;
    const children = (node as Nested[]).map((child) => render(child, depth + 1));
    const isRow = depth === dims - 1;
    if (cut[depth]) children.splice(EDGE, 0, isRow ? ' ...' : '...');
    if (isRow) return `[${wrap(children, indent, column.width).join(`,\n${' '.repeat(indent + 1)}`)}]`;
    return `[${children.join(`,${'\n'.repeat(dims - 1 - depth)}${' '.repeat(indent + 1)}`)}]`;
  };
  return render(shown, 0);
}

function wrap(words: readonly string[], indent: number, width: number): string[] {
  const perLine = Math.max(1, Math.floor((LINE_WIDTH - indent) / (width + ', '.length)));
  const lines: string[] = [];
  for (let i = 0; i < words.length; i += perLine) lines.push(words.slice(i, i + perLine).join(', '));
  return lines;
}
