/**
 * PPO where the truth is known, over several seeds: the bandit with a known optimum, and the tiny language whose proxy reward
 * forgets to punish repetition (src/train/ppo/testing). About five minutes on one core:
 *
 *     OMP_NUM_THREADS=1 node scripts/experiments/ppo-toys.ts [--seeds 3]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { LoraAdapters } from '../../src/models/index.ts';
import {
  adapterModels,
  type Metrics,
  type PpoInputs,
  type PpoOptions,
  readMetrics,
  trainPpo,
} from '../../src/train/index.ts';
import {
  BANDIT,
  banditModel,
  banditTask,
  fullModels,
  languageTask,
  nextLogProbs,
  tinyLlama,
} from '../../src/train/ppo/testing/index.ts';

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '3' } } });
const seeds = Array.from({ length: Number(values.seeds) }, (_, seed) => seed);

async function metricsOf(inputs: PpoInputs, options: PpoOptions): Promise<Metrics[]> {
  const directory = mkdtempSync(join(tmpdir(), 'nudge-ppo-toys-'));
  try {
    await trainPpo(inputs, options, { directory });
    return readMetrics(directory).map(({ metrics }) => metrics);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const round = (values: readonly number[]) => values.map((value) => Number(value.toPrecision(3)));

async function bandit(what: 'all weights' | 'adapters', options: PpoOptions, seed: number): Promise<number> {
  const models =
    what === 'adapters'
      ? adapterModels(banditModel())
      : fullModels(() => banditModel(), tinyLlama({ vocabulary: 4, head: 'value', seed: 1 }));
  await metricsOf({ ...banditTask.inputs, models }, { ...banditTask.options, seed, ...options });
  const { model, adapter } = models.policy;
  const found = () => nextLogProbs(model, BANDIT.prompt).exp().tolist() as number[];
  const p = adapter === null ? found() : (model.adapters as LoraAdapters).withAdapter(adapter, found);
  return Math.max(...p.map((share, i) => Math.abs(share - BANDIT.optimum[i]!)));
}

async function language(klCoef: number, seed: number) {
  const { inputs, options } = languageTask();
  const metrics = await metricsOf(inputs, { ...options, totalEpisodes: 40 * 128, klCoef, seed });
  const last = (name: string) => metrics.slice(-5).reduce((sum, one) => sum + one[name]!, 0) / 5;
  return {
    proxy: last('scores/proxy'),
    gold: last('scores/gold'),
    bestGold: Math.max(...metrics.map((one) => one['scores/gold']!)),
    repeated: last('scores/repeated'),
    kl: last('kl/sequence'),
    entropy: last('policy/entropy'),
  };
}

const variants: [string, 'all weights' | 'adapters', PpoOptions][] = [
  ['all weights', 'all weights', {}],
  ['adapters', 'adapters', {}],
  ['all weights, constant learning rate', 'all weights', { lrSchedulerType: 'constant' }],
  [
    'all weights, constant learning rate, whitened',
    'all weights',
    { lrSchedulerType: 'constant', whitenAdvantages: true },
  ],
];
for (const [name, what, options] of variants) {
  const errors: number[] = [];
  for (const seed of seeds) errors.push(await bandit(what, options, seed));
  console.log(JSON.stringify({ bandit: name, largestError: round(errors) }));
}
for (const klCoef of [0.3, 0.1, 0.03, 0.01]) {
  const runs: Awaited<ReturnType<typeof language>>[] = [];
  for (const seed of seeds) runs.push(await language(klCoef, seed));
  const names = Object.keys(runs[0]!) as (keyof (typeof runs)[0])[];
  console.log(
    JSON.stringify({
      language: klCoef,
      ...Object.fromEntries(names.map((name) => [name, round(runs.map((run) => run[name]))])),
    }),
  );
}
