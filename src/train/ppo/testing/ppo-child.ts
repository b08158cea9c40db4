/** PPO in a process of its own, which a test can kill: `node ppo-child.ts DIRECTORY`. */
import { LoraAdapters } from '../../../models/index.ts';
import { Generator } from '../../../tensor/index.ts';
import { adapterModels, rewardModel, trainPpo } from '../../ppo.ts';
import { LANGUAGE, tinyLlama } from './index.ts';

const [directory = ''] = process.argv.slice(2);
const model = tinyLlama({ vocabulary: LANGUAGE.vocabulary, hidden: 32, layers: 3, positions: 64 });
const lora = new LoraAdapters(model);
lora.add('reward', { rank: 2, head: true, generator: new Generator({ seed: 5 }) });
const result = await trainPpo(
  {
    models: adapterModels(model, { reward: 'reward', lora: { rank: 4 }, layersToTrain: 2, valueLayersToTrain: 1 }),
    prompts: [3, 7, 11, 15, 19].map((first) => ({ ids: [first, 2, 5] })),
    rewards: [
      { name: 'model', score: rewardModel({ model, adapter: 'reward' }, { eosIds: [LANGUAGE.end] }) },
      { name: 'length', weight: 0.1, score: async ({ ids }) => ids.map(({ length }) => length) },
    ],
    stopIds: [LANGUAGE.end],
    pretraining: [1, 2, 3].map((first) => ({ ids: [first, 4, 5, 6, 7] })),
  },
  {
    totalEpisodes: 12 * 25,
    batchSize: 12,
    numGenerations: 2,
    maxCompletionLength: 8,
    missingEosPenalty: 1,
    adaptiveKl: true,
    klTarget: 1,
    klHorizon: 100,
    ppoEpochs: 2,
    numMiniBatches: 2,
    targetKl: 0.05,
    learningRate: 2e-2,
    ptxCoef: 0.1,
    ptxBatchSize: 2,
    microBatchTokens: 40,
    saveSteps: 3,
  },
  { directory, onEvent: (event) => process.stdout.write(`${JSON.stringify(event)}\n`) },
);
process.stdout.write(`${JSON.stringify({ type: 'result', result })}\n`);
