/** From scores to what each token learns: KL penalty, rewards, advantages, returns. Numbers in float64, no tensors. */
import { gae, tokenRewards, whiten } from '../../losses/index.ts';
import type { PpoConfig } from './config.ts';
import type { Assessment, CompletionTokens } from './passes.ts';

export interface Experience extends Assessment {
  /** log π_old - log ref of each token, [N]. */
  readonly kl: Float64Array;
  /** -β KL, and the score at the last token: [N]. */
  readonly rewards: Float64Array;
  /** Whitened if the configuration says so: [N]. */
  readonly advantages: Float64Array;
  /** What the value model is to say: [N]. */
  readonly returns: Float64Array;
}

type ExperienceConfig = Pick<PpoConfig, 'gamma' | 'lam' | 'whitenRewards' | 'whitenAdvantages'>;

/** @param scores [S], what missing ends cost included. */
export function experienceOf(
  assessment: Assessment,
  tokens: CompletionTokens,
  scores: ArrayLike<number>,
  klCoef: number,
  config: ExperienceConfig,
): Experience {
  const { logProbs, refLogProbs, values } = assessment;
  const { lengths } = tokens;
  const kl = Float64Array.from(logProbs, (logProb, t) => logProb - refLogProbs[t]!); // [N]
  const rewards = tokenRewards({ scores, logProbs, refLogProbs, lengths, klCoef }); // [N]
  const scaled = config.whitenRewards ? whiten(rewards, { shiftMean: false }) : rewards; // [N]
  const { advantages, returns } = gae(scaled, values, lengths, config); // [N], from unwhitened advantages
  return {
    ...assessment,
    kl,
    rewards,
    returns,
    advantages: config.whitenAdvantages ? whiten(advantages) : advantages, // [N]
  };
}
