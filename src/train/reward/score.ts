/** Scores of completions: of one batch with its graph, for training, and of any number without. */
import { type CausalModel, LoraAdapters, PackedAttention } from '../../models/index.ts';
import type { CheckpointTape } from '../../nn/index.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import { microBatches } from '../batches.ts';
import { int64 } from '../pack.ts';
import { SharedPrefixes } from '../prefixes.ts';
import type { Trunk, TrunkRow } from '../trunk.ts';
import { rowLength, type ScoredGroup } from './rows.ts';

/** What frozen layers have made of some groups, and which of its rows each is. */
export interface TrunkRows {
  readonly trunk: Trunk;
  readonly rows: readonly number[];
}

export interface ScoreTensorOptions {
  tape?: CheckpointTape | undefined;
  trunk?: TrunkRows | undefined;
}

/** Each completion behind its prompt. */
export const sequencesOfGroup = ({ promptIds, completions }: ScoredGroup): TrunkRow =>
  completions.map((own) => [...promptIds, ...own]);

/** The scores of all completions of some groups, one after the other: [A]. What they begin with alike is computed once. */
export function scoreTensor(
  model: CausalModel,
  groups: readonly ScoredGroup[],
  options: ScoreTensorOptions = {},
): Tensor {
  const { tape, trunk } = options;
  const sequences = groups.flatMap(sequencesOfGroup);
  const context = new SharedPrefixes(sequences, model);
  const places = groups.flatMap(({ completions }, g) => completions.map((_, k) => [g, k] as const));
  const from = trunk && {
    layer: trunk.trunk.layer,
    hidden: context.gather((i) => trunk.trunk.sequence(trunk.rows[places[i]![0]]!, places[i]![1])), // [N, D]
  };
  const hidden = model.forward(context.ids, context, {
    ...(tape === undefined ? {} : { tape }),
    ...(from === undefined ? {} : { from }),
  }); // [N, D]
  const last = sequences.map(({ length }, i) => context.placeOf(i, length - 1));
  return model.scores(hidden, { lastTokens: int64(last, model.device) }); // [A]
}

/** The same scores from whole sequences that share nothing: to compare with. */
export function separateScores(model: CausalModel, groups: readonly ScoredGroup[]): Tensor {
  const sequences = groups.flatMap(sequencesOfGroup);
  const context = new PackedAttention(
    sequences.map(({ length }) => length),
    { device: model.device },
  );
  return model.scores(model.forward(int64(sequences.flat(), model.device), context), context); // [A]
}

export interface ScoreOptions {
  /** The adapter that is the reward model. Default: the model as it is. */
  adapter?: string;
  /** Tokens computed at once. Default 4096: without gradients memory is no concern. */
  microBatchTokens?: number;
  /** Ends completions that do not end with one of them, with the first: a reward model reads its score there. Default: as given. */
  eosIds?: readonly number[];
  /** Ends the work after the batch under way, by throwing its reason. */
  signal?: AbortSignal;
  trunk?: TrunkRows | undefined;
}

/**
 * Scores completions of prompts, without gradients.
 *
 *     const [[first, second]] = await scoreCompletions(model, [{ promptIds, completions: [a, b] }], { adapter: 'reward' });
 *
 * What sequences begin with alike (the prompt, a system message) is computed once a batch. A score does not depend on what else is
 * asked, but for the last bits.
 *
 * @returns the scores of each group, in its order.
 */
export async function scoreCompletions(
  model: CausalModel,
  groups: readonly ScoredGroup[],
  options: ScoreOptions = {},
): Promise<number[][]> {
  const { adapter, microBatchTokens = 4096, eosIds = [], signal, trunk } = options;
  const ended = eosIds.length === 0 ? groups : groups.map((group) => withEnds(group, eosIds));
  const run = <T>(fn: () => T): T =>
    adapter === undefined || !(model.adapters instanceof LoraAdapters) ? fn() : model.adapters.withAdapter(adapter, fn);
  const scores: number[][] = [];
  for (const rows of microBatches([...ended.keys()], ended.map(rowLength), microBatchTokens)) {
    signal?.throwIfAborted();
    const part = rows.map((row) => ended[row]!);
    const options = trunk && { trunk: { ...trunk, rows: rows.map((row) => trunk.rows[row]!) } };
    const flat = torch.scope(() => torch.noGrad(() => run(() => scoreTensor(model, part, options).toFloat32Array())));
    let at = 0;
    for (const row of rows) {
      const { length } = ended[row]!.completions;
      scores[row] = [...flat.subarray(at, at + length)];
      at += length;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return scores;
}

function withEnds({ promptIds, completions }: ScoredGroup, eosIds: readonly number[]): ScoredGroup {
  const ends = (ids: readonly number[]) => ids.length > 0 && eosIds.includes(ids.at(-1)!);
  return { promptIds, completions: completions.map((ids) => (ends(ids) ? ids : [...ids, eosIds[0]!])) };
}
