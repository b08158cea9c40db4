/**
 * Nudge's side: a trainer as its user would start it, in a thread of its own, which waits after each step until it may go on.
 * The time of a step is all of it: data, both passes, clipping, optimiser, schedule, metrics.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { createModel, LoraAdapters } from '../../src/models/index.ts';
import { type DType, torch } from '../../src/tensor/index.ts';
import {
  adapterModels,
  type Metrics,
  rewardModel,
  type TrainEvent,
  type TrainRun,
  trainPpo,
  trainReward,
  trainSft,
} from '../../src/train/index.ts';
import type { LlamaShape } from '../smollm2.ts';
import { BATCH, completionText, DIALOGUES, EOS, type Kind, makeTokenizer, SEED, STEPS, textOf } from './data.ts';

export interface TrainingJob {
  readonly kind: Kind | 'ppo';
  readonly shape: LlamaShape;
  readonly dtype: DType;
  /** Rank of the adapter; null trains all weights. */
  readonly rank: number | null;
  readonly threads: number;
  /** Of PPO: the prompts, as ids, and the tokens of a completion. */
  readonly prompts?: readonly (readonly number[])[];
  readonly maxTokens?: number;
}

export interface WorkerData {
  readonly job: TrainingJob;
  readonly directory: string;
  /** Steps that may be taken: one number, waited for. */
  readonly allowed: Int32Array;
}

/** What the thread says: once when it is ready, then after each step. */
export interface StepMessage {
  /** From 0. */
  readonly step: number;
  readonly seconds: number;
  readonly metrics: Metrics;
}
export type WorkerMessage = 'ready' | StepMessage;

const { job, directory, allowed } = workerData as WorkerData;
const port = parentPort!;
torch.setNumThreads(job.threads);

let done = 0;
let begun = 0;

/** Blocks the thread, and with it the trainer: it comes back from an event when it may take the next step. */
function waitForTurn(): void {
  while (Atomics.load(allowed, 0) <= done) Atomics.wait(allowed, 0, done);
  begun = performance.now();
}

function onEvent(event: TrainEvent): void {
  // The first checkpoint is written before the first step.
  if (event.type === 'checkpoint' && event.step === 0) {
    port.postMessage('ready');
    waitForTurn();
  }
  if (event.type !== 'step') return;
  const seconds = (performance.now() - begun) / 1000;
  port.postMessage({ step: done++, seconds, metrics: event.metrics } satisfies StepMessage);
  waitForTurn();
}

const run: TrainRun = { directory, onEvent };
// Nothing is written between steps, and nothing learned that would change how long a step takes.
const quiet = { saveSteps: 1_000_000, saveSeconds: 1_000_000, tensorboard: false, seed: SEED };
const steady = { learningRate: 1e-6, lrSchedulerType: 'constant', warmupRatio: 0 } as const;

if (job.kind === 'ppo') await trainPolicy();
else await trainOnData(job.kind);

async function trainOnData(kind: Kind): Promise<void> {
  const { shape, dtype, rank } = job;
  const options = {
    ...quiet,
    ...steady,
    batchSize: BATCH,
    maxSteps: STEPS,
    maxLength: shape.max_position_embeddings,
    lora: rank === null ? null : { rank },
  };
  const tokenizer = makeTokenizer();
  if (kind === 'sft') {
    const model = createModel(shape, { dtype });
    const train = DIALOGUES.map(({ prompt, chosen }) => ({
      prompt: textOf(prompt),
      completion: completionText(chosen),
    }));
    await trainSft({ model, tokenizer, format: 'prompt-completion', train }, options, run);
    return;
  }
  const model = createModel(shape, { dtype, head: rank === null ? 'score' : 'lm' });
  const train = DIALOGUES.map(({ prompt, chosen, rejected }) => ({
    prompt: textOf(prompt),
    chosen: completionText(chosen),
    rejected: completionText(rejected),
  }));
  await trainReward({ model, tokenizer, format: 'preference', train }, options, run);
}

async function trainPolicy(): Promise<void> {
  const { shape, dtype, rank, prompts, maxTokens } = job;
  const model = createModel(shape, { dtype });
  const lora = { rank: rank! };
  new LoraAdapters(model).add('reward', { ...lora, head: true });
  const rewards = [{ name: 'model', score: rewardModel({ model, adapter: 'reward' }, { eosIds: [EOS] }) }];
  await trainPpo(
    {
      models: adapterModels(model, { reward: 'reward', lora }),
      prompts: prompts!.map((ids) => ({ ids })),
      rewards,
      // No token ends a completion: all are as long as they may be.
      stopIds: [],
    },
    {
      ...quiet,
      ...steady,
      totalEpisodes: STEPS * BATCH,
      batchSize: BATCH,
      numGenerations: BATCH,
      maxCompletionLength: maxTokens!,
      ppoEpochs: 1,
    },
    run,
  );
}
