/**
 * From hidden states through the head to log-probabilities, without ever holding the logits of all rows.
 *
 * The logits of N rows are the largest tensor of training by far: 2,000 tokens over a vocabulary of 49,152 take 400 MB in
 * float32, and the softmax and its backward pass want as much again. So the head runs chunk by chunk, and no chunk's logits
 * outlive it. There are two ways to gradients, both exact whatever the loss is:
 *
 * - A row's log-probability depends on that row's hidden state alone. While the head is frozen, `headLogProbs` computes
 *   ∂logProb/∂hidden [N, D] chunk by chunk in the forward pass, and puts it behind the result.
 * - A head that learns needs to know ∂loss/∂logProb first. `throughHead` computes the log-probabilities, asks the loss for that,
 *   and goes through the chunks a second time.
 *
 * The results are ordinary tensors of an ordinary graph; only second derivatives are not there.
 */
import { type Tensor, torch } from '../tensor/index.ts';
import {
  atLeastFloat32,
  checkedOptions,
  chosenLogProbs,
  chunksOf,
  entropyOf,
  headLogits,
  type LogProbOptions,
  mapChunks,
  scaled,
} from './logprobs.ts';

/** Which entropies are wanted: none, their values (for the log), or with gradients (for an entropy bonus; one more backward pass). */
export type EntropyKind = 'none' | 'value' | 'gradient';

export interface HeadOptions extends LogProbOptions {
  /** Default 'none'. */
  entropy?: EntropyKind;
}

export interface HeadLogProbs {
  /** log softmax(hidden Wᵀ / temperature) at the tokens: [N] float32. */
  readonly logProbs: Tensor;
  /** Entropy of each row's distribution in nats, [N] float32; null unless asked for. */
  readonly entropies: Tensor | null;
}

/**
 * Log-probabilities (and entropies) of tokens from the hidden states before the head: hidden [N, D], weight [V, D], tokens [N].
 *
 * With a frozen weight the graph holds one [N, D] tensor (two for the entropy's gradient) and no logits. With a weight that
 * learns it holds all logits in float32: prefer `throughHead`.
 */
export function headLogProbs(hidden: Tensor, weight: Tensor, tokens: Tensor, options: HeadOptions = {}): HeadLogProbs {
  checkHead(hidden, weight, tokens);
  const { chunkRows } = checkedOptions(options, 'headLogProbs');
  const plain = !torch.isGradEnabled() || weight.requiresGrad || !hidden.requiresGrad;
  return torch.scope(() => {
    const chunks = mapChunks(hidden.size(0), chunkRows, (start, count) => {
      const [rows, chosen] = [hidden.narrow(0, start, count), tokens.narrow(0, start, count)]; // [C, D], [C]
      return plain ? chunkOf(rows, weight, chosen, options) : sloped(rows, weight, chosen, options);
    });
    const logProbs = joined(chunks, 'logProbs')!; // [N]
    const entropies = joined(chunks, 'entropies'); // [N]
    return {
      logProbs: withSlopes(logProbs, hidden, joined(chunks, 'slopes')), // [N]
      entropies: entropies && withSlopes(entropies, hidden, joined(chunks, 'entropySlopes')), // [N]
    };
  });
}

/**
 * A loss over log-probabilities whose gradient goes on through the head, learning or frozen: hidden [N, D], weight [V, D],
 * tokens [N]. Costs the head's forward pass twice, and one [V, D] gradient if the weight learns.
 *
 * @param loss gets the values as leaves and returns a scalar. What else it computes it hands out by closure.
 * @returns the scalar, with gradients for hidden and weight.
 */
export function throughHead(
  hidden: Tensor,
  weight: Tensor,
  tokens: Tensor,
  options: HeadOptions,
  loss: (values: HeadLogProbs) => Tensor,
): Tensor {
  checkHead(hidden, weight, tokens);
  const { chunkRows } = checkedOptions(options, 'throughHead');
  const values = torch.noGrad(() => headLogProbs(hidden, weight, tokens, options));
  if (!torch.isGradEnabled() || !(hidden.requiresGrad || weight.requiresGrad)) return loss(values);
  return torch.scope(() => {
    const leaves = [values.logProbs, ...(options.entropy === 'gradient' ? [values.entropies!] : [])]; // [N] each
    for (const leaf of leaves) leaf.requiresGrad = true;
    const scalar = loss(values); // scalar
    const upstream = torch.grad(scalar, leaves, { allowUnused: true }); // [N] each, null where the loss does not use it
    const gradients = new HeadGradients(hidden, weight);
    gradients.addChunks(chunkRows, (rows, head, start, count) => {
      const { logProbs, entropies } = chunkOf(rows, head, tokens.narrow(0, start, count), options);
      const outputs = [logProbs, entropies].flatMap((output, i) => {
        const gradient = upstream[i];
        return output && gradient ? [{ output, gradient: gradient.narrow(0, start, count) }] : []; // [C] each
      });
      return { outputs, result: null };
    });
    return gradients.behind(scalar.detach()); // scalar
  });
}

/** An output of a chunk with its gradient, both [C]. */
export interface OutputGradient {
  readonly output: Tensor;
  readonly gradient: Tensor;
}

/** Collects the gradients of hidden rows and of the head's weight, chunk by chunk. Lives in the scope in which it was made. */
export class HeadGradients {
  readonly #hidden: Tensor; // [N, D]
  readonly #weight: Tensor; // [V, D]
  readonly #wanted: { readonly hidden: boolean; readonly weight: boolean };
  /** The sum over chunks, in float32: long sums of 16-bit floats lose what is small. Null before the first. */
  #weightSum: Tensor | null = null; // [V, D]
  readonly #rows: Tensor[] = []; // [C, D] each

