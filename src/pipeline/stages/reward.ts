/** The reward model learns to score as the labellers rank. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadRecords, type PreferenceRecord, promptKey, type RankingRecord } from '../../data/index.ts';
import { writeFileAtomic } from '../../setup/files.mjs';
import { percent } from '../../setup/progress.mjs';
import {
  deriveSeed,
  type RewardFunction,
  type RewardInputs,
  RewardModel,
  type RewardModelOptions,
  type RewardOptions,
  type RewardResult,
  rewardModel,
  type TrainRun,
  trainReward,
  trainRewardEnsemble,
} from '../../train/index.ts';
import { forwardFlops } from '../estimate.ts';
import { hashOf } from '../hash.ts';
import { asAsked } from '../prompts.ts';
import { type Stage, type StageContext, type StageResult, stageId } from '../stage.ts';
import { FOUND, RANKINGS } from './label.ts';
import { openBase, type StageModel } from './model.ts';
import { trainRun } from './training.ts';

/** Share of prompts on which the reward model is judged and not trained. */
const HELD_OUT = 0.15;
const OUTPUT = 'adapter';
/** How good it is on held-out prompts; of several, joined by the rule. */
export const REWARD_REPORT = 'report.json';

export const reward: Stage = {
  name: 'reward',
  title: 'the reward model learns to score as they rank',
  version: 2,
  everyRound: true,
  config: ({ reward }) => reward,
  files: () => [],
  inputs: (round) => ['sft', ...Array.from({ length: round }, (_, i) => stageId('label', i + 1))],
  summary: ({ accuracy = 0, accuracyLow = 0, accuracyHigh = 0, agreement }) =>
    `orders ${percent(accuracy)} of held-out pairs right (${percent(accuracyLow)} to ${percent(accuracyHigh)})` +
    (agreement === undefined ? '' : `, labellers agree on ${percent(agreement)}`),
  estimate({ reward, sample, prompts }, facts) {
    const { numTrainEpochs, layersToTrain, microBatchTokens, members } = reward!;
    const tokens = prompts.training * ((sample?.numGenerations ?? 2) * (sample?.maxCompletionLength ?? 200) + 40);
    const share = (layersToTrain ?? facts.layers) / facts.layers;
    return {
      flops: members * forwardFlops(facts, tokens) * numTrainEpochs * (1 + share),
      efficiency: 0.5,
      bytes: 200e6 + 1.2e6 * share * microBatchTokens,
    };
  },
  execute,
};

async function execute(context: StageContext): Promise<StageResult> {
  const { run, round, seed, input } = context;
  const labels = Array.from({ length: round }, (_, i) => input(stageId('label', i + 1))!);
  using base = await openBase(context);
  const { model, tokenizer, resolved } = base;
  const { format, records } = await judgements(labels);
  const asked = records.map((row) => ({ ...row, prompt: asAsked(row.prompt, tokenizer, run) }));
  const { train, evaluation } = split(asked, seed);
  const agreement = agreementOf(labels.at(-1)!);
  const { members, rule, lambda, ...config } = run.reward!;
  const result = await trainMembers(
    { model, tokenizer, resolved, format, train, evaluation, ...(agreement === null ? {} : { agreement }) },
    { ...config, seed: deriveSeed(seed, config.seed) },
    trainRun(context),
    { members, rule, lambda },
  );
  if (result.stopped) return { metrics: {}, outputs: [], stopped: true };
  const { accuracy, ece, length, pairs } = result.report!;
  writeFileAtomic(join(context.directory, REWARD_REPORT), `${JSON.stringify(result.report, null, 2)}\n`);
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
      REWARD_REPORT,
      ...placesOf(members).flatMap((place) => [
        join(place, OUTPUT, 'adapter_model.safetensors'),
        join(place, OUTPUT, 'adapter_config.json'),
        join(place, OUTPUT, 'reward.json'),
        join(place, 'metrics.jsonl'),
      ]),
    ],
  };
}

type Judged = RankingRecord | PreferenceRecord;

/** What the label stages of all rounds wrote: rankings, or pairs from a file. */
async function judgements(labels: readonly string[]): Promise<{ format: 'ranking' | 'preference'; records: Judged[] }> {
  const loaded = await loadRecords(labels.map((place) => join(place, RANKINGS)));
  return { format: loaded.format as 'ranking' | 'preference', records: loaded.records as Judged[] };
}

/** One reward model in the stage's directory, or several in folders of it. */
async function trainMembers(
  inputs: RewardInputs<'ranking' | 'preference'>,
  options: RewardOptions,
  run: TrainRun,
  { members, ...ensemble }: RewardModelOptions & { members: number },
): Promise<Pick<RewardResult, 'stopped' | 'report'>> {
  if (members === 1) return await trainReward(inputs, options, run);
  return await trainRewardEnsemble(inputs, options, run, members, ensemble);
}

/** The folders of the members, as `trainRewardEnsemble` names them. */
function placesOf(members: number): string[] {
  return members === 1 ? ['.'] : Array.from({ length: members }, (_, i) => `member-${i + 1}`);
}

/** By prompt, never by ranking: two labellers' rankings of a prompt are on the same side. */
function split<R extends Judged>(records: readonly R[], seed: number): { train: R[]; evaluation: R[] } {
  const keys = [...new Set(records.map(({ prompt }) => promptKey(prompt)))];
  const order = keys.map((key) => [hashOf([seed, key]), key] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  const held = new Set(order.slice(0, Math.max(1, Math.round(HELD_OUT * keys.length))).map(([, key]) => key));
  const isHeld = ({ prompt }: R) => held.has(promptKey(prompt));
  return { train: records.filter((row) => !isHeld(row)), evaluation: records.filter(isHeld) };
}

function agreementOf(label: string): number | null {
  const { agreement } = JSON.parse(readFileSync(join(label, FOUND), 'utf8')) as { agreement: number | null };
  return agreement;
}

/** The run's reward model as a reward function, its adapter over the base. */
export async function loadReward(context: StageContext, { model }: StageModel, id: string): Promise<RewardFunction> {
  const { members, rule, lambda } = context.run.reward!;
  const places = placesOf(members).map((place) => join(context.input(id)!, place, OUTPUT));
  const scorer = await RewardModel.load(model, places, { rule, lambda });
  // An answer that was cut off has no end of text, here as in training: the labellers saw it break off, too.
  return rewardModel(scorer);
}
