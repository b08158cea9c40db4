/**
 * What the frozen layers below an adapter make of the data: the same in every epoch and every evaluation, so it is computed once
 * and kept, and training begins at the first layer that is trained.
 */
import type { CausalModel, ForwardOptions } from '../models/index.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import { microBatches } from './batches.ts';
import type { TrainingSettings } from './config.ts';
import { SharedPrefixes } from './ppo/prefixes.ts';
import type { Trainable } from './trainable.ts';

/** Sequences that are computed together, such as the completions of a prompt behind it. */
export type TrunkRow = readonly (readonly number[])[];

/** One row's hidden states: those of the common beginning of its sequences once. */
interface Kept {
  readonly head: Tensor; // [P, D]
  readonly tails: readonly Tensor[]; // [T, D] each
}

export interface TrunkOptions {
  /** The first layer that is trained: what goes into it is kept. */
  layer: number;
  /** Tokens computed at once. */
  microBatchTokens: number;
}

/**
 * Rows are cut into parts in an order that depends on the data alone, not on the step: a resumed run, which computes the trunk
 * again, gets the same bits.
 */
export class Trunk implements Disposable {
  readonly layer: number;
  readonly #model: CausalModel;
  readonly #rows: readonly TrunkRow[];
  readonly #microBatchTokens: number;
  readonly #kept: Kept[] = [];

  constructor(model: CausalModel, rows: readonly TrunkRow[], { layer, microBatchTokens }: TrunkOptions) {
    this.layer = layer;
    this.#model = model;
    this.#rows = rows;
    this.#microBatchTokens = microBatchTokens;
  }

  /** Memory that it will take. */
  static bytes(model: CausalModel, rows: readonly TrunkRow[]): number {
    const width = model.config.hiddenSize * (model.dtype === 'float32' ? 4 : 2);
    return rows.reduce((sum, row) => sum + distinctTokens(row), 0) * width;
  }

  /** Computes what is missing. Ends early, with nothing lost, when the signal is aborted. */
  async fill(signal?: AbortSignal): Promise<void> {
    const lengths = this.#rows.map(distinctTokens);
    for (const part of microBatches([...this.#rows.keys()], lengths, this.#microBatchTokens)) {
      if (signal?.aborted) return;
      if (part.every((row) => this.#kept[row] !== undefined)) continue;
      torch.scope(() => torch.noGrad(() => this.#compute(part)));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** A sequence of a row as it goes into the layer: [T, D]. */
  sequence(row: number, index: number): Tensor {
    const { head, tails } = this.#kept[row]!;
    return torch.cat([head, tails[index]!]); // [T, D]
  }

  dispose(): void {
    for (const { head, tails } of this.#kept.splice(0)) for (const tensor of [head, ...tails]) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #compute(part: readonly number[]): void {
    const context = new SharedPrefixes(
      part.flatMap((row) => this.#rows[row]!),
      this.#model,
    );
    const hidden = inputOf(this.#model, this.layer, context); // [N, D]
    let first = 0;
    for (const row of part) {
      const sequences = this.#rows[row]!;
      const common = commonLength(sequences);
      const start = first;
      const whole = sequences.map((_, k) => context.sequence(hidden, start + k)); // [T, D] each
      this.#kept[row] = {
        head: whole[0]!.narrow(0, 0, common).clone().keep(), // [P, D]
        tails: whole.map((values) =>
          values
            .narrow(0, common, values.size(0) - common)
            .clone()
            .keep(),
        ), // [T, D] each
      };
      first += sequences.length;
    }
  }
}

/** The trunks of the data that is trained on and judged with. */
export interface Trunks extends Disposable {
  readonly train: Trunk;
  readonly evaluation: Trunk | null;
}

/**
 * Makes trunks where they gain something: several passes over the data, or checkpointing, which would run frozen layers backwards;
 * and where they fit into `frozenCacheMiB`. What is decided depends on configuration and data alone.
 */
export function makeTrunks(
  trainable: Trainable,
  train: readonly TrunkRow[],
  evaluation: readonly TrunkRow[] | null,
  config: TrainingSettings,
): Trunks | null {
  const { model, firstLayer: layer } = trainable;
  const { maxSteps, batchSize, numTrainEpochs, gradientCheckpointing, frozenCacheMiB, microBatchTokens } = config;
  const passes = maxSteps === undefined ? numTrainEpochs : (maxSteps * batchSize) / train.length;
  if (layer === 0 || (passes <= 1 && !gradientCheckpointing)) return null;
  if (Trunk.bytes(model, [...train, ...(evaluation ?? [])]) > frozenCacheMiB * 2 ** 20) return null;
  const make = (rows: readonly TrunkRow[]) => new Trunk(model, rows, { layer, microBatchTokens });
  const trunks = { train: make(train), evaluation: evaluation === null ? null : make(evaluation) };
  return {
    ...trunks,
    [Symbol.dispose]() {
      trunks.train.dispose();
      trunks.evaluation?.dispose();
    },
  };
}

const REACHED = new Error('the layer is reached');

/** What goes into a layer: [N, D]. The layers above are not computed. */
function inputOf(model: CausalModel, layer: number, context: SharedPrefixes): Tensor {
  let found: Tensor | null = null; // [N, D]
  const onLayer: ForwardOptions['onLayer'] = (input) => {
    if (input.layer !== layer) return;
    found = torch.alias(input.hidden).keep(); // [N, D]
    // The one way out of a pass that has no more to give.
    throw REACHED;
  };
  try {
    model.forward(context.ids, context, { onLayer });
  } catch (error) {
    if (error !== REACHED) throw error;
  }
  const hidden: Tensor = found!; // [N, D]
  const owned = torch.alias(hidden); // [N, D]
  hidden.dispose();
  return owned;
}

/** Tokens of a row with the common beginning counted once. */
export function distinctTokens(row: TrunkRow): number {
  const common = commonLength(row);
  return row.reduce((sum, { length }) => sum + length - common, common);
}

function commonLength(row: TrunkRow): number {
  const [first, ...others] = row;
  let common = first!.length;
  for (const other of others) {
    let i = 0;
    while (i < common && i < other.length && other[i] === first![i]) i++;
    common = i;
  }
  return common;
}
