/** Every case of scripts/golden/indexing.py: `x.at(...)` and `x.put(...)` against Python's `x[...]`. */
import { expect, test } from 'vitest';
import { type Index, slice, type Tensor, torch } from '../../src/tensor/index.ts';
import { decode, decodeTensor, type Encoded, type EncodedTensor, expectGolden, loadCases } from './load.ts';

type EncodedIndex = number | null | '...' | EncodedTensor | { slice: [number | null, number | null, number | null] };

interface IndexingCase {
  x: EncodedTensor;
  index: EncodedIndex[];
  /** Given: a write. */
  value?: Encoded;
  /** What was read, or x after the write. */
  out: Encoded | { error: string };
}

const EXACT = { rtol: 0, atol: 0 };
const all = loadCases<IndexingCase>('indexing').map((golden, i) => ({ ...golden, title: `${i} ${show(golden)}` }));

test.each(all)('$title', (golden) => {
  torch.scope(() => {
    if (isRefusal(golden.out)) expect(() => run(golden)).toThrow();
    else expectGolden(run(golden), golden.out, EXACT);
  });
});

function run({ x, index, value }: IndexingCase): Tensor {
  const tensor = decodeTensor(x);
  const entries = index.map(decodeEntry);
  if (value === undefined) return tensor.at(...entries);
  return tensor.put(decode(value) as number | Tensor, ...entries);
}

function decodeEntry(entry: EncodedIndex): Index {
  if (typeof entry !== 'object' || entry === null) return entry;
  if ('tensor' in entry) return decodeTensor(entry);
  const [start, stop, step] = entry.slice;
  return slice(start, stop, step ?? 1);
}

function isRefusal(out: IndexingCase['out']): out is { error: string } {
  return typeof out === 'object' && out !== null && 'error' in out;
}

/** As Python writes it. */
function show({ x, index, value }: IndexingCase): string {
  const entries = index.map((entry) => {
    if (entry === null) return 'None';
    if (typeof entry !== 'object') return String(entry);
    if ('tensor' in entry) return `${entry.tensor}[${entry.shape}]`;
    const [start, stop, step] = entry.slice.map((bound) => bound ?? '');
    return `${start}:${stop}${step === '' ? '' : `:${step}`}`;
  });
  return `[${x.shape}][${entries.join(', ')}]${value === undefined ? '' : ' = …'}`;
}
