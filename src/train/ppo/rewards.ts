/** Where scores come from: reward models, rules, judges behind a server; their weighted sum is what PPO works for. */
import type { Content } from '../../data/index.ts';
import { NudgeError } from '../../errors.ts';
import { type MissingEosRule, scoresWithMissingEos } from '../../losses/index.ts';
import { RewardModel } from '../reward/model.ts';
import { type ScoreOptions, scoreCompletions } from '../reward/score.ts';
import type { PpoConfig } from './config.ts';
import { rolloutScores, type StepTrunk } from './passes.ts';
import type { Rollout } from './rollout.ts';
import type { ModelView } from './view.ts';

/** Completions to score, as parallel arrays. */
export interface RewardBatch {
  readonly prompts: readonly Content[];
  /** Without the end of text; '' each where the trainer has no tokenizer. */
  readonly completions: readonly string[];
  /** The completions' tokens, the end of text included where it came. */
  readonly ids: readonly (readonly number[])[];
  readonly promptIds: readonly (readonly number[])[];
  /** Whether each ended by itself; false: it was cut off. */
  readonly finished: readonly boolean[];
}

/**
 * One score a completion, higher is better. It must not depend on what else is in the batch, nor on chance: a run that was
 * interrupted asks again.
 */
export type RewardFunction = (batch: RewardBatch) => Promise<readonly number[]> | readonly number[];

export interface RewardTerm {
  /** For the metrics: `scores/<name>`. */
  readonly name: string;
  /** Default 1; negative makes it a penalty. */
  readonly weight?: number;
  readonly score: RewardFunction;
}

export interface Scores {
  /** The weighted sum, before what a missing end of text costs: [S]. */
  readonly raw: Float64Array;
  /** What PPO is given: [S]. */
  readonly final: Float64Array;
  /** By term, unweighted: [S] each. */
  readonly terms: Readonly<Record<string, readonly number[]>>;
}

/**
 * Asks every term.
 *
 * @param trunk of the step: reward models over the policy's base begin where it ends, and leave it filled.
 * @throws NudgeError BAD_ARGUMENT where one gives too few scores, or one that is not finite.
 */
export async function scoreRollouts(
  rollouts: readonly Rollout[],
  rewards: readonly RewardTerm[],
  config: EosConfig,
  trunk?: StepTrunk,
): Promise<Scores> {
  const batch = batchOf(rollouts);
  const answers = await Promise.all(
    rewards.map(async ({ score }) =>
      trunk !== undefined && isModelReward(score) ? score.ofRollouts(rollouts, trunk) : await score(batch),
    ),
  );
  const terms: Record<string, readonly number[]> = {};
  const raw = new Float64Array(rollouts.length); // [S]
  for (const [i, { name, weight = 1 }] of rewards.entries()) {
    const scores = checkScores(name, answers[i]!, batch);
    terms[name] = scores;
    for (const [s, score] of scores.entries()) raw[s]! += weight * score;
  }
  const finished = rollouts.map((rollout) => rollout.finished);
  const rule = missingEosRule(config);
  return { raw, final: rule === null ? raw : scoresWithMissingEos(raw, finished, rule), terms };
}

type EosConfig = Pick<PpoConfig, 'missingEosPenalty' | 'missingEosScore'>;

function missingEosRule({ missingEosPenalty, missingEosScore }: EosConfig): MissingEosRule | null {
  if (missingEosScore !== null) return { kind: 'replace', score: missingEosScore };
  return missingEosPenalty === null ? null : { kind: 'subtract', penalty: missingEosPenalty };
}

function batchOf(rollouts: readonly Rollout[]): RewardBatch {
  return {
    prompts: rollouts.map(({ prompt }) => prompt.prompt ?? ''),
    completions: rollouts.map(({ text }) => text),
    ids: rollouts.map(({ ids }) => ids),
    promptIds: rollouts.map(({ prompt }) => prompt.ids),
    finished: rollouts.map(({ finished }) => finished),
  };
}

function checkScores(name: string, scores: readonly number[], { completions }: RewardBatch): readonly number[] {
  const wrong = scores.findIndex((score) => !Number.isFinite(score));
  if (scores.length === completions.length && wrong < 0) return scores;
  throw new NudgeError('BAD_ARGUMENT', 'A reward function must give one finite number for each completion.', {
    path: `rewards.${name}`,
    expected: `${completions.length} numbers`,
    received:
      wrong < 0 ? `${scores.length}` : `${scores[wrong]} for ${JSON.stringify(completions[wrong]?.slice(0, 80))}`,
  });
}

/** A reward model in this process. */
export interface ModelReward extends RewardFunction {
  readonly views: readonly ModelView[];
  /** The same scores, with what frozen layers make of the rollouts computed once a step. */
  ofRollouts(rollouts: readonly Rollout[], trunk: StepTrunk): number[];
}

const isModelReward = (score: RewardFunction): score is ModelReward => 'ofRollouts' in score;

/** What scores by models of this process, for the step's trunk. */
export function viewsOf(rewards: readonly RewardTerm[]): ModelView[] {
  return rewards.flatMap(({ score }) => (isModelReward(score) ? score.views : []));
}

/** Tokens computed at once: without gradients memory is no concern. */
const SCORED_AT_ONCE = 4096;

export type RewardScoring = Pick<ScoreOptions, 'eosIds' | 'microBatchTokens'>;

/**
 * A trained reward model, or any model with a score head, as a reward function.
 *
 * @param options.eosIds as in the reward model's training: completions that end in none of these get the first of them. Give the
 *   tokenizer's; without, completions are scored as they are.
 */
export function rewardModel(model: RewardModel | ModelView, options: RewardScoring = {}): RewardFunction {
  const score: RewardFunction = async ({ ids, promptIds }) => {
    // Neighbours with the same prompt are one group, so that they are computed together.
    const groups: { promptIds: readonly number[]; completions: (readonly number[])[] }[] = [];
    for (const [i, completion] of ids.entries()) {
      if (i > 0 && promptIds[i] === promptIds[i - 1]) groups.at(-1)!.completions.push(completion);
      else groups.push({ promptIds: promptIds[i]!, completions: [completion] });
    }
    if (model instanceof RewardModel) return (await model.score(groups, options)).flat();
    const { adapter } = model;
    return (
      await scoreCompletions(model.model, groups, { ...options, ...(adapter === null ? {} : { adapter }) })
    ).flat();
  };
  // Completions that get an end are not those that the trunk holds.
  if ((options.eosIds ?? []).length > 0) return score;
  const views =
    model instanceof RewardModel ? model.adapters.map((adapter) => ({ model: model.model, adapter })) : [model];
  const ofRollouts: ModelReward['ofRollouts'] = (rollouts, trunk) => {
    const tokens = options.microBatchTokens ?? SCORED_AT_ONCE;
    const outputs = views.map((view) => rolloutScores(trunk, view, rollouts, tokens));
    return model instanceof RewardModel ? model.scoresOf(outputs) : outputs[0]!;
  };
  return Object.assign(score, { views, ofRollouts }) satisfies ModelReward;
}
