/** How likely a model finds whole completions. */
import { headLogProbs } from '../losses/index.ts';
import type { CausalModel } from '../models/index.ts';
import { torch } from '../tensor/index.ts';
import { microBatches } from './batches.ts';
import { int64, packSequences } from './pack.ts';

export interface PromptedCompletion {
  readonly promptIds: readonly number[];
  /** At least one. */
  readonly ids: readonly number[];
}

export interface LogProbSumOptions {
  /** Divides the logits, as in sampling. Default 1. */
  temperature?: number;
  /** Tokens computed at once. Default 2048. */
  microBatchTokens?: number;
}

/**
 * log π(completion | prompt) of each, summed over its tokens, in nats: with the adapter that is on. On the path of training and
 * without gradients, so that two models (or a model with its adapter on and off) differ by their weights alone.
 */
export function completionLogProbSums(
  model: CausalModel,
  completions: readonly PromptedCompletion[],
  { temperature = 1, microBatchTokens = 2048 }: LogProbSumOptions = {},
): number[] {
  const lengths = completions.map(({ promptIds, ids }) => promptIds.length + ids.length - 1);
  const sums = new Array<number>(completions.length);
  for (const rows of microBatches([...lengths.keys()], lengths, microBatchTokens)) {
    torch.scope(() => torch.noGrad(() => addSums(model, completions, rows, temperature, sums)));
  }
  return sums;
}

function addSums(
  model: CausalModel,
  completions: readonly PromptedCompletion[],
  rows: readonly number[],
  temperature: number,
  sums: number[],
): void {
  const chosen = rows.map((row) => completions[row]!);
  const packed = packSequences(
    chosen.map(({ promptIds, ids }) => [...promptIds, ...ids.slice(0, -1)]),
    model.device,
  );
  let start = 0;
  const predictors = chosen.flatMap(({ promptIds, ids }) => {
    const first = start + promptIds.length - 1;
    start += promptIds.length + ids.length - 1;
    return ids.map((_, t) => first + t);
  });
  const hidden = model.forward(packed.ids, packed.context).indexSelect(0, int64(predictors, model.device)); // [C, D]
  const targets = int64(
    chosen.flatMap(({ ids }) => ids),
    model.device,
  ); // [C]
  const { logProbs } = headLogProbs(hidden, model.lm_head!.weight, targets, { temperature }); // [C]
  const values = logProbs.toFloat32Array();
  let at = 0;
  for (const [i, { ids }] of chosen.entries()) {
    sums[rows[i]!] = values.subarray(at, at + ids.length).reduce((sum, value) => sum + value, 0);
    at += ids.length;
  }
}
