/** PPO: the policy learns what the reward model scores high, and is kept near what it was. */
import { tokenise } from '../../data/index.ts';
import { goldScore } from '../../feedback/index.ts';
import { adapterModels, deriveSeed, type RewardTerm, trainPpo } from '../../train/index.ts';
import { forwardFlops } from '../estimate.ts';
import { asAsked, readPrompts, shownPrompt } from '../prompts.ts';
import { type Stage, type StageContext, type StageResult, stageId } from '../stage.ts';
import { addPolicy, openBase } from './model.ts';
import { loadReward } from './reward.ts';
import { trainRun } from './training.ts';

export const ppo: Stage = {
  name: 'ppo',
  title: 'the policy learns from the reward model',
  version: 1,
  everyRound: true,
  config: ({ ppo, prompts, label }) => ppo && { ...ppo, prompts: { ...prompts, file: null }, rubric: label?.pool },
  files: ({ prompts }) => [prompts.file],
  inputs: (round) => ['sft', stageId('reward', round), ...(round > 1 ? [stageId('ppo', round - 1)] : [])],
  summary: (metrics) =>
    `reward ${metrics['reward/score']?.toFixed(2)}, gold score ${metrics['scores/gold']?.toFixed(2)}, KL ${metrics['kl/sequence']?.toFixed(1)}`,
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
  const { lora: settings, layersToTrain, valueLayersToTrain, ...config } = run.ppo!;
  using base = await openBase(context);
  const { model, tokenizer, lora } = base;
  const { training } = await readPrompts(run);
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
      rewards: [{ name: 'model', score }, ...goldMonitor(context)],
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

/** The gold score of what is sampled is written down at every step, with weight 0: watched, never trained on. */
function goldMonitor({ run }: StageContext): RewardTerm[] {
  if (run.label?.by !== 'simulated') return [];
  const { rubric } = run.label.pool;
  const score: RewardTerm['score'] = ({ prompts, completions }) =>
    completions.map((completion, i) => goldScore(shownPrompt(prompts[i]!), completion, rubric));
  return [{ name: 'gold', weight: 0, score }];
}
