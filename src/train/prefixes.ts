/**
 * Sequences that begin alike, with each common beginning computed once.
 *
 * Completions of one prompt share the prompt; chats share the system message and the template around it. Packed one after the other
 * (`PackedAttention`) all of it is computed for each of them. Here sequences form a tree: a segment of tokens, the segments that go
 * on from it, and so on. A token sees what is before it in its own segment and in those above: the hidden states are the same.
 */
import { type AttendOptions, type AttentionContext, inWideFloats } from '../models/index.ts';
import { type Device, type DType, type Tensor, torch } from '../tensor/index.ts';
import { int64 } from './pack.ts';

/** Some tokens in a row that one or several sequences have in common. */
interface Segment {
  /** What comes before; null where a sequence begins. */
  readonly parent: number | null;
  /** A sequence that it is part of, and the place of its first token there. */
  readonly row: number;
  readonly start: number;
  readonly length: number;
}

/** Neighbouring segments of one length that go on from the same one: computed together. */
interface Run {
  readonly count: number;
  readonly length: number;
  /** Where in their sequences they begin. */
  readonly start: number;
  /** The segments above them, from the beginning: in which run, and at which of its tokens. */
  readonly above: readonly { readonly run: number; readonly place: number; readonly length: number }[];
}

/** A segment of its own costs some calls in each layer: as much as this many tokens that are not computed again. */
const WORTHWHILE = 16;

/** Sequences as flat tokens, common beginnings once. Its tensors belong to the scope in which it was made. */
export class SharedPrefixes implements AttentionContext {
  /** Tokens to compute. */
  readonly ids: Tensor; // [N]
  readonly positions: Tensor; // [N]
  readonly maxLength: number;
  readonly segments: readonly Segment[];
  /** Segments of each sequence, from its beginning. */
  readonly #chains: readonly (readonly number[])[];
  /** Where each segment stands in `ids`. */
  readonly #places: readonly number[];
  readonly #runs: readonly Run[];
  /** 0 where a query may see a key, -inf elsewhere: each segment uses a part of it. */
  readonly #mask: Tensor; // [maxLength, maxLength]

  /** @param model decides device and dtype. */
  constructor(sequences: readonly (readonly number[])[], { device, dtype }: { device: Device; dtype: DType }) {
    const tree = new Tree(sequences);
    this.segments = tree.segments;
    this.#chains = tree.chains;
    let tokens = 0;
    this.#places = tree.segments.map(({ length }) => {
      tokens += length;
      return tokens - length;
    });
    this.#runs = runsOf(tree.segments);
    this.maxLength = sequences.reduce((most, { length }) => Math.max(most, length), 0);
    const slices = tree.segments.map(({ row, start, length }) => sequences[row]!.slice(start, start + length));
    this.ids = int64(slices.flat(), device); // [N]
    const positions = tree.segments.flatMap(({ start, length }) => Array.from({ length }, (_, t) => start + t));
    this.positions = int64(positions, device); // [N]
    const all = torch.full([this.maxLength, this.maxLength], Number.NEGATIVE_INFINITY, { dtype, device });
    this.#mask = all.triu(1); // [maxLength, maxLength]
  }

  /** Where in `ids` a sequence's token is. */
  placeOf(row: number, position: number): number {
    const segment = this.#chains[row]!.findLast((i) => this.segments[i]!.start <= position)!;
    return this.#places[segment]! + position - this.segments[segment]!.start;
  }

  /** A sequence's own rows out of those of ids: values [N, ...] -> [length, ...], a copy. */
  sequence(values: Tensor, row: number): Tensor {
    const parts = this.#chains[row]!.map((i) => values.narrow(0, this.#places[i]!, this.segments[i]!.length));
    return torch.cat(parts); // [length, ...]
  }

  /** The other way round: from the rows of each sequence, [length, ...], to those of ids, [N, ...]. */
  gather(sequence: (row: number) => Tensor): Tensor {
    return torch.cat(this.segments.map(({ row, start, length }) => sequence(row).narrow(0, start, length))); // [N, ...]
  }

  attend(_layer: number, q: Tensor, k: Tensor, v: Tensor, options: AttendOptions = {}): Tensor {
    return inWideFloats(q, k, v, (q, k, v) => this.#attendWithin(q, k, v, options));
  }

  #attendWithin(q: Tensor, k: Tensor, v: Tensor, options: AttendOptions): Tensor {
    const sizes = this.#runs.map(({ count, length }) => count * length);
    const [qs, ks, vs] = [q, k, v].map((x) => x.splitWithSizes(sizes)) as [Tensor[], Tensor[], Tensor[]]; // each a run's share
    const enableGqa = k.shape[1] !== q.shape[1];
    const results = this.#runs.map((run, i) => {
      const { above, start, length } = run;
      const causal = above.length === 0 ? { isCausal: true } : { attnMask: this.#maskOf(start, length).to(q.dtype) }; // [T, A + T]
      const [query, key, value] = [heads(qs[i]!, run), withAbove(ks, i, run), withAbove(vs, i, run)];
      return torch
        .scaledDotProductAttention(query, key, value, { ...causal, enableGqa, ...options }) // [S, H, T, Dh]
        .transpose(1, 2)
        .reshape([run.count * length, q.shape[1]!, q.shape[2]!]); // [S T, H, Dh]
    });
    return torch.cat(results); // [N, H, Dh]
  }

  #maskOf(start: number, length: number): Tensor {
    return this.#mask.narrow(0, start, length).narrow(1, 0, start + length); // [T, A + T]
  }
}

