/**
 * Gradient checkpointing: trade one more forward pass for the memory of the activations (Chen et al., arXiv 1604.06174).
 *
 * PyTorch's own checkpointing calls back into Python from the backward engine. JavaScript must not: on CUDA the engine runs in
 * other threads, and a callback would deadlock. So the backward pass is driven from outside, by a tape: each segment runs
 * without a graph and hands out detached results; `tape.backward` goes through the segments in reverse, runs each again with a
 * graph, sends the gradients through it and on to the segment before.
 *
 *     using tape = new CheckpointTape();
 *     let h = embed.forward(ids);                                        // [B, T, D]
 *     for (const block of blocks) h = tape.run((h) => block.forward(h), h); // [B, T, D]
 *     tape.backward(torch.scope(() => loss(h))); // the scope frees the logits before the segments run again
 */
import { NudgeError } from '../errors.ts';
import { type Tensor, torch } from '../tensor/index.ts';

/** What a segment returns: one tensor or several. */
export type SegmentResult = Tensor | readonly Tensor[];

export class CheckpointTape {
  readonly #segments: Segment[] = [];
  #replaying = false;

  /**
   * Runs `fn` on the inputs without recording a graph, and remembers how to run it again. The results look like any others;
   * they belong to the calling scope.
   *
   * - Whatever `fn` needs a gradient for must be an input or a parameter. Other tensors may come by closure if no graph is behind them.
   * - `fn` must do the same when it runs again, and must not write to its inputs. Random numbers repeat (dropout masks are the
   *   same); autocast is as it was.
   * - An input with a graph behind it may feed several segments, but what the loss reads besides must come from a segment, or
   *   `backward` needs `retainGraph`: the loss's own backward pass frees the graph that the segments' gradients still have to take.
   * - With gradients off, and inside another segment, `fn` simply runs.
   */
  run<const Inputs extends readonly Tensor[], Result extends SegmentResult>(
    fn: (...inputs: Inputs) => Result,
    ...inputs: Inputs
  ): Result {
    if (!torch.isGradEnabled() || this.#replaying) return fn(...inputs);
    const segment = new Segment(fn as unknown as Segment['fn'], inputs);
    try {
      const results = torch.scope(() => segment.run());
      this.#segments.push(segment);
      return results as Result;
    } catch (error) {
      segment.dispose();
      throw error;
    }
  }

  /**
   * Adds the gradients of a scalar loss to every parameter and leaf behind it, as `loss.backward()` does without checkpoints.
   * The tape is empty after, also when something throws, and can be used again. Memory peaks at one segment's activations.
   *
   * @param options.retainGraph keeps the graph of the loss itself (what ran outside the segments). Default false.
   */
  backward(loss: Tensor, options: { retainGraph?: boolean } = {}): void {
    this.#replaying = true;
    try {
      loss.backward(null, { retainGraph: options.retainGraph ?? false });
      for (let segment = this.#segments.pop(); segment !== undefined; segment = this.#segments.pop()) {
        try {
          segment.backward();
        } finally {
          segment.dispose();
        }
      }
    } finally {
      this.#replaying = false;
      this.dispose();
    }
  }

  /** Forgets the segments and frees what they hold: for a step that fails between `run` and `backward`. */
  dispose(): void {
    for (const segment of this.#segments.splice(0)) segment.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** One call of `run`: its inputs, what came out, and the state of the world around it. */
class Segment {
  readonly fn: (...inputs: Tensor[]) => SegmentResult;
  /** The inputs under handles of our own, each attached to the graph behind its input: the way on for gradients. */
  readonly #inputs: Tensor[];
  /** The results as leaves, which collect the gradients of everything that used them. */
  #leaves: Tensor[] = [];
  readonly #random: RandomState;
  readonly #autocast: ReturnType<typeof torch.autocastState>;

  constructor(fn: Segment['fn'], inputs: readonly Tensor[]) {
    this.fn = fn;
    this.#random = RandomState.save(inputs);
    this.#autocast = torch.autocastState();
    // A view: the caller may free the input, or the scope may end, before backward.
    this.#inputs = inputs.map((input) => torch.alias(input).keep()); // each as its input
  }

  run(): SegmentResult {
    const results = torch.noGrad(() => this.fn(...this.#inputs.map((input) => input.detach())));
    this.#leaves = list(results).map((result) => asLeaf(result.detach(), true).keep()); // each as its result
    // Views again, so that the caller's handles and ours are freed each in their time.
    const views = this.#leaves.map((leaf) => torch.alias(leaf)); // each as its result
    return isList(results) ? views : views[0]!;
  }

  backward(): void {
    torch.scope(() => {
      const gradients = this.#leaves.map((leaf) => leaf.grad); // each as its result, null where the loss does not depend on it
      if (gradients.every((gradient) => gradient === null)) return;
      const inputs = this.#inputs.map((input) => asLeaf(input.detach(), input.requiresGrad)); // each as its input
      // The inner scope frees the handles of all intermediate values before backward: the graph keeps what it needs, no more.
      const results = torch.scope(() => torch.enableGrad(() => this.#recompute(inputs)));
      checkSame(this.#leaves, results);
      const roots = results.flatMap((result, i) => {
        const gradient = gradients[i];
        return gradient && result.requiresGrad ? [{ tensor: result, gradient }] : [];
      });
      send(roots);
      this.#sendOn(inputs);
    });
  }

  /** Takes the gradients of the inputs further: into the leaves of segments before, or through the graph behind them. */
  #sendOn(inputs: readonly Tensor[]): void {
    const roots = inputs.flatMap(({ grad }, i) =>
      grad === null ? [] : [{ tensor: this.#inputs[i]!, gradient: grad }],
    );
    try {
      // Retained, since another segment may still send its share through the same graph.
      send(roots, { retainGraph: true });
    } catch (cause) {
      if (!(cause instanceof Error && cause.message.includes('second time'))) throw cause;
      throw new NudgeError(
        'BAD_ARGUMENT',
        "The loss's own backward pass has freed the graph behind an input of a segment.",
        {
          path: 'CheckpointTape.backward',
          remedy: 'Compute that input in a segment too, or pass { retainGraph: true }.',
          cause,
        },
      );
    }
  }

  dispose(): void {
    for (const leaf of this.#leaves) {
      // The caller may still hold a view of the leaf; the gradient must not live as long.
      if (!leaf.isDisposed) leaf.grad = null;
      leaf.dispose();
    }
    for (const input of this.#inputs) input.dispose();
  }

  #recompute(inputs: Tensor[]): Tensor[] {
    const compute = () => [...list(this.fn(...inputs))];
    // The outermost first in the list, so from the last inwards out.
    const inAutocast = this.#autocast.reduceRight((inner, state) => () => torch.autocast(state, inner), compute);
    return RandomState.replay(this.#random, inAutocast);
  }
}

/** The state of the default generators that a segment can draw from: the CPU's, and those of its inputs' devices. */
class RandomState {
  readonly #states: ReadonlyMap<Tensor['device'], Uint8Array>;

  private constructor(devices: Iterable<Tensor['device']>) {
    this.#states = new Map([...devices].map((device) => [device, torch.getRngState(device)]));
  }

  static save(inputs: readonly Tensor[]): RandomState {
    return new RandomState(new Set<Tensor['device']>(['cpu', ...inputs.map(({ device }) => device)]));
  }

  /** Runs `fn` from a saved state; after, the generators go on from where they were. */
  static replay<T>(saved: RandomState, fn: () => T): T {
    const current = new RandomState(saved.#states.keys());
    saved.#restore();
    try {
      return fn();
    } finally {
      current.#restore();
    }
  }

  #restore(): void {
    for (const [device, state] of this.#states) torch.setRngState(state, device);
  }
}

/** Makes a detached tensor collect gradients, where it can have any. */
function asLeaf(tensor: Tensor, requiresGrad: boolean): Tensor {
  if (requiresGrad && isDifferentiable(tensor)) tensor.requiresGrad = true;
  return tensor;
}

const isDifferentiable = ({ dtype }: Tensor): boolean => /^(b?float|complex)/.test(dtype);

function send(roots: readonly { tensor: Tensor; gradient: Tensor }[], options: { retainGraph?: boolean } = {}): void {
  if (roots.length === 0) return;
  torch.backward(
    roots.map(({ tensor }) => tensor),
    roots.map(({ gradient }) => gradient),
    options,
  );
}

const isList = (results: SegmentResult): results is readonly Tensor[] => Array.isArray(results);
const list = (results: SegmentResult): readonly Tensor[] => (isList(results) ? results : [results]);

function checkSame(first: readonly Tensor[], again: readonly Tensor[]): void {
  const shapes = (tensors: readonly Tensor[]) => tensors.map(({ dtype, shape }) => `${dtype} [${shape}]`).join(', ');
  if (shapes(first) === shapes(again)) return;
  throw new NudgeError('SHAPE_MISMATCH', 'A checkpointed segment returned something else when it ran again.', {
    path: 'CheckpointTape',
    expected: shapes(first),
    received: shapes(again),
    remedy: 'The function must not depend on anything that changes between run and backward.',
  });
}
