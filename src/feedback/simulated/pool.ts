/**
 * A pool of simulated labellers, as alpaca_farm has one of 13 (arXiv:2305.14387): the same taste at heart, each with weights,
 * noise and biases of its own. They judge through the store's door, as people do.
 */
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import { NudgeError } from '../../errors.ts';
import type { Judgement, Labeller, PreferenceStore, Task } from '../store/index.ts';
import { type Draws, drawsOf } from './draws.ts';
import { ErrorsSchema, judge, type Profile, type Seen, type Verdict } from './labeller.ts';
import { answerText, RUBRIC_NAMES, type Rubric, RubricSchema, resolveRubric, rubricFeatures } from './rubric.ts';
import { wordsOf } from './words.ts';

export const PoolConfig = z
  .strictObject({
    rubric: z
      .union([z.enum(RUBRIC_NAMES), RubricSchema])
      .default('encouraging')
      .describe('What they value: a name, or weights of your own. Hidden from the reward model.'),
    labellers: z.int().min(1).max(1000).default(13).describe('How many there are.'),
    spread: z
      .number()
      .min(0)
      .max(3)
      .default(0.25)
      .describe(
        'How much they differ: log-normal spread of weights and noise, and spread of the biases in logits / 2.5.',
      ),
    ...ErrorsSchema.shape,
  })
  .describe('Simulated labellers.');

export type PoolOptions = z.input<typeof PoolConfig>;

export interface PoolLabeller {
  readonly name: string;
  readonly profile: Profile;
}

export interface Pool {
  /** The taste that all of them share: the gold judge's. */
  readonly rubric: Rubric;
  readonly labellers: readonly PoolLabeller[];
}

/**
 * The labellers of a pool. Same options and seed, same labellers.
 *
 * @throws NudgeError BAD_ARGUMENT.
 */
export function createPool(options: PoolOptions = {}, seed = 0): Pool {
  const { rubric: named, labellers, spread, ...errors } = checkOptions(options);
  const rubric = resolveRubric(named);
  const title = typeof named === 'string' ? named : 'own rubric';
  return {
    rubric,
    labellers: Array.from({ length: labellers }, (_, i) => {
      const draws = drawsOf('labeller', seed, i);
      const profile = varied({ ...errors, rubric, seed }, spread, draws);
      // The profile's hash in the name: a pool with other settings has other labellers.
      const hash = createHash('sha256').update(JSON.stringify(profile)).digest('hex').slice(0, 8);
      return { name: `${title} ${String(i + 1).padStart(2, '0')} ${hash}`, profile };
    }),
  };
}

function checkOptions(options: PoolOptions): z.output<typeof PoolConfig> {
  const parsed = PoolConfig.safeParse(options);
  if (parsed.success) return parsed.data;
  throw new NudgeError('BAD_ARGUMENT', 'These are no settings of a pool of labellers.', {
    path: 'pool',
    received: z.prettifyError(parsed.error),
  });
}

function varied(profile: Profile, spread: number, draws: Draws): Profile {
  const factor = () => Math.exp(spread * draws.normal());
  const { sentiment, concise, complete } = profile.rubric.weights;
  const weights = { sentiment: sentiment * factor(), concise: concise * factor(), complete: complete * factor() };
  const noise = Math.min(100, profile.noise * factor());
  const bias = (mean: number) => Math.min(10, Math.max(-10, mean + 0.4 * spread * draws.normal()));
  return {
    ...profile,
    rubric: { ...profile.rubric, weights },
    noise,
    positionBias: bias(profile.positionBias),
    lengthBias: bias(profile.lengthBias),
  };
}

export interface LabelOptions {
  /** Labellers for each task. Default 1, at most as many as there are. */
  judgementsPerTask?: number;
  guidelineVersion?: string | null;
  signal?: AbortSignal;
  onProgress?: (progress: { tasks: number; total: number }) => void;
}

/** Tasks that are judged in one transaction. */
const BATCH = 64;

/**
 * Has the pool judge tasks. Which labellers get a task is drawn by the task's id; again with the same tasks, it adds nothing.
 *
 * @returns the judgements, task by task.
 */
export async function labelTasks(
  store: PreferenceStore,
  pool: Pool,
  tasks: readonly Task[],
  options: LabelOptions = {},
): Promise<Judgement[]> {
  const { judgementsPerTask = 1, guidelineVersion = null, signal, onProgress } = options;
  const stored: Labeller[] = [];
  for (const { name, profile } of pool.labellers)
    stored.push(await store.addLabeller({ kind: 'simulated', name, profile }));
  const judgements: Judgement[] = [];
  for (let start = 0; start < tasks.length; start += BATCH) {
    signal?.throwIfAborted();
    const batch = tasks.slice(start, start + BATCH);
    const turns = batch.flatMap((task) => drawn(pool, task, judgementsPerTask).map((at) => ({ task, at })));
    const displays = await store.recordDisplays(
      turns.map(({ task, at }) => ({ task: task.id, labeller: (stored[at] as Labeller).id, guidelineVersion })),
    );
    const seen = new Map(batch.map((task) => [task.id, lookAt(task, pool.rubric)]));
    const verdicts = turns.map(({ task, at }, i) => {
      const { profile, name } = pool.labellers[at] as PoolLabeller;
      const { order } = displays[i] as { order: readonly number[] };
      return judge(profile, name, task.id, seen.get(task.id) as Seen[], order);
    });
    const submitted = await store.submitJudgements(
      turns.map(({ task, at }, i) => ({
        task: task.id,
        labeller: (stored[at] as Labeller).id,
        clientKey: task.id,
        ...(verdicts[i] as Verdict),
      })),
    );
    judgements.push(...submitted.map(({ judgement }) => judgement));
    // SQLite answers at once: without this, nothing else would get a turn, an abort neither.
    await setImmediate();
    onProgress?.({ tasks: start + batch.length, total: tasks.length });
  }
  return judgements;
}

/** The answers of a task, as all labellers of a pool look at them. */
export function lookAt(task: Task, rubric: Rubric): Seen[] {
  const { prompt } = task.prompt;
  return task.completions.map(({ content }) => ({
    features: rubricFeatures(prompt, content, rubric),
    words: wordsOf(answerText(content)).length,
  }));
}

/** Some of the labellers, without one twice. */
function drawn({ labellers }: Pool, task: Task, count: number): number[] {
  const draws = drawsOf('turn', labellers[0]?.profile.seed ?? 0, task.id);
  const left = labellers.map((_, i) => i);
  return Array.from(
    { length: Math.min(count, left.length) },
    () => left.splice(draws.below(left.length), 1)[0] as number,
  );
}
