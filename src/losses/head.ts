/**
 * From hidden states through the head to log-probabilities, without ever holding the logits of all rows.
 *
 * The logits of N rows are the largest tensor of training by far: 2,000 tokens over a vocabulary of 49,152 take 400 MB in
 * float32, and the softmax and its backward pass want as much again. So the head runs chunk by chunk, and no chunk's logits
 * outlive it. There are two ways to gradients, both exact whatever the loss is:
 *
 * - A row's log-probability depends on that row's hidden state alone. While the head is frozen, `headLogProbs` computes
 *   ∂logProb/∂hidden [N, D] chunk by chunk in the forward pass, and puts it behind the result as the gradient of a dot product.
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
  /** The sum over chunks, in float32: long sums of 16-bit floats lose what is small. */
  readonly #weightSum: Tensor | null; // [V, D]
  #rows: Tensor[] = []; // [C, D] each

  constructor(hidden: Tensor, weight: Tensor) {
    this.#hidden = hidden;
    this.#weight = weight;
    const recording = torch.isGradEnabled();
    this.#wanted = { hidden: recording && hidden.requiresGrad, weight: recording && weight.requiresGrad };
    this.#weightSum = this.#wanted.weight ? torch.zerosLike(atLeastFloat32(weight.detach())) : null; // [V, D]
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
    const chunks = mapChunks(this.#hidden.size(0), chunkRows, (start, count) => {
      const rows = leaf(this.#hidden.narrow(0, start, count), wanted.hidden); // [C, D]
      const weight = leaf(this.#weight, wanted.weight); // [V, D]
      const { outputs, result } = fn(rows, weight, start, count);
      const leaves = [rows, weight].filter(({ requiresGrad }) => requiresGrad);
      if (leaves.length === 0 || outputs.length === 0) return { gradient: null, result };
      const gradOutputs = outputs.map(({ gradient }) => gradient); // [C] each
      const gradients = torch.grad(
        outputs.map(({ output }) => output),
        leaves,
        { gradOutputs },
      ); // as the leaves
      this.#weightSum?.add_(gradients.at(-1)!);
      return { gradient: wanted.hidden ? gradients[0]! : null, result }; // [C, D]
    });
    this.#rows = chunks.flatMap(({ gradient }) => gradient ?? []);
    return chunks.map(({ result }) => result);
  }

  /** The value, with the gradients behind it: Σ x · ∂x added and taken away again. */
  behind(value: Tensor): Tensor {
    const terms = [
      ...(this.#rows.length > 0 ? [dot(this.#hidden, torch.cat(this.#rows))] : []),
      ...(this.#weightSum === null ? [] : [dot(this.#weight, this.#weightSum)]),
    ]; // scalars
    return terms.reduce((sum, term) => sum.add(term.sub(term.detach())), value); // scalar
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

/** values [N], with ∂values/∂hidden [N, D] behind them: hidden · slopes added and taken away again. */
function withSlopes(values: Tensor, hidden: Tensor, slopes: Tensor | null): Tensor {
  if (slopes === null) return values;
  const product = atLeastFloat32(hidden).mul(atLeastFloat32(slopes)).sum(-1); // [N]
  return values.add(product.sub(product.detach())); // [N]
}

function dot(x: Tensor, gradient: Tensor): Tensor {
  return atLeastFloat32(x).mul(atLeastFloat32(gradient)).sum(); // scalar
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
