/**
 * Where the time of a PPO step goes, on a real model with LoRA:
 *
 *     node scripts/experiments/ppo-speed.ts [--model smollm2-135m-instruct] [--layers 10] [--value-layers 10] [--reward-layers 30]
 *         [--batch 32] [--prompts 32] [--length 48] [--epochs 1] [--mini-batches 1] [--steps 3] [--threads N]
 *
 * Rewards come from an adapter that nobody trained: what is measured is time. Prints one JSON object a step, then the medians.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { tokenise } from '../../src/data/index.ts';
import { LoraAdapters } from '../../src/models/index.ts';
import { openPretrained } from '../../src/pretrained/index.ts';
import { torch } from '../../src/tensor/index.ts';
import { adapterModels, type Metrics, rewardModel, trainPpo } from '../../src/train/index.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'smollm2-135m-instruct' },
    layers: { type: 'string', default: '10' },
    'value-layers': { type: 'string' },
    'reward-layers': { type: 'string', default: '30' },
    batch: { type: 'string', default: '32' },
    prompts: { type: 'string' },
    length: { type: 'string', default: '48' },
    epochs: { type: 'string', default: '1' },
    'mini-batches': { type: 'string', default: '1' },
    steps: { type: 'string', default: '3' },
    'micro-batch': { type: 'string', default: '1024' },
    threads: { type: 'string' },
  },
});
const number = (name: keyof typeof values, fallback?: number): number => Number(values[name] ?? fallback);
if (values.threads !== undefined) torch.setNumThreads(Number(values.threads));

using opened = await openPretrained(values.model as string, { dtype: 'float32' });
const { model, tokenizer } = opened;
const lora = new LoraAdapters(model);
const first = model.config.layers - number('reward-layers');
const rewarded = [...lora.projections.keys()].filter((name) => Number(/\.(\d+)\./.exec(name)?.[1]) >= first);
lora.addOn('reward', rewarded, { head: true });
const layers = number('layers');
const models = adapterModels(model, {
  reward: 'reward',
  layersToTrain: layers,
  valueLayersToTrain: number('value-layers', layers),
});

const topics = ['rain', 'bread', 'the moon', 'a train ride', 'old books', 'tea', 'a garden', 'the sea'];
const asks = [
  'Write two sentences about',
  'Tell a friend something nice about',
  'Explain to a child',
  'What is good about',
];
const records = asks.flatMap((ask) =>
  topics.map((topic) => ({ prompt: [{ role: 'user' as const, content: `${ask} ${topic}.` }] })),
);
const prompts = tokenise(tokenizer, 'prompt-only', records).examples.map(({ ids }, i) => ({ ids, ...records[i] }));

const batchSize = number('batch');
const directory = mkdtempSync(join(tmpdir(), 'nudge-ppo-speed-'));
const seen: Metrics[] = [];
try {
  await trainPpo(
    {
      models,
      prompts,
      rewards: [{ name: 'model', score: rewardModel({ model, adapter: 'reward' }, { eosIds: tokenizer.eosIds }) }],
      tokenizer,
      stopIds: tokenizer.eosIds,
    },
    {
      totalEpisodes: batchSize * number('steps'),
      batchSize,
      numGenerations: batchSize / number('prompts', batchSize),
      maxCompletionLength: number('length'),
      ppoEpochs: number('epochs'),
      numMiniBatches: number('mini-batches'),
      microBatchTokens: number('micro-batch'),
    },
    {
      directory,
      onEvent: (event) => {
        if (event.type === 'note') console.error(event.text);
        if (event.type !== 'step') return;
        seen.push({ ...event.metrics, tokensPerSecond: event.tokensPerSecond });
        console.log(JSON.stringify(pick(seen.at(-1)!)));
      },
    },
  );
  const names = Object.keys(pick(seen[0]!));
  const median = (name: string): number => seen.map((one) => one[name]!).sort((a, b) => a - b)[seen.length >> 1]!;
  console.log(JSON.stringify({ median: Object.fromEntries(names.map((name) => [name, median(name)])) }));
} finally {
  rmSync(directory, { recursive: true });
}

function pick(metrics: Metrics): Record<string, number> {
  const rounded = Object.entries(metrics).filter(([name]) =>
    /^(seconds|memory|tokensPerSecond|completion.length|kl)/.test(name),
  );
  return Object.fromEntries(rounded.map(([name, value]) => [name, Number(value.toPrecision(4))]));
}
