/**
 * How many floating-point operations a training step needs, from shapes alone: two (a product and a sum) for each element of a
 * weight and each token that passes it.
 *
 * Counted are the matrix products that the step cannot do without:
 *
 * - forward: every projection of every layer for each token computed; the head for the rows that predict a target only; scores and
 *   weighted values of attention, for each token over itself and what stands before it;
 * - backward, all weights learning: twice that, for the gradients of inputs and of weights;
 * - backward, LoRA: once for the frozen products, whose inputs alone have gradients (none below the first adapter: the queries,
 *   keys and values of the first layer), and twice for the adapters and for attention, of which both operands have gradients.
 *
 * Padding, what is computed a second time (the scores of attention in its backward pass), norms, activations, softmax and the
 * optimiser count nothing. So the share of the limit that a step reaches says how much of its time went into products that it
 * needed, had they run at the peak.
 */
import type { LlamaShape } from '../smollm2.ts';

/** What goes through the model in a step. */
export interface Work {
  /** Computed by the layers; a prompt that several completions share is computed once. */
  readonly tokens: number;
  /** Keys that queries see, summed over the tokens: t + 1 for the token at place t. */
  readonly attended: number;
  /** Rows that go through the vocabulary's head. */
  readonly predicting: number;
  /** Rows that go through a head with one output. */
  readonly scored: number;
}

/** One or more of them together. */
export function total(parts: readonly Work[]): Work {
  const sum = (name: keyof Work): number => parts.reduce((all, part) => all + part[name], 0);
  return {
    tokens: sum('tokens'),
    attended: sum('attended'),
    predicting: sum('predicting'),
    scored: sum('scored'),
  };
}

/** A sequence of which the completion is learned: the row before each of its tokens predicts it. */
export function dialogueWork(prompt: number, completion: number): Work {
  const tokens = prompt + completion;
  return { tokens, attended: triangle(tokens), predicting: completion, scored: 0 };
}

/** Two completions behind one copy of their prompt, a score each. */
export function pairWork(prompt: number, chosen: number, rejected: number): Work {
  return {
    tokens: prompt + chosen + rejected,
    attended: triangle(prompt + chosen) + triangle(prompt + rejected) - triangle(prompt),
    predicting: 0,
    scored: 2,
  };
}

/** 1 + 2 + ... + n */
const triangle = (n: number): number => (n * (n + 1)) / 2;

/** [inputs, outputs] of a layer's seven projections; the first three are of the layer's own input. */
function projections(shape: LlamaShape): readonly (readonly [inputs: number, outputs: number])[] {
  const { hidden_size: D, intermediate_size: F, num_attention_heads: H, num_key_value_heads: G, head_dim } = shape;
  return [
    [D, H * head_dim],
    [D, G * head_dim],
    [D, G * head_dim],
    [H * head_dim, D],
    [D, F],
    [D, F],
    [F, D],
  ];
}

const elements = (pairs: readonly (readonly [number, number])[]): number =>
  pairs.reduce((sum, [inputs, outputs]) => sum + inputs * outputs, 0);

/** Operations of forward and backward pass. @param rank of LoRA on all projections; null: all weights learn. */
export function trainingFlops(shape: LlamaShape, work: Work, rank: number | null): number {
  const { num_hidden_layers: L, num_attention_heads: H, head_dim, hidden_size: D, vocab_size: V } = shape;
  const all = projections(shape);
  const layers = 2 * L * elements(all) * work.tokens;
  const head = 2 * D * V * work.predicting;
  // Scores and weighted values.
  const attention = 2 * 2 * L * H * head_dim * work.attended;
  // It learns in either case: an adapter brings its own.
  const score = 2 * D * work.scored;
  if (rank === null) return 3 * (layers + head + attention + score);
  const first = all.slice(0, 3);
  const below = 2 * elements(first) * work.tokens;
  const adapters = 2 * rank * L * all.reduce((sum, [inputs, outputs]) => sum + inputs + outputs, 0) * work.tokens;
  const belowAdapters = 2 * rank * first.reduce((sum, [inputs]) => sum + inputs, 0) * work.tokens;
  return 2 * (layers + head) - below + 3 * (attention + score + adapters) - belowAdapters;
}
