/**
 * Forward passes over rollouts. There is no padding, what sequences begin with alike is computed once (`SharedPrefixes`), logits are
 * computed for completion tokens only and chunk by chunk, and what the base makes of the layers below all adapters is computed once
 * a step (`StepTrunk`).
 */
import { type HeadOptions, headLogProbs, throughHead } from '../../losses/index.ts';
import type { CausalModel, ForwardOptions } from '../../models/index.ts';
import { type Device, type Tensor, torch } from '../../tensor/index.ts';
import { packTokens } from '../batches.ts';
import { int64 } from '../pack.ts';
import { SharedPrefixes } from '../prefixes.ts';
import type { Rollout } from './rollout.ts';
import { type ModelView, type PpoModels, sharedLayers, withView } from './view.ts';

/** Tokens of a rollout that go through a model: the last one is predicted, and predicts nothing. */
export const inputLength = ({ prompt, ids }: Rollout): number => prompt.ids.length + ids.length - 1;

/** Some rollouts of a step, computed together. Its tensors belong to the scope in which it was made. */
export interface PackedRollouts {
  /** Which rollouts, in this order. */
  readonly rows: readonly number[];
  /** Their tokens: prompts and what else they begin with alike once. */
  readonly context: SharedPrefixes; // N tokens
  /** Whose next token is one of a completion, completion after completion: [C]. */
  readonly predictors: Tensor; // [C]
  /** The completion tokens themselves: [C]. */
  readonly targets: Tensor; // [C]
}

export function pack(rollouts: readonly Rollout[], rows: readonly number[], model: CausalModel): PackedRollouts {
  const chosen = rows.map((row) => rollouts[row]!);
  const sequences = chosen.map(({ prompt, ids }) => [...prompt.ids, ...ids.slice(0, -1)]);
  const context = new SharedPrefixes(sequences, model);
  const predictors = chosen.flatMap(({ prompt, ids }, i) =>
    ids.map((_, t) => context.placeOf(i, prompt.ids.length - 1 + t)),
  );
  const targets = chosen.flatMap(({ ids }) => ids);
  return { rows, context, predictors: int64(predictors, model.device), targets: int64(targets, model.device) }; // [C], [C]
}

/**
 * What goes into a layer above which adapters differ and below which they do not: computed by whoever comes by first, without
 * gradients, and kept for the rest of the step. A row here is a rollout.
 */
export class StepTrunk implements Disposable {
  /** By model and layer: the hidden states of each rollout as far as they are known, [inputLength, D] or with its last token. */
  readonly #kept = new Map<CausalModel, Map<number, Map<number, Tensor>>>();

  /** @param views all that will compute something. */
  constructor(views: readonly ModelView[]) {
    for (const view of views) {
      const layer = sharedLayers(view);
      if (layer === 0 || layer >= view.model.config.layers) continue;
      const layers = this.#kept.get(view.model) ?? new Map<number, Map<number, Tensor>>();
      this.#kept.set(view.model, layers.set(layer, new Map()));
    }
  }

