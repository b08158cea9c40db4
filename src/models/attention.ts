/**
 * What attention knows about sequences, so that nothing else needs to (docs/decisions/0006).
 *
 * A model sees a flat list of N tokens. Whose they are, and which earlier tokens each may attend to, is the context's affair.
 */
import { NudgeError } from '../errors.ts';
import { kernels } from '../nn/index.ts';
import { type Device, type Tensor, torch } from '../tensor/index.ts';

export interface AttendOptions {
  /** Factor on the scores before the softmax. Default 1 / √Dh. */
  scale?: number;
}

export interface AttentionContext {
  /** [N] int64: the place of each token in its own sequence, from 0. */
  readonly positions: Tensor;
  /** One more than the largest position: how far tables of positions must reach. */
  readonly maxLength: number;
  /**
   * Causal attention of each token to its own sequence: q [N, H, Dh], k and v [N, Hkv, Dh] -> [N, H, Dh]. H is a multiple of
   * Hkv; query head h reads key head ⌊h Hkv / H⌋.
   *
   * @param layer from 0, for contexts that remember keys and values.
   */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, options?: AttendOptions): Tensor;
}

/** Neighbouring sequences of one length. */
interface Run {
  readonly count: number;
  readonly length: number;
}

/**
 * Whole sequences, one after the other, without a cache: for training and scoring.
 *
 *     const packed = new PackedAttention([5, 3]); // tokens 0 to 4 are one sequence, 5 to 7 the other
 *     const hidden = model.forward(ids, packed);  // [8, D]
 *
 * Neighbours of equal length are computed together, so sort by length where there are many short ones. (Measured against
 * gathering equal or similar lengths into padded blocks: the copies, above all their backward pass, cost more than the calls.)
 *
 * Its tensors belong to the scope in which it was made.
 */
export class PackedAttention implements AttentionContext {
  /** Tokens a sequence. */
  readonly lengths: readonly number[];
  readonly positions: Tensor; // [N]
  /** Where each sequence ends, for reading a score: [S] int64. */
  readonly lastTokens: Tensor; // [S]
  readonly maxLength: number;
  /** N, tokens in all. */
  readonly tokens: number;
  readonly #runs: readonly Run[];

  /** @param lengths positive integers, in the order of the tokens. */
  constructor(lengths: readonly number[], options: { device?: Device } = {}) {
    checkLengths(lengths);
    this.lengths = [...lengths];
    this.maxLength = lengths.reduce((most, length) => Math.max(most, length), 0);
    this.tokens = lengths.reduce((sum, length) => sum + length, 0);
    this.#runs = runsOf(lengths);
    const device = options.device ?? 'cpu';
    this.positions = int64(positionsOf(lengths, this.tokens), device); // [N]
    this.lastTokens = int64(lastTokensOf(lengths), device); // [S]
  }

  attend(_layer: number, q: Tensor, k: Tensor, v: Tensor, options: AttendOptions = {}): Tensor {
    const N = q.shape[0];
    if (N !== this.tokens || k.shape[0] !== N || v.shape[0] !== N) throw wrongCount(this.lengths, q, k, v);
    if (N === 0) return q;
    return inWideFloats(q, k, v, (q, k, v) => this.#attendWithin(q, k, v, options));
  }

  #attendWithin(q: Tensor, k: Tensor, v: Tensor, options: AttendOptions): Tensor {
    const [, H, Dh] = q.shape;
    const shared = { isCausal: true, enableGqa: k.shape[1] !== H, ...options };
    const attendRun = (run: Run, q: Tensor, k: Tensor, v: Tensor): Tensor =>
      torch
        .scaledDotProductAttention(heads(q, run), heads(k, run), heads(v, run), shared) // [S, H, T, Dh]
        .transpose(1, 2) // [S, T, H, Dh]
        .reshape([run.count * run.length, H!, Dh!]); // [S T, H, Dh]
    if (this.#runs.length === 1) return attendRun(this.#runs[0]!, q, k, v);
    const sizes = this.#runs.map(({ count, length }) => count * length);
    const [qs, ks, vs] = [q, k, v].map((x) => x.splitWithSizes(sizes)) as [Tensor[], Tensor[], Tensor[]]; // each a run's share
    return torch.cat(this.#runs.map((run, i) => attendRun(run, qs[i]!, ks[i]!, vs[i]!))); // [N, H, Dh]
  }
}

/**
 * Attention in float32 where the processor has to widen bfloat16 for each product anyway: libtorch's bfloat16 attention is three
 * times as slow there. The result is in the dtype of q.
 */
export function inWideFloats(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  attend: (q: Tensor, k: Tensor, v: Tensor) => Tensor,
): Tensor {
  return kernels.widens(q) ? attend(q.float(), k.float(), v.float()).to(q.dtype) : attend(q, k, v);
}

/** [S T, H, Dh] -> [S, H, T, Dh], a view. */
function heads(x: Tensor, { count, length }: Run): Tensor {
  return x.unflatten(0, [count, length]).transpose(1, 2); // [S, H, T, Dh]
}

function runsOf(lengths: readonly number[]): Run[] {
  const runs: { count: number; length: number }[] = [];
  for (const length of lengths) {
    const last = runs.at(-1);
    if (last?.length === length) last.count++;
    else runs.push({ count: 1, length });
  }
  return runs;
}

function positionsOf(lengths: readonly number[], tokens: number): BigInt64Array {
  const positions = new BigInt64Array(tokens);
  let i = 0;
  for (const length of lengths) for (let t = 0; t < length; t++) positions[i++] = BigInt(t);
  return positions;
}

function lastTokensOf(lengths: readonly number[]): BigInt64Array {
  let end = 0;
  return BigInt64Array.from(lengths, (length) => {
    end += length;
    return BigInt(end - 1);
  });
}

function int64(values: BigInt64Array, device: Device): Tensor {
  const tensor = torch.fromTypedArray(values, [values.length]); // [values.length]
  return device === 'cpu' ? tensor : tensor.to(device);
}

function checkLengths(lengths: readonly number[]): void {
  const wrong = lengths.find((length) => !Number.isSafeInteger(length) || length < 1);
  if (wrong === undefined) return;
  throw new NudgeError('BAD_ARGUMENT', 'A sequence has no such length.', {
    path: 'PackedAttention',
    expected: 'positive integers, one a sequence',
    received: `${wrong} at place ${lengths.indexOf(wrong)}`,
    remedy: 'Leave empty sequences out.',
  });
}

function wrongCount(lengths: readonly number[], q: Tensor, k: Tensor, v: Tensor): NudgeError {
  return new NudgeError('SHAPE_MISMATCH', 'The tokens are not those that the attention context was made for.', {
    path: 'PackedAttention.attend',
    expected: `${lengths.reduce((sum, length) => sum + length, 0)} tokens in ${lengths.length} sequences`,
    received: `q [${q.shape}], k [${k.shape}], v [${v.shape}]`,
    remedy: "Pass the lengths of exactly the sequences whose ids you pass: their sum is ids' length.",
  });
}
