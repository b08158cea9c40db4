/**
 * Log-probabilities of given tokens, and entropies, from logits. From hidden states, in far less memory: `head.ts`.
 */
import { NudgeError } from '../errors.ts';
import { type Tensor, torch } from '../tensor/index.ts';

export interface LogProbOptions {
  /** Divides the logits, as in sampling: the policy that is trained is the one that sampled. Default 1. */
  temperature?: number;
  /** Rows computed at a time: more is hardly faster above some hundreds, and takes chunkRows * V * 4 bytes a few times. Default 256. */
  chunkRows?: number;
}

export const CHUNK_ROWS = 256;

/**
 * log softmax(logits / temperature) at the given tokens: logits [N, V] of any float dtype, tokens [N] int64 -> [N] float32.
 *
 * With gradients, all logits stay alive until the backward pass: `headLogProbs` does without.
 */
export function tokenLogProbs(logits: Tensor, tokens: Tensor, options: LogProbOptions = {}): Tensor {
  logits.expectShape(['N', 'V'], 'logits');
  tokens.expectShape([logits.size(0)], 'tokens');
  const { temperature, chunkRows } = checkedOptions(options, 'tokenLogProbs');
  return torch.scope(() =>
    torch.cat(
      mapChunks(logits.size(0), chunkRows, (start, count) =>
        chosenLogProbs(logits.narrow(0, start, count), tokens.narrow(0, start, count), temperature),
      ),
    ),
  ); // [N]
}

/** Entropy of softmax(logits / temperature) in nats: logits [N, V] -> [N] float32. */
export function tokenEntropies(logits: Tensor, options: LogProbOptions = {}): Tensor {
  logits.expectShape(['N', 'V'], 'logits');
  const { temperature, chunkRows } = checkedOptions(options, 'tokenEntropies');
  return torch.scope(() =>
    torch.cat(
      mapChunks(logits.size(0), chunkRows, (start, count) =>
        entropyOf(scaled(logits.narrow(0, start, count), temperature).logSoftmax(-1)),
      ),
    ),
  ); // [N]
}

// ---- what head.ts and sft.ts build on ----

/** float32, or float64 where it is that already. */
export function atLeastFloat32(x: Tensor): Tensor {
  return x.dtype === 'float64' ? x : x.to('float32'); // as x
}

/** logits / temperature in float32: [C, V]. */
export function scaled(logits: Tensor, temperature: number): Tensor {
  const exact = atLeastFloat32(logits); // [C, V]
  return temperature === 1 ? exact : exact.div(temperature); // [C, V]
}

/** Logits of rows [C, D] with the head's weight [V, D], by the operator that models use: [C, V]. */
export function headLogits(rows: Tensor, weight: Tensor): Tensor {
  return torch.call('nudge::linear', rows, weight, null) as Tensor; // [C, V]
}

/**
 * log softmax(logits / temperature) at the tokens: [C, V], [C] -> [C] float32. One operator (native/src/kernels/logprobs.cc): no
 * float32 copy of the logits, no log-probabilities of all tokens, and a gradient written once.
 */
export function chosenLogProbs(logits: Tensor, tokens: Tensor, temperature: number): Tensor {
  return torch.call('nudge::token_log_probs', logits, tokens, temperature) as Tensor; // [C]
}

/** H = -Σ p log p from log-probs: [C, V] -> [C]. A log-prob of -inf (a token that cannot be drawn) adds nothing. */
export function entropyOf(logProbs: Tensor): Tensor {
  // 0 * -inf would be NaN; -1e30 is as good, since p is 0 there.
  const finite = logProbs.clamp({ min: -1e30 }); // [C, V]
  const p = logProbs.exp(); // [C, V]
  const terms = p.requiresGrad ? p.mul(finite) : p.mul_(finite); // [C, V]
  return terms.sum(-1).neg(); // [C]
}

/** Runs `fn` for each chunk of rows in a scope of its own; the tensors in its results move to the caller's. */
export function mapChunks<T>(rows: number, chunkRows: number, fn: (start: number, count: number) => T): T[] {
  return chunksOf(rows, chunkRows).map(([start, count]) => torch.scope(() => fn(start, count)));
}

/** As few chunks as there must be, of nearly the same size: a small rest would cost as many passes over the weight as a full one. */
export function chunksOf(rows: number, chunkRows: number): (readonly [start: number, count: number])[] {
  const chunks = Math.ceil(rows / chunkRows);
  const startOf = (chunk: number): number => Math.floor((rows * chunk) / chunks);
  return Array.from({ length: chunks }, (_, i) => [startOf(i), startOf(i + 1) - startOf(i)] as const);
}

export function checkedOptions(options: LogProbOptions, where: string): Required<LogProbOptions> {
  const { temperature = 1, chunkRows = CHUNK_ROWS } = options;
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    throw new NudgeError('BAD_ARGUMENT', 'A temperature is a positive number.', {
      path: `${where}, temperature`,
      expected: 'a number above 0',
      received: String(temperature),
      remedy: 'Greedy decoding has no log-probabilities of its own: score it at temperature 1.',
    });
  }
  if (!Number.isSafeInteger(chunkRows) || chunkRows < 1) {
    throw new NudgeError('BAD_ARGUMENT', 'A chunk has a whole number of rows.', {
      path: `${where}, chunkRows`,
      expected: 'a positive integer',
      received: String(chunkRows),
    });
  }
  return { temperature, chunkRows };
}