/** [S T, H, Dh] -> [S, H, T, Dh], a view. */
function heads(x: Tensor, { count, length }: Run): Tensor {
  return x.unflatten(0, [count, length]).transpose(1, 2); // [S, H, T, Dh]
}

/** Keys or values of a run's segments, behind those of what is above them: [S, Hkv, A + T, Dh]. */
function withAbove(parts: readonly Tensor[], i: number, run: Run): Tensor {
  const own = heads(parts[i]!, run); // [S, Hkv, T, Dh]
  if (run.above.length === 0) return own;
  const [, H, , Dh] = own.shape;
  const above = run.above.map(({ run, place, length }) => {
    const part = parts[run]!; // [S' T', Hkv, Dh]
    const segment = part.shape[0] === length ? part : part.narrow(0, place, length); // [T', Hkv, Dh]
    return segment.transpose(0, 1).expand([own.shape[0]!, H!, length, Dh!]); // [S, Hkv, T', Dh]
  });
  return torch.cat([...above, own], 2); // [S, Hkv, A + T, Dh]
}

function runsOf(segments: readonly Segment[]): Run[] {
  const runs: { count: number; length: number; start: number; above: Run['above'] }[] = [];
  /** The run of each segment, and its place there. */
  const places: { run: number; place: number; length: number }[] = [];
  for (const [i, { parent, start, length }] of segments.entries()) {
    const before = i === 0 ? null : segments[i - 1]!;
    if (before !== null && before.parent === parent && before.length === length) runs.at(-1)!.count++;
    else {
      const above = parent === null ? [] : [...runs[places[parent]!.run]!.above, places[parent]!];
      runs.push({ count: 1, length, start, above });
    }
    const run = runs.length - 1;
    places.push({ run, place: (runs[run]!.count - 1) * length, length });
  }
  return runs;
}

/** A radix tree of sequences that splits where it saves enough. */
class Tree {
  readonly segments: Segment[] = [];
  readonly chains: number[][];
  readonly #sequences: readonly (readonly number[])[];

  constructor(sequences: readonly (readonly number[])[]) {
    this.#sequences = sequences;
    this.chains = sequences.map(() => []);
    this.#grow([...sequences.keys()], 0, null);
    this.#sort();
  }

  /** Brings those together that can be computed together. What is above a segment stays before it. */
  #sort(): void {
    const found = this.segments.map((segment, i) => ({ segment, i }));
    const above = ({ segment }: { segment: Segment }) => segment.parent ?? -1;
    found.sort((a, b) => above(a) - above(b) || a.segment.length - b.segment.length || a.i - b.i);
    const places: number[] = [];
    for (const [place, { i }] of found.entries()) places[i] = place;
    const sorted = found.map(({ segment }) => ({
      ...segment,
      parent: segment.parent === null ? null : places[segment.parent]!,
    }));
    this.segments.splice(0, sorted.length, ...sorted);
    for (const [row, chain] of this.chains.entries()) this.chains[row] = chain.map((i) => places[i]!);
  }

  /** Adds what follows `start` of some sequences that are the same up to there. */
  #grow(rows: readonly number[], start: number, parent: number | null): void {
    if (rows.length === 0) return;
    const common = this.#commonLength(rows, start);
    const isShared = (rows.length - 1) * common >= WORTHWHILE;
    if (rows.length === 1 || isShared) {
      const segment = this.segments.push({ parent, row: rows[0]!, start, length: common }) - 1;
      for (const row of rows) this.chains[row]!.push(segment);
      for (const part of this.#parts(rows, start + common)) this.#grow(part, start + common, segment);
      return;
    }
    // Not worth a segment: those that differ later may still share more among themselves.
    for (const row of rows) if (this.#sequences[row]!.length === start + common) this.#grow([row], start, parent);
    for (const part of this.#parts(rows, start + common)) this.#grow(part, start, parent);
  }

  /** Tokens from `start` on that are the same in all of these. */
  #commonLength(rows: readonly number[], start: number): number {
    const [first, ...others] = rows.map((row) => this.#sequences[row]!);
    let end = first!.length;
    for (const other of others) {
      let i = start;
      while (i < end && i < other.length && other[i] === first![i]) i++;
      end = i;
    }
    return end - start;
  }

  /** Sequences that go on at `place`, by the token there. */
  #parts(rows: readonly number[], place: number): number[][] {
    const parts = new Map<number, number[]>();
    for (const row of rows) {
      const token = this.#sequences[row]![place];
      if (token === undefined) continue;
      const part = parts.get(token);
      if (part === undefined) parts.set(token, [row]);
      else part.push(row);
    }
    return [...parts.values()];
  }
}
