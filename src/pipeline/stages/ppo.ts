/** PPO: the policy learns what the reward model scores high, and is kept near what it was. */
import { pathToFileURL } from 'node:url';
import { tokenise } from '../../data/index.ts';
import { NudgeError } from '../../errors.ts';
import { goldScore } from '../../feedback/index.ts';
import type { Tokenizer } from '../../text/index.ts';
import { adapterModels, deriveSeed, type RewardFunction, type RewardTerm, trainPpo } from '../../train/index.ts';
import type { RunConfig } from '../config.ts';
import { forwardFlops } from '../estimate.ts';
import { asAsked, readPrompts, shownPrompt } from '../prompts.ts';
import { readRows } from '../rows.ts';
import { type Stage, type StageContext, type StageResult, stageId } from '../stage.ts';
import { addPolicy, openBase } from './model.ts';
import { loadReward } from './reward.ts';
import { trainRun } from './training.ts';

/** Pretraining texts are cut after so many tokens: a mini-batch is to fit beside the completions. */
const PTX_TOKENS = 256;

export const ppo: Stage = {
  name: 'ppo',
  title: 'the policy learns from the reward model',
  version: 1,
  everyRound: true,
  config: ({ ppo, prompts, label, reward }) =>
    ppo && {
      ...ppo,
      rewards: ppo.rewards.map(({ name, weight }) => ({ name, weight })),
      ptxData: null,
      prompts: { ...prompts, file: null },
      rubric: label?.pool,
      ensemble: [reward?.members, reward?.rule, reward?.lambda],
    },
  files: ({ prompts, ppo }) => [
    prompts.file,
    ...(ppo?.rewards ?? []).map(({ module }) => module),
    ...(ppo?.ptxData === undefined ? [] : [ppo.ptxData]),
  ],
  inputs: (round) => ['sft', stageId('reward', round), ...(round > 1 ? [stageId('ppo', round - 1)] : [])],
  summary: (metrics) =>
    [
      `reward ${metrics['reward/score']?.toFixed(2)}`,
      ...(metrics['scores/gold'] === undefined ? [] : [`gold score ${metrics['scores/gold'].toFixed(2)}`]),
      `KL ${metrics['kl/sequence']?.toFixed(1)}`,
    ].join(', '),
  estimate({ ppo }, facts) {
    const { totalEpisodes, maxCompletionLength, ppoEpochs, layersToTrain, microBatchTokens } = ppo!;
    const tokens = totalEpisodes * (maxCompletionLength + 40);
    const share = (layersToTrain ?? facts.layers) / facts.layers;
    // Sampling and the shared layers once; above them three assessments, then forward and backward for policy and value model.
    const passes = 1 + 1 + share * (3 + 4 * ppoEpochs);
    return { flops: forwardFlops(facts, tokens) * passes, efficiency: 0.45, bytes: 700e6 + 0.6e6 * microBatchTokens };
  },
  execute,
};

async function execute(context: StageContext): Promise<StageResult> {
  const { run, seed, round } = context;
  const { lora: settings, layersToTrain, valueLayersToTrain, rewards, rewardWeight, ptxData, ...config } = run.ppo!;
  using base = await openBase(context);
  const { model, tokenizer, lora } = base;
  const { training } = await readPrompts(context);
  const score = await loadReward(context, base, stageId('reward', round));
  await addPolicy(context, lora);
  const adapting = { lora: settings, layersToTrain, valueLayersToTrain, seed, reward: 'reward' };
  const prompts = tokenise(
    tokenizer,
    'prompt-only',
    training.map((prompt) => ({ prompt: asAsked(prompt, tokenizer, run) })),
  );
  const result = await trainPpo(
    {
      models: adapterModels(model, adapting),
      prompts: prompts.examples.map(({ ids }, i) => ({ ids, prompt: training[prompts.sources[i]!]! })),
      rewards: [
        { name: 'model', weight: rewardWeight, score },
        ...(await Promise.all(rewards.map(loadRewardModule))),
        ...goldMonitor(context),
      ],
      ...(ptxData === undefined ? {} : { pretraining: await pretrainingText(context, tokenizer, ptxData) }),
      tokenizer,
      stopIds: tokenizer.eosIds,
    },
    { ...config, seed: deriveSeed(seed, config.seed), startsAtReference: round === 1 },
    trainRun(context),
  );
  if (result.stopped) return { metrics: {}, outputs: [], stopped: true };
  const { metrics } = result;
  return {
    metrics: { steps: result.steps, ...metrics },
    outputs: ['policy/adapter_model.safetensors', 'policy/adapter_config.json', 'metrics.jsonl'],
  };
}

/** A reward of the user's own: the default export of a module. */
async function loadRewardModule({ name, module, weight }: NonNullable<RunConfig['ppo']>['rewards'][number]) {
  const refuse = (received: string, cause?: unknown) =>
    new NudgeError('BAD_FILE', 'This module gives no reward.', {
      path: module,
      expected:
        'a default export: ({ prompts, completions, finished }) => one number a completion, or a promise of them',
      received,
      ...(cause === undefined ? {} : { cause }),
    });
  const loaded = (await import(pathToFileURL(module).href).catch((error: Error) => {
    throw refuse(error.message, error);
  })) as { default?: unknown };
  if (typeof loaded.default !== 'function') throw refuse(`exports ${Object.keys(loaded).join(', ') || 'nothing'}`);
  return { name, weight, score: loaded.default as RewardFunction } satisfies RewardTerm;
}

async function pretrainingText(context: StageContext, tokenizer: Tokenizer, file: string) {
  const { records } = await readRows(file, {}, context, 'text');
  return tokenise(tokenizer, 'text', records, { maxLength: PTX_TOKENS, longCompletions: 'cut' }).examples;
}

/** The gold score of what is sampled is written down at every step, with weight 0: watched, never trained on. */
function goldMonitor({ run }: StageContext): RewardTerm[] {
  if (run.label?.by !== 'simulated') return [];
  const { rubric } = run.label.pool;
  const score: RewardTerm['score'] = ({ prompts, completions }) =>
    completions.map((completion, i) => goldScore(shownPrompt(prompts[i]!), completion, rubric));
  return [{ name: 'gold', weight: 0, score }];
}
