/**
 * From scores to advantages. Small and exact: on the CPU, in float64, loops over the sequences' lengths.
 *
 * All arrays are flat: the completion tokens of S sequences one after the other (N tokens), or one value a sequence (S). Prompts
 * with G samples each are neighbours: `groups[p]` sequences belong to prompt p.
 */
import { NudgeError } from '../errors.ts';
import { checkLengths, type Lengths } from './segments.ts';

/** Float32Array, Float64Array or number[]. */
export type Numbers = ArrayLike<number>;

export interface TokenRewardInputs {
  /** What the reward model gave each sequence, [S]. */
  readonly scores: Numbers;
  /** log π_old and log ref of each completion token, [N]. */
  readonly logProbs: Numbers;
  readonly refLogProbs: Numbers;
  readonly lengths: Lengths;
  /** β. */
  readonly klCoef: number;
}

/**
 * R_t = -β (log π_old - log ref)_t + [t is the last token] · score (Ziegler et al., 1909.08593, eq. 2): [N].
 *
 * The score is on the last completion token. (Some code puts it one place later, on the first padding token.)
 */
export function tokenRewards({ scores, logProbs, refLogProbs, lengths, klCoef }: TokenRewardInputs): Float64Array {
  const N = checkTokens(lengths, { logProbs, refLogProbs }, 'tokenRewards');
  checkCount(scores, lengths.length, 'tokenRewards, scores');
  const rewards = Float64Array.from({ length: N }, (_, t) => -klCoef * (logProbs[t]! - refLogProbs[t]!)); // [N]
  let end = 0;
  for (const [s, length] of lengths.entries()) {
    end += length;
    rewards[end - 1]! += scores[s]!;
  }
  return rewards;
}

export interface GaeOptions {
  /** Discount a token. Default 1: a score at the end counts fully at the first token. */
  gamma?: number;
  /** 1 is the plain return minus the baseline (no bias, much variance), 0 one step ahead. Default 0.95. */
  lam?: number;
}

export interface Gae {
  /** [N], unwhitened. */
  readonly advantages: Float64Array;
  /** What the value model should have said: advantages + values, [N]. */
  readonly returns: Float64Array;
}

/**
 * Generalised advantage estimation (Schulman et al., 1506.02438): δ_t = R_t + γ V_{t+1} - V_t, A_t = δ_t + γ λ A_{t+1}, where the
 * value after the last token of a sequence is 0. rewards and values [N].
 */
export function gae(rewards: Numbers, values: Numbers, lengths: Lengths, options: GaeOptions = {}): Gae {
  const { gamma = 1, lam = 0.95 } = options;
  const N = checkTokens(lengths, { rewards, values }, 'gae');
  const advantages = new Float64Array(N);
  backwards(lengths, (t, last) => {
    const next = last ? 0 : values[t + 1]!;
    const delta = rewards[t]! + gamma * next - values[t]!;
    advantages[t] = delta + (last ? 0 : gamma * lam * advantages[t + 1]!);
  });
  return { advantages, returns: advantages.map((advantage, t) => advantage + values[t]!) };
}

/** Rewards to go: G_t = R_t + γ G_{t+1} within each sequence, [N]. */
export function returnsToGo(rewards: Numbers, lengths: Lengths, gamma = 1): Float64Array {
  const returns = new Float64Array(checkTokens(lengths, { rewards }, 'returnsToGo'));
  backwards(lengths, (t, last) => {
    returns[t] = rewards[t]! + (last ? 0 : gamma * returns[t + 1]!);
  });
  return returns;
}

/** The last token of each sequence first. */
function backwards(lengths: Lengths, visit: (token: number, last: boolean) => void): void {
  let start = 0;
  for (const length of lengths) {
    for (let t = start + length - 1; t >= start; t--) visit(t, t === start + length - 1);
    start += length;
  }
}

// ---- whitening ----

/** Count, mean and sum of squared deviations: what ranks exchange to whiten over all of them. */
export interface Moments {
  readonly count: number;
  readonly mean: number;
  readonly m2: number;
}

export function momentsOf(values: Numbers): Moments {
  const count = values.length;
  let sum = 0;
  for (let i = 0; i < count; i++) sum += values[i]!;
  const mean = count === 0 ? 0 : sum / count;
  let m2 = 0;
  for (let i = 0; i < count; i++) m2 += (values[i]! - mean) ** 2;
  return { count, mean, m2 };
}

/** The moments of two sets together (Chan et al., 1979). */
export function mergeMoments(a: Moments, b: Moments): Moments {
  const count = a.count + b.count;
  if (count === 0) return a;
  const gap = b.mean - a.mean;
  return { count, mean: a.mean + (gap * b.count) / count, m2: a.m2 + b.m2 + (gap * gap * a.count * b.count) / count };
}

export interface WhitenOptions {
  /** False keeps the mean: rewards, if whitened at all, are only scaled. Default true, for advantages. */
  shiftMean?: boolean;
  /** The moments to whiten with, where other ranks hold a part of the batch. Default: those of `values`. */
  moments?: Moments;
}

/**
 * (x - mean) / √(var + 1e-8) over all completion tokens of the batch: [N] -> [N]. The variance is that of the population, as in
 * the original code (Huang et al., 2403.17031); TRL divides by N - 1.
 */
export function whiten(values: Numbers, options: WhitenOptions = {}): Float64Array {
  const { shiftMean = true, moments = momentsOf(values) } = options;
  const { count, mean, m2 } = moments;
  const scale = 1 / Math.sqrt(m2 / Math.max(1, count) + 1e-8);
  return Float64Array.from(values, (value) => (value - mean) * scale + (shiftMean ? 0 : mean));
}