  constructor(hidden: Tensor, weight: Tensor) {
    this.#hidden = hidden;
    this.#weight = weight;
    const recording = torch.isGradEnabled();
    this.#wanted = { hidden: recording && hidden.requiresGrad, weight: recording && weight.requiresGrad };
  }

  /**
   * @param fn computes a chunk from leaves that stand for its rows [C, D] and for the weight; says which outputs have which
   *   gradients, and what to hand back.
   */
  addChunks<T>(
    chunkRows: number,
    fn: (
      rows: Tensor,
      weight: Tensor,
      start: number,
      count: number,
    ) => { outputs: readonly OutputGradient[]; result: T },
  ): T[] {
    const wanted = this.#wanted;
    const results: T[] = [];
    for (const [start, count] of chunksOf(this.#hidden.size(0), chunkRows)) {
      const [result, gradients] = torch.scope(() => {
        const rows = leaf(this.#hidden.narrow(0, start, count), wanted.hidden); // [C, D]
        const weight = leaf(this.#weight, wanted.weight); // [V, D]
        const { outputs, result } = fn(rows, weight, start, count);
        const leaves = [rows, weight].filter(({ requiresGrad }) => requiresGrad);
        if (leaves.length === 0 || outputs.length === 0) return [result, []] as const;
        const gradOutputs = outputs.map(({ gradient }) => gradient); // [C] each
        const values = outputs.map(({ output }) => output); // [C] each
        return [result, torch.grad(values, leaves, { gradOutputs })] as const; // as the leaves
      });
      results.push(result);
      if (wanted.hidden) this.#rows.push(...gradients.slice(0, 1));
      if (wanted.weight && gradients.length > 0) this.#addToWeight(gradients.at(-1)!);
    }
    return results;
  }

  #addToWeight(gradient: Tensor): void {
    if (this.#weightSum === null) {
      this.#weightSum = atLeastFloat32(gradient); // [V, D]
    } else {
      this.#weightSum.add_(gradient);
      gradient.dispose();
    }
  }

  /** The value, with the gradients behind it. */
  behind(value: Tensor): Tensor {
    const rows = this.#rows.length === 0 ? null : torch.cat(this.#rows); // [N, D]
    const slope = rows === null ? value : withGradient(value, this.#hidden, rows); // scalar
    if (!this.#wanted.weight) return slope;
    const weight = this.#weightSum ?? torch.zerosLike(this.#weight); // [V, D]
    return withGradient(slope, this.#weight, weight); // scalar
  }
}

interface Chunk extends HeadLogProbs {
  /** ∂logProb/∂hidden and ∂entropy/∂hidden, [C, D]. */
  readonly slopes?: Tensor;
  readonly entropySlopes?: Tensor | null;
}

/** rows [C, D], tokens [C]. */
function chunkOf(rows: Tensor, weight: Tensor, tokens: Tensor, options: HeadOptions): Chunk {
  const { temperature = 1, entropy = 'none' } = options;
  const logits = headLogits(rows, weight); // [C, V]
  const entropies = () => entropyOf(scaled(logits, temperature).logSoftmax(-1)); // [C]
  return {
    logProbs: chosenLogProbs(logits, tokens, temperature), // [C]
    entropies: entropy === 'none' ? null : entropy === 'gradient' ? entropies() : torch.noGrad(entropies), // [C]
  };
}

/** The same, with how each value changes with its own row. */
function sloped(rows: Tensor, weight: Tensor, tokens: Tensor, options: HeadOptions): Chunk {
  const own = leaf(rows, true); // [C, D]
  const { logProbs, entropies } = chunkOf(own, weight, tokens, options);
  const spread = options.entropy === 'gradient' ? entropies : null; // [C]
  const gradOutputs = torch.onesLike(logProbs); // [C]
  const [slopes] = torch.grad(logProbs, [own], { gradOutputs, retainGraph: spread !== null }); // [C, D]
  const entropySlopes = spread && torch.grad(spread, [own], { gradOutputs })[0]; // [C, D]
  return { logProbs: logProbs.detach(), entropies: entropies?.detach() ?? null, slopes, entropySlopes };
}

/** One field of all chunks: [C, ...] each -> [N, ...]; null where they do not have it. */
function joined(chunks: readonly Chunk[], field: keyof Chunk): Tensor | null {
  const parts = chunks.map((chunk) => chunk[field] ?? null).filter((part) => part !== null); // [C, ...] each
  return parts.length === 0 ? null : torch.cat(parts); // [N, ...]
}

/** values [N], with ∂values/∂hidden [N, D] behind them. */
function withSlopes(values: Tensor, hidden: Tensor, slopes: Tensor | null): Tensor {
  return slopes === null ? values : withGradient(values, hidden, slopes); // [N]
}

/** A value, a scalar or [N] for x [N, ...], with ∂value/∂x behind it, in the shape of x: native/src/kernels/gradient.cc. */
function withGradient(value: Tensor, x: Tensor, gradient: Tensor): Tensor {
  return torch.call('nudge::with_gradient', value, x, gradient) as Tensor; // as value
}

/** The same values, without a graph behind them. */
function leaf(x: Tensor, requiresGrad: boolean): Tensor {
  return x.detach().requiresGrad_(requiresGrad); // as x
}

export function checkHead(hidden: Tensor, weight: Tensor, tokens: Tensor): void {
  hidden.expectShape(['N', 'D'], 'hidden');
  weight.expectShape([null, hidden.size(1)], 'the weight of the head');
  tokens.expectShape([hidden.size(0)], 'tokens');
}
