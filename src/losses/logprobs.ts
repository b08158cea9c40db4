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
 * Without gradients only one chunk is alive in float32. With gradients, autograd keeps float32 copies of logits that are not
 * float32 or are divided by a temperature: `headLogProbs` does not.
 */
export function tokenLogProbs(logits: Tensor, tokens: Tensor, options: LogProbOptions = {}): Tensor {
  logits.expectShape(['N', 'V'], 'logits');
  tokens.expectShape([logits.size(0)], 'tokens');
  const { temperature, chunkRows } = checkedOptions(options, 'tokenLogProbs');
  return torch.scope(() =>
    torch.cat(
      mapChunks(logits.size(0), chunkRows, (start, count) =>
        pick(scaled(logits.narrow(0, start, count), temperature), tokens.narrow(0, start, count)),
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

/**
 * Log-probs of the tokens among those of all: [C, V], [C] -> [C]. Both passes of log_softmax and nll_loss are fused: over a
 * vocabulary of 49,152 a quarter faster, head included, than a gather and a logsumexp, for one more [C, V] in memory.
 */
export function atTokens(logProbs: Tensor, tokens: Tensor): Tensor {
  return torch.nllLossNd(logProbs, tokens, { reduction: 0 }).neg(); // [C]
}

/** The same from logits, without another [C, V]: where all rows are alive at once, memory is what counts. */
function pick(logits: Tensor, tokens: Tensor): Tensor {
  return logits.gather(1, tokens.unsqueeze(1)).squeeze(1).sub(logits.logsumexp(-1)); // [C]
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
  const results: T[] = [];
  for (let start = 0; start < rows; start += chunkRows) {
    results.push(torch.scope(() => fn(start, Math.min(chunkRows, rows - start))));
  }
  return results;
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
