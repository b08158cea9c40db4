/**
 * Supervised fine-tuning: cross-entropy over target tokens.
 *
 * Results are sums and single losses, never means: what to divide by is the number of target tokens in the *whole* batch, over all
 * micro-batches and ranks. A mean of means would weigh tokens of short micro-batches more.
 */
import { type Tensor, torch } from '../tensor/index.ts';
import { checkHead, HeadGradients } from './head.ts';
import { checkedOptions, chosenLogProbs, headLogits, type LogProbOptions, tokenLogProbs } from './logprobs.ts';

/** -log softmax(logits) at the targets: logits [N, V], targets [N] int64 -> [N] float32, in nats a token. */
export function crossEntropy(logits: Tensor, targets: Tensor, options: Pick<LogProbOptions, 'chunkRows'> = {}): Tensor {
  return tokenLogProbs(logits, targets, options).neg(); // [N]
}

export interface LinearCrossEntropyOptions extends Pick<LogProbOptions, 'chunkRows'> {
  /** A factor for each token's loss in the sum, [N]; for weighted examples. Default 1 everywhere. */
  weights?: Tensor;
}

export interface LinearCrossEntropy {
  /** Σ weight · loss over the tokens, a scalar with gradients for the hidden states and, if it learns, the head's weight. */
  readonly sum: Tensor;
  /** Each token's loss, [N] float32, without a graph. */
  readonly losses: Tensor;
  /** Whether the target was the likeliest token, [N] bool. */
  readonly correct: Tensor;
}

/**
 * The head and the cross-entropy in one: hidden [N, D], weight [V, D], targets [N] int64. Both passes happen chunk by chunk, here
 * and now, so that no more than one chunk's logits ever exist: the gradient of a sum is known before anybody asks.
 *
 * Divide `sum` by the number of target tokens of the whole batch: `sum.div(count).backward()`.
 */
export function linearCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): LinearCrossEntropy {
  checkHead(hidden, weight, targets);
  const { chunkRows } = checkedOptions(options, 'linearCrossEntropy');
  const weights = options.weights?.expectShape([hidden.size(0)], 'weights').detach(); // [N]
  return torch.scope(() => {
    const gradients = new HeadGradients(hidden, weight);
    const chunks = gradients.addChunks(chunkRows, (rows, head, start, count) => {
      const [logits, chosen] = [headLogits(rows, head), targets.narrow(0, start, count)]; // [C, V], [C]
      const losses = chosenLogProbs(logits, chosen, 1).neg(); // [C]
      const gradient = weights?.narrow(0, start, count).to(losses.dtype) ?? torch.onesLike(losses); // [C]
      const result = { losses: losses.detach(), correct: isLikeliest(logits.detach(), chosen) }; // [C]
      return { outputs: [{ output: losses, gradient }], result };
    });
    const losses = torch.cat(chunks.map((chunk) => chunk.losses)); // [N]
    const correct = torch.cat(chunks.map((chunk) => chunk.correct)); // [N]
    const sum = (weights === undefined ? losses : losses.mul(weights)).sum(); // scalar
    return { sum: gradients.behind(sum), losses, correct };
  });
}

/** No other token is likelier. */
function isLikeliest(logits: Tensor, targets: Tensor): Tensor {
  return logits.gather(1, targets.unsqueeze(1)).squeeze(1).ge(logits.amax(-1)); // [C] bool
}