  /** Hidden states of a view over packed rollouts: [N, D]. */
  forward(view: ModelView, { rows, context }: Pick<PackedRollouts, 'rows' | 'context'>): Tensor {
    const below = sharedLayers(view);
    const usable = [...(this.#kept.get(view.model) ?? [])].filter(([layer]) => layer <= below);
    const options: ForwardOptions = {};
    for (const [layer, kept] of usable.sort(([a], [b]) => b - a)) {
      if (!rows.every((row) => kept.has(row))) continue;
      options.from = { layer, hidden: context.gather((i) => kept.get(rows[i]!)!) }; // [N, D]
      break;
    }
    const missing = new Map(usable.filter(([layer]) => layer > (options.from?.layer ?? -1)));
    // With gradients, a copy would be kept of what the graph holds already.
    if (missing.size > 0 && !torch.isGradEnabled()) {
      options.onLayer = ({ layer, hidden }) => {
        const kept = missing.get(layer);
        for (const [i, row] of kept === undefined ? [] : rows.entries()) {
          if (!kept!.has(row)) kept!.set(row, context.sequence(hidden, i).keep()); // [inputLength, D]
        }
      };
    }
    return withView(view, () => view.model.forward(context.ids, context, options)); // [N, D]
  }

  dispose(): void {
    for (const layers of this.#kept.values()) {
      for (const kept of layers.values()) for (const hidden of kept.values()) hidden.dispose();
    }
    this.#kept.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Log-probabilities of the completion tokens, and entropies on request: [C] each. */
export function completionLogProbs(
  trunk: StepTrunk,
  view: ModelView,
  packed: PackedRollouts,
  options: HeadOptions,
): { logProbs: Tensor; entropies: Tensor | null } {
  const hidden = trunk.forward(view, packed).indexSelect(0, packed.predictors); // [C, D]
  return headLogProbs(hidden, view.model.lm_head!.weight, packed.targets, options); // [C]
}

/** A scalar loss over the completion tokens' log-probabilities [C], with gradients for all that the view trains. */
export function completionLoss(
  trunk: StepTrunk,
  view: ModelView,
  packed: PackedRollouts,
  options: HeadOptions,
  loss: (logProbs: Tensor) => Tensor,
): Tensor {
  const hidden = trunk.forward(view, packed).indexSelect(0, packed.predictors); // [C, D]
  return lossThroughHead(view, hidden, packed.targets, options, loss); // scalar
}

/** The same for any rows: hidden [C, D], targets [C]. */
export function lossThroughHead(
  { model }: ModelView,
  hidden: Tensor,
  targets: Tensor,
  options: HeadOptions,
  loss: (logProbs: Tensor) => Tensor,
): Tensor {
  const { weight } = model.lm_head!;
  // A frozen head gives its gradients in one pass; one that learns would hold the logits of all rows for it.
  if (!weight.requiresGrad) return loss(headLogProbs(hidden, weight, targets, options).logProbs);
  return throughHead(hidden, weight, targets, options, ({ logProbs }) => loss(logProbs)); // scalar
}

/** What a model with a score head says of whole rollouts, read at their last tokens: [S]. */
export function rolloutScores(
  trunk: StepTrunk,
  view: ModelView,
  rollouts: readonly Rollout[],
  microBatchTokens: number,
): number[] {
  const lengths = rollouts.map((rollout) => inputLength(rollout) + 1);
  return packTokens([...rollouts.keys()], lengths, microBatchTokens).flatMap((rows) =>
    torch.scope(() =>
      torch.noGrad(() => {
        const sequences = rows.map((row) => [...rollouts[row]!.prompt.ids, ...rollouts[row]!.ids]);
        const context = new SharedPrefixes(sequences, view.model);
        const hidden = trunk.forward(view, { rows, context }); // [N, D]
        const last = rows.map((row, i) => context.placeOf(i, lengths[row]! - 1));
        const lastTokens = int64(last, view.model.device); // [S]
        return [...withView(view, () => view.model.scores(hidden, { lastTokens })).toFloat32Array()];
      }),
    ),
  );
}

/** The value model's estimates before each completion token: [C]. */
export function completionValues(trunk: StepTrunk, view: ModelView, packed: PackedRollouts): Tensor {
  const hidden = trunk.forward(view, packed).indexSelect(0, packed.predictors); // [C, D]
  return withView(view, () => view.model.values(hidden)).float(); // [C]
}

/** Which rollouts are computed together, for each optimiser step of an epoch. */
export type MiniBatches = readonly (readonly (readonly number[])[])[];

/** Neighbours with the same prompt, as sampled: mini-batches keep them together, so that their prompt is computed once. */
export function promptGroups(rollouts: readonly Rollout[]): number[][] {
  const groups: number[][] = [];
  for (const [row, { prompt }] of rollouts.entries()) {
    if (row > 0 && rollouts[row - 1]!.prompt === prompt) groups.at(-1)!.push(row);
    else groups.push([row]);
  }
  return groups;
}

/**
 * Splits rollouts in a random order into mini-batches of equal size, and those into what is computed at once: neighbours together,
 * since those have the same prompt.
 */
export function planMiniBatches(
  order: readonly number[],
  rollouts: readonly Rollout[],
  { numMiniBatches, microBatchTokens }: { numMiniBatches: number; microBatchTokens: number },
): MiniBatches {
  const lengths = rollouts.map(inputLength);
  return Array.from({ length: numMiniBatches }, (_, i) => {
    const [from, to] = [i, i + 1].map((edge) => Math.floor((edge * order.length) / numMiniBatches));
    return packTokens(
      order.slice(from, to).toSorted((a, b) => a - b),
      lengths,
      microBatchTokens,
    );
  });
}

/** What the models think of the rollouts before training on them: one value a completion token, rollout after rollout, [N]. */
export interface Assessment {
  /** Log-probabilities under the policy that sampled, by the same arithmetic as in training. */
  readonly logProbs: Float32Array;
  readonly refLogProbs: Float32Array;
  readonly values: Float32Array;
  /** Of the policy's distribution before each token, in nats. */
  readonly entropies: Float32Array;
}

/**
 * One pass each of reference, policy and value model. The engine's log-probabilities are not used: its kernels round differently.
 *
 * @param plan the first epoch's. Rollouts are computed here in the company in which they are trained on first, so that to the
 *   last bit the ratio begins at 1.
 */
export function assess(
  { policy, reference, value }: PpoModels,
  rollouts: readonly Rollout[],
  plan: MiniBatches,
  trunk: StepTrunk,
  { temperature }: { temperature: number },
): Assessment {
  const tokens = new CompletionTokens(rollouts);
  const empty = () => new Float32Array(tokens.count);
  const found = { logProbs: empty(), refLogProbs: empty(), values: empty(), entropies: empty() };
  for (const rows of plan.flat()) {
    torch.scope(() =>
      torch.noGrad(() => {
        const packed = pack(rollouts, rows, policy.model);
        // The reference first: its pass leaves what the others begin with.
        const { logProbs: refLogProbs } = completionLogProbs(trunk, reference, packed, { temperature }); // [C]
        const { logProbs, entropies } = completionLogProbs(trunk, policy, packed, { temperature, entropy: 'value' }); // [C]
        const values = completionValues(trunk, value, packed); // [C]
        const all = { logProbs, refLogProbs, values, entropies: entropies! }; // [C] each
        for (const [name, tensor] of Object.entries(all)) tokens.put(found[name as keyof Assessment], rows, tensor);
      }),
    );
  }
  return found;
}

/** Where each rollout's tokens stand in arrays of all completion tokens, [N]. */
export class CompletionTokens {
  readonly lengths: readonly number[];
  /** N */
  readonly count: number;
  readonly #starts: readonly number[];

  constructor(rollouts: readonly Rollout[]) {
    this.lengths = rollouts.map(({ ids }) => ids.length);
    let count = 0;
    this.#starts = this.lengths.map((length) => {
      count += length;
      return count - length;
    });
    this.count = count;
  }

  countOf(rows: readonly number[]): number {
    return rows.reduce((sum, row) => sum + this.lengths[row]!, 0);
  }

  /** values [C] of these rollouts' tokens, into their places. */
  put(into: Float32Array, rows: readonly number[], values: Tensor): void {
    const flat = values.toFloat32Array();
    let at = 0;
    for (const row of rows) {
      into.set(flat.subarray(at, at + this.lengths[row]!), this.#starts[row]!);
      at += this.lengths[row]!;
    }
  }

  /** The tokens of these rollouts out of an array of all: [C] float32. */
  take(from: ArrayLike<number>, rows: readonly number[], device: Device): Tensor {
    const flat = new Float32Array(this.countOf(rows));
    let at = 0;
    for (const row of rows) {
      for (let t = 0; t < this.lengths[row]!; t++) flat[at++] = from[this.#starts[row]! + t]!;
    }
    return torch.fromTypedArray(flat, [flat.length]).to(device); // [C]
  }

  /** The sum over each rollout: [N] -> [S]. */
  sums(values: ArrayLike<number>): number[] {
    return this.lengths.map((length, s) => {
      let sum = 0;
      for (let t = 0; t < length; t++) sum += values[this.#starts[s]! + t]!;
      return sum;
    });
  }
}
