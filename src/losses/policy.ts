/**
 * Policy losses without a value model: REINFORCE and RLOO, GRPO and its kin, GSPO.
 *
 * The tokens of S completions are flat, [N]; advantages are one a sequence, [S] (`advantages.ts`). What distinguishes the methods
 * besides their advantages is how tokens are weighed: that is a function of its own, so that a batch can be computed in parts.
 */
import { type Tensor, torch } from '../tensor/index.ts';
import { k3 } from './kl.ts';
import { type ClipRange, type PolicyLoss, ppoPolicyLoss } from './ppo.ts';
import { expandSegments, type Lengths, segmentMeans } from './segments.ts';

/** The whole batch, over all micro-batches and ranks. */
export interface BatchSize {
  readonly sequences: number;
  readonly tokens: number;
  /** The longest completion that could be sampled, in tokens (`maxNewTokens`). */
  readonly maxLength: number;
}

/** The weight of each token of the sequences at hand, [N]; the loss of the batch is the sum of weight · loss over all its parts. */
export type TokenWeighting = (lengths: Lengths, batch: BatchSize) => Float64Array;

/** 1/S: a sequence counts with the sum of its tokens. REINFORCE, RLOO. */
export const sequenceSum: TokenWeighting = (lengths, { sequences }) => weigh(lengths, () => 1 / sequences);

/** 1/(S |y|): every sequence counts the same. GRPO (2402.03300); long wrong answers are punished less a token. */
export const sequenceMean: TokenWeighting = (lengths, { sequences }) =>
  weigh(lengths, (length) => 1 / (sequences * length));

/** 1/N: every token counts the same. PPO, DAPO (2503.14476). */
export const tokenMean: TokenWeighting = (lengths, { tokens }) => weigh(lengths, () => 1 / tokens);

/** 1/(S L) with a constant L: no length bias at all. Dr. GRPO (2503.20783). */
export const constantLength: TokenWeighting = (lengths, { sequences, maxLength }) =>
  weigh(lengths, () => 1 / (sequences * maxLength));

export const TOKEN_WEIGHTINGS = { sequenceSum, sequenceMean, tokenMean, constantLength } as const;
export type TokenWeightingName = keyof typeof TOKEN_WEIGHTINGS;

function weigh(lengths: Lengths, weightOf: (length: number) => number): Float64Array {
  return Float64Array.from(lengths.flatMap((length) => Array<number>(length).fill(weightOf(length))));
}

/** REINFORCE: -A log π of each token, [N] and [N] -> [N]. With RLOO's advantages and `sequenceSum` it is RLOO (2402.14740). */
export function reinforceLoss(logProbs: Tensor, advantages: Tensor): Tensor {
  advantages.expectShape([logProbs.size(0)], 'advantages');
  return logProbs.mul(advantages.detach()).neg(); // [N]
}

export interface GroupPolicyLossInputs {
  /** log π of the tokens, with a graph; [N]. */
  readonly logProbs: Tensor;
  /** log π when they were sampled, [N]. */
  readonly oldLogProbs: Tensor;
  /** One a sequence, [S]. */
  readonly advantages: Tensor;
  readonly lengths: Lengths;
  /** GRPO 0.2; DAPO { low: 0.2, high: 0.28 }, which leaves room for unlikely tokens to grow. Default 0.2. */
  readonly cliprange?: ClipRange;
}

export interface GrpoLossInputs extends GroupPolicyLossInputs {
  /** log ref of the tokens, [N]; needed where beta is not 0. */
  readonly refLogProbs?: Tensor;
  /** Factor of the k3 penalty in the loss. DeepSeekMath 0.04; DAPO and Dr. GRPO 0. Default 0. */
  readonly beta?: number;
}

export interface GrpoLoss extends PolicyLoss {
  /** k3 of each token, [N], without a graph; null without a reference. */
  readonly kl: Tensor | null;
}

/** The clipped surrogate with one advantage a sequence, plus β k3 (2402.03300, eq. 3 and 4). Results [N]. */
export function grpoLoss({ advantages, lengths, refLogProbs, beta = 0, ...inputs }: GrpoLossInputs): GrpoLoss {
  return torch.scope(() => {
    const policy = ppoPolicyLoss({ ...inputs, advantages: expandSegments(advantages, lengths) });
    if (refLogProbs === undefined) return { ...policy, kl: null };
    const kl = k3(inputs.logProbs, refLogProbs.detach()); // [N]
    const losses = beta === 0 ? policy.losses : policy.losses.add(kl.mul(beta)); // [N]
    return { ...policy, losses, kl: kl.detach() };
  });
}

/**
 * GSPO: the ratio of a sequence is the geometric mean of its tokens' (Zheng et al., 2507.18071, eq. 5 to 7), and so is what is
 * clipped. All results but approxKl are [S]: weigh each sequence by 1/S.
 *
 * @param inputs cliprange: ratios of means are close to 1, so that the paper clips at { low: 3e-4, high: 4e-4 }, the default here.
 */
export function gspoLoss(inputs: GroupPolicyLossInputs): PolicyLoss {
  const { logProbs, oldLogProbs, advantages, lengths, cliprange = { low: 3e-4, high: 4e-4 } } = inputs;
  return torch.scope(() => {
    const means = segmentMeans(logProbs.sub(oldLogProbs.detach()), lengths); // [S]
    return ppoPolicyLoss({ logProbs: means, oldLogProbs: torch.zerosLike(means.detach()), advantages, cliprange });
  });
}
