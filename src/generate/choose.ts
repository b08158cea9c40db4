/** From logits to tokens. */
import { kernels } from '../nn/index.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import { draw } from './draws.ts';
import type { ResolvedParameters } from './request.ts';

/** What the next token of one completion depends on, besides its logits. */
export interface Choosing {
  readonly parameters: ResolvedParameters;
  /** Which of the n. */
  readonly index: number;
  readonly promptIds: readonly number[];
  /** Tokens so far. */
  readonly ids: readonly number[];
}

export interface Chosen {
  readonly ids: readonly number[];
  readonly logprobs: ArrayLike<number>;
}

/** Chooses a token of each row: logits [R, V], one `Choosing` a row. */
export function chooseTokens(logits: Tensor, rows: readonly Choosing[]): Chosen {
  return torch.scope(() => {
    const table = new Float64Array(rows.length * 5);
    rows.forEach(({ parameters, index, ids }, i) => {
      const { temperature, topK, topP, minP, seed } = parameters;
      table.set([temperature, topK, topP, minP, draw(seed, index, ids.length)], i * 5);
    });
    const choices = torch.fromTypedArray(table, [rows.length, 5]); // [R, 5]
    const penalised = penalise(logits, rows); // [R, V]
    const { tokens, logprobs } = kernels.choose(penalised, choices); // [R], [R]
    const reported = penalised === logits ? logprobs : unpenalised(logits, rows, tokens); // [R]
    return { ids: tokens.tolist() as number[], logprobs: reported.toFloat32Array() };
  });
}

/** The logits with repetition penalties (Keskar et al., arXiv 1909.05858): those tensors themselves where there are none. */
function penalise(logits: Tensor, rows: readonly Choosing[]): Tensor {
  if (rows.every(({ parameters }) => parameters.repetitionPenalty === 1)) return logits;
  const result = logits.clone(); // [R, V]
  rows.forEach(({ parameters, promptIds, ids }, i) => {
    const penalty = parameters.repetitionPenalty;
    if (penalty === 1) return;
    const seen = torch.tensor([...new Set([...promptIds, ...ids])], { dtype: 'int64' }).to(logits.device); // [seen]
    const row = result.select(0, i); // [V]
    const scores = row.indexSelect(0, seen); // [seen]
    row.indexCopy_(0, seen, torch.where(scores.gt(0), scores.div(penalty), scores.mul(penalty)));
  });
  return result;
}

/** Log softmax(logits / temperature) at the tokens: [R]. */
function unpenalised(logits: Tensor, rows: readonly Choosing[], tokens: Tensor): Tensor {
  const temperatures = rows.map(({ parameters }) => parameters.temperature || 1);
  const scaled = logits.float().div(torch.tensor(temperatures).to(logits.device).unsqueeze(1)); // [R, V]
  return scaled.logSoftmax(1).gather(1, tokens.unsqueeze(1)).squeeze(1); // [R]
}
