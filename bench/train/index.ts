/** `nudge bench train`: steps of the trainers, beside TRL's on the same CPU, and against the peak of matrix products. */
import { kernels } from '../../src/nn/index.ts';
import { type DType, type Tensor, torch } from '../../src/tensor/index.ts';
import type { Bench, Body, Case, Group, Limit } from '../case.ts';
import { timed } from '../case.ts';
import { free } from '../ops/bodies.ts';
import { SMOLLM2 } from '../smollm2.ts';
import {
  BATCH,
  DIALOGUES,
  EOS,
  idsOf,
  type Kind,
  meanTokens,
  meanWork,
  PAD,
  rowsOf,
  STEPS,
  textOf,
  tokensOfStep,
} from './data.ts';
import { trainingFlops } from './flops.ts';
import { training } from './training.ts';

const RANK = 16;
const PEAK = 2048;

type TrainedDType = 'float32' | 'bfloat16';

/** The products of a step at the peak rate: in float32 where the processor has no instructions for bfloat16. */
function limitOf(dtype: TrainedDType, flops: number, value: (seconds: number) => number): Limit {
  const of: DType = dtype === 'bfloat16' && kernels.selected() === 'avx512_bf16' ? 'bfloat16' : 'float32';
  const body = (): Body => {
    const [a, b] = [0, 1].map(() => torch.scope(() => torch.randn([PEAK, PEAK]).to(of)).keep()) as [Tensor, Tensor];
    const work = (times: number): void => {
      for (let i = 0; i < times; i++) torch.scope(() => void a.matmul(b));
    };
    return timed(work, { end: () => free([a, b]) });
  };
  return { body, value: (seconds) => value((flops * seconds) / (2 * PEAK ** 3)) };
}

/** What is the same for every peer. */
const peerModel = { config: SMOLLM2, pad: PAD, eos: EOS };

/** Steps differ in their tokens, and both sides take the same ones: their times are brought to the average step. */
const asMeanStep = (kind: Kind) => (step: number, seconds: number) =>
  (seconds * meanTokens(kind)) / tokensOfStep(kind, step);

function dataCase(kind: Kind, name: string, dtype: TrainedDType, rank: number | null): Case {
  const mean = asMeanStep(kind);
  const [unit, value] =
    kind === 'sft'
      ? ['tokens/s', (seconds: number) => meanTokens(kind) / seconds]
      : ['pairs/s', (seconds: number) => BATCH / seconds];
  const steps = Array.from({ length: STEPS }, (_, step) => step);
  return {
    name: `${kind === 'sft' ? 'SFT' : 'reward'}, ${name}, ${dtype}`,
    metric: 'learned from',
    unit: unit as string,
    better: 'higher',
    value: value as (seconds: number) => number,
    nudge: () => training({ kind, shape: SMOLLM2, dtype, rank }, ({ step, seconds }) => mean(step, seconds)),
    peer: {
      work: kind,
      arguments: {
        ...peerModel,
        dtype,
        rank,
        rows: DIALOGUES,
        order: steps.map(rowsOf),
        // Seconds of a step times this are those of the average step.
        factors: steps.map((step) => mean(step, 1)),
      },
    },
    limit: limitOf(dtype, trainingFlops(SMOLLM2, meanWork(kind), rank), value as (seconds: number) => number),
  };
}

const dataCases = (kind: Kind): Case[] =>
  (['float32', 'bfloat16'] as const).flatMap((dtype) => [
    dataCase(kind, 'all weights', dtype, null),
    dataCase(kind, 'LoRA', dtype, RANK),
  ]);

// ---- PPO ----

const COMPLETION = 48;
/** As long as the prompts of the dialogues are in the middle. */
const PROMPT = 119;
const prompts = Array.from({ length: 16 }, (_, i) => idsOf(1000 + i, PROMPT));

/** @param part of the step that is timed; all of it without one. */
function ppoCase(dtype: TrainedDType, part?: 'generate' | 'score' | 'assess' | 'learn'): Case {
  const job = { kind: 'ppo', shape: SMOLLM2, dtype, rank: RANK, prompts, maxTokens: COMPLETION } as const;
  return {
    name: part === undefined ? `PPO beside GRPO, ${dtype}` : `of it to ${part}, ${dtype}`,
    metric: 'time a rollout',
    unit: 's',
    better: 'lower',
    value: (seconds) => seconds / BATCH,
    nudge: () => training(job, ({ seconds, metrics }) => (part === undefined ? seconds : metrics[`seconds/${part}`]!)),
    ...(part === undefined
      ? {
          peer: {
            work: 'grpo',
            arguments: {
              ...peerModel,
              ...{ dtype, rank: RANK, completions: BATCH, tokens: COMPLETION, steps: STEPS },
              prompts: prompts.map(textOf),
              // The tokenizer's vocabulary: ids as characters.
              characters: textOf(Array.from({ length: SMOLLM2.vocab_size }, (_, id) => id)),
            },
          },
        }
      : {}),
  };
}

const ppo: Group = {
  title: `Policy: ${BATCH} rollouts of a prompt of ${PROMPT}, ${COMPLETION} tokens each, LoRA`,
  cases: (['float32', 'bfloat16'] as const).flatMap((dtype) => [
    ppoCase(dtype),
    ...(dtype === 'float32' ? (['generate', 'score', 'assess', 'learn'] as const).map((p) => ppoCase(dtype, p)) : []),
  ]),
};

export const train: Bench = {
  name: 'train',
  groups: [
    { title: `Fine-tuning: SmolLM2-135M, ${BATCH} dialogues a step`, cases: dataCases('sft') },
    { title: `Reward model: SmolLM2-135M, ${BATCH} pairs a step`, cases: dataCases('reward') },
    ppo,
  ],
};