// ---- without a value model: a prompt's other samples are the baseline ----

/** Sequences a prompt, in the order of the sequences. */
export type Groups = readonly number[];

/** RLOO: A_i = R_i - the mean of the prompt's other samples (Ahmadian et al., 2402.14740). The KL belongs into R. [S] -> [S]. */
export function rlooAdvantages(rewards: Numbers, groups: Groups): Float64Array {
  return byGroup(rewards, groups, 2, 'rlooAdvantages', (group) => {
    const sum = group.reduce((total, reward) => total + reward, 0);
    return group.map((reward) => reward - (sum - reward) / (group.length - 1));
  });
}

/**
 * GRPO: (R - mean) / (sd + eps), the sd of the sample (Shao et al., 2402.03300). [S] -> [S].
 *
 * @param eps keeps groups whose rewards differ by nothing from dividing by zero; default 1e-4, as in TRL. It weighs easy and hard
 *   prompts (small sd) more than those in between: `drGrpoAdvantages` does not.
 */
export function grpoAdvantages(rewards: Numbers, groups: Groups, eps = 1e-4): Float64Array {
  return byGroup(rewards, groups, 2, 'grpoAdvantages', (group) => {
    // The mean of equal numbers may differ from them by rounding, and that would be divided by a rounding error.
    if (group.every((reward) => reward === group[0])) return group.map(() => 0);
    const { mean, m2 } = momentsOf(group);
    const scale = Math.sqrt(m2 / (group.length - 1)) + eps;
    return group.map((reward) => (reward - mean) / scale);
  });
}

/** Dr. GRPO: R - mean, not divided by anything (Liu et al., 2503.20783). [S] -> [S]. */
export function drGrpoAdvantages(rewards: Numbers, groups: Groups): Float64Array {
  return byGroup(rewards, groups, 1, 'drGrpoAdvantages', (group) => {
    const { mean } = momentsOf(group);
    return group.map((reward) => reward - mean);
  });
}

/**
 * REINFORCE++ (Hu, 2501.03262): each token's reward to go (the KL penalty is in the tokens' rewards), whitened over the whole
 * batch. rewards [N], as from `tokenRewards` -> [N].
 */
export function reinforcePlusPlusAdvantages(rewards: Numbers, lengths: Lengths, moments?: Moments): Float64Array {
  const returns = returnsToGo(rewards, lengths); // [N]
  return whiten(returns, moments === undefined ? {} : { moments });
}

/** REINFORCE++-baseline: R - mean of the prompt's samples, then whitened over the whole batch of sequences. [S] -> [S]. */
export function reinforcePlusPlusBaselineAdvantages(rewards: Numbers, groups: Groups): Float64Array {
  return whiten(drGrpoAdvantages(rewards, groups));
}

/** Which prompts have samples of different reward: the others teach a group-based method nothing (DAPO drops them, 2503.14476). */
export function informativeGroups(rewards: Numbers, groups: Groups): boolean[] {
  const informative: boolean[] = [];
  byGroup(rewards, groups, 1, 'informativeGroups', (group) => {
    informative.push(group.some((reward) => reward !== group[0]));
    return group;
  });
  return informative;
}

/** DAPO's soft overlong penalty (2503.14476, eq. 13): 0 up to maxLength - buffer, down to -1 at maxLength, -1 above. [S] -> [S]. */
export function overlongPenalties(lengths: Lengths, maxLength: number, buffer: number): Float64Array {
  return Float64Array.from(lengths, (length) => {
    const free = maxLength - buffer;
    if (length <= free) return 0;
    return length > maxLength ? -1 : (free - length) / buffer;
  });
}

/** 1 - Var(returns - values) / Var(returns): how much of the returns the value model foresees. 1 is all, 0 no better than their mean. */
export function explainedVariance(values: Numbers, returns: Numbers): number {
  checkCount(values, returns.length, 'explainedVariance');
  const total = momentsOf(returns).m2;
  const left = momentsOf(Float64Array.from(returns, (target, t) => target - values[t]!)).m2;
  return total === 0 ? Number.NaN : 1 - left / total;
}

function byGroup(
  rewards: Numbers,
  groups: Groups,
  smallest: number,
  where: string,
  fn: (group: number[]) => readonly number[],
): Float64Array {
  const total = groups.reduce((sum, size) => sum + size, 0);
  const fits = groups.every((size) => Number.isSafeInteger(size) && size >= smallest);
  if (!fits || total !== rewards.length) {
    throw new NudgeError('SHAPE_MISMATCH', 'The samples cannot be split into these groups.', {
      path: where,
      expected: `${rewards.length} rewards in groups of at least ${smallest}`,
      received: `groups of ${groups.slice(0, 8).join(', ')}${groups.length > 8 ? ', ...' : ''}, ${total} in all`,
      remedy:
        smallest > 1
          ? 'Sample at least two completions a prompt (numGenerations).'
          : 'Count the samples of each prompt.',
    });
  }
  const out = new Float64Array(rewards.length); // [S]
  let start = 0;
  for (const size of groups) {
    out.set(fn(Array.from({ length: size }, (_, i) => rewards[start + i]!)), start);
    start += size;
  }
  return out;
}

function checkTokens(lengths: Lengths, arrays: Record<string, Numbers>, where: string): number {
  for (const [name, array] of Object.entries(arrays)) checkLengths(lengths, [array.length], `${where}, ${name}`);
  return Object.values(arrays)[0]!.length;
}

function checkCount(values: Numbers, count: number, path: string): void {
  if (values.length === count) return;
  throw new NudgeError('SHAPE_MISMATCH', 'There must be one value for each.', {
    path,
    expected: `${count} values`,
    received: `${values.length}`,
  });
}
