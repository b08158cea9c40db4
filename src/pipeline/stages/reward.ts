/** The reward model learns to score as the labellers rank. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadRecords, promptKey, type RankingRecord } from '../../data/index.ts';
import { deriveSeed, type RewardFunction, RewardModel, rewardModel, trainReward } from '../../train/index.ts';
import { forwardFlops } from '../estimate.ts';
import { hashOf } from '../hash.ts';
import { type Stage, type StageContext, type StageResult, stageId } from '../stage.ts';
import { RANKINGS } from './label.ts';
import { openBase, type StageModel } from './model.ts';
import { trainRun } from './training.ts';

/** Share of prompts on which the reward model is judged and not trained. */
const HELD_OUT = 0.15;
const OUTPUT = 'adapter';

export const reward: Stage = {
  name: 'reward',
  title: 'the reward model learns to score as they rank',
  version: 1,
  everyRound: true,
  config: ({ reward }) => reward,
  files: () => [],
  inputs: (round) => ['sft', ...Array.from({ length: round }, (_, i) => stageId('label', i + 1))],
  summary: ({ accuracy = 0, accuracyLow = 0, accuracyHigh = 0, agreement }) =>
    `orders ${percent(accuracy)} of held-out pairs right (${percent(accuracyLow)} to ${percent(accuracyHigh)})` +
    (agreement === undefined ? '' : `, labellers agree on ${percent(agreement)}`),
  estimate({ reward, sample, prompts }, facts) {
    const { numTrainEpochs, layersToTrain, microBatchTokens } = reward!;
    const tokens = prompts.training * ((sample?.numGenerations ?? 2) * (sample?.maxCompletionLength ?? 200) + 40);
    const share = (layersToTrain ?? facts.layers) / facts.layers;
    return {
      flops: forwardFlops(facts, tokens) * numTrainEpochs * (1 + share),
      efficiency: 0.5,
      bytes: 200e6 + 1.2e6 * share * microBatchTokens,
    };
  },
  execute,
};

async function execute(context: StageContext): Promise<StageResult> {
  const { run, round, seed, input } = context;
  const labels = Array.from({ length: round }, (_, i) => input(stageId('label', i + 1))!);
  const rankings: RankingRecord[] = [];
  for (const place of labels) {
    rankings.push(...(await loadRecords(join(place, RANKINGS), { format: 'ranking' })).records);
  }
  const { train, evaluation } = split(rankings, seed);
  using base = await openBase(context);
  const { model, tokenizer, resolved } = base;
  const agreement = agreementOf(labels.at(-1)!);
  const result = await trainReward(
    { model, tokenizer, resolved, format: 'ranking', train, evaluation, ...(agreement === null ? {} : { agreement }) },
    { ...run.reward!, seed: deriveSeed(seed, run.reward!.seed) },
    trainRun(context),
  );
  if (result.stopped) return { metrics: {}, outputs: [], stopped: true };
  const { accuracy, ece, length, pairs } = result.report!;
  return {
    metrics: {
      accuracy: accuracy.value,
      accuracyLow: accuracy.low,
      accuracyHigh: accuracy.high,
      prompts: accuracy.n,
      pairs,
      ece,
      lengthCorrelation: length.correlation,
      ...(agreement === null ? {} : { agreement }),
    },
    outputs: [
      `${OUTPUT}/adapter_model.safetensors`,
      `${OUTPUT}/adapter_config.json`,
      `${OUTPUT}/reward.json`,
      'metrics.jsonl',
    ],
  };
}

/** By prompt, never by ranking: two labellers' rankings of a prompt are on the same side. */
function split(
  rankings: readonly RankingRecord[],
  seed: number,
): { train: RankingRecord[]; evaluation: RankingRecord[] } {
  const keys = [...new Set(rankings.map(({ prompt }) => promptKey(prompt)))];
  const order = keys.map((key) => [hashOf([seed, key]), key] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  const held = new Set(order.slice(0, Math.max(1, Math.round(HELD_OUT * keys.length))).map(([, key]) => key));
  const isHeld = ({ prompt }: RankingRecord) => held.has(promptKey(prompt));
  return { train: rankings.filter((row) => !isHeld(row)), evaluation: rankings.filter(isHeld) };
}

function agreementOf(label: string): number | null {
  const { agreement } = JSON.parse(readFileSync(join(label, 'pool.json'), 'utf8')) as { agreement: number | null };
  return agreement;
}

/** The run's reward model as a reward function, its adapter over the base. */
export async function loadReward(context: StageContext, { model }: StageModel, id: string): Promise<RewardFunction> {
  const scorer = await RewardModel.load(model, join(context.input(id)!, OUTPUT));
  // An answer that was cut off has no end of text, here as in training: the labellers saw it break off, too.
  return rewardModel(scorer);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
