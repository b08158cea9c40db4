/** Policy against reference on prompts that neither was trained on, by the gold judge and by the reward model. */
import { join } from 'node:path';
import { type Content, encodePrompt } from '../../data/index.ts';
import { type ComparedPrompt, compareAnswers, type Judge } from '../../evaluate/index.ts';
import { goldScore } from '../../feedback/index.ts';
import { Engine } from '../../generate/index.ts';
import { loadAdapter } from '../../models/index.ts';
import { writeFileAtomic } from '../../setup/files.mjs';
import { percent } from '../../setup/progress.mjs';
import { completionLogProbSums, deriveSeed, type RewardFunction } from '../../train/index.ts';
import { forwardFlops } from '../estimate.ts';
import { asAsked, readPrompts, shownPrompt } from '../prompts.ts';
import { type Stage, type StageContext, type StageResult, stageId } from '../stage.ts';
import { type Answer, type AnswersRow, drawAnswers } from './answers.ts';
import { ADAPTERS, openBase, type StageModel } from './model.ts';
import { loadReward } from './reward.ts';

export const COMPARISON = 'comparison.json';
const ROWS = 64;

export const evaluate: Stage = {
  name: 'evaluate',
  title: 'old and new answers to held-out prompts',
  version: 1,
  everyRound: false,
  config: ({ evaluate, prompts, ppo, label, rounds }) =>
    evaluate && {
      ...evaluate,
      rounds,
      prompts: { ...prompts, file: null },
      sampling: [ppo?.temperature, ppo?.maxCompletionLength],
      rubric: label?.pool.rubric,
    },
  files: ({ prompts }) => [prompts.file],
  inputs: (round) => ['sft', stageId('reward', round), stageId('ppo', round)],
  summary: (metrics) => {
    const judge = metrics.goldWinRate === undefined ? 'proxy' : 'gold';
    const [value, low, high] = ['', 'Low', 'High'].map((end) =>
      percent(metrics[`${judge}WinRate${end}`] ?? Number.NaN),
    );
    return `won ${value} against the original (${low} to ${high})${judge === 'proxy' ? ' by the reward model' : ''}`;
  },
  estimate({ evaluate, prompts, ppo }, facts) {
    const length = evaluate!.maxCompletionLength ?? ppo?.maxCompletionLength ?? 48;
    const tokens = 2 * prompts.evaluation * evaluate!.judgements * (length + 40);
    return { flops: 2.5 * forwardFlops(facts, tokens), efficiency: 0.4, bytes: 500e6 };
  },
  execute,
};

async function execute(context: StageContext): Promise<StageResult> {
  const { run, round, input, directory } = context;
  using base = await openBase(context);
  const { lora, tokenizer } = base;
  const policy = input(stageId('ppo', round))!;
  await loadAdapter(join(policy, ADAPTERS.policy), lora, 'policy');
  const proxy = await loadReward(context, base, stageId('reward', round));
  const { evaluation } = await readPrompts(context);
  const asked = evaluation.flatMap((prompt) => Array.from({ length: run.evaluate!.judgements }, () => prompt));
  const promptIds = asked.map((prompt) => encodePrompt(tokenizer, asAsked(prompt, tokenizer, run)));
  const before = await answersOf(context, base, promptIds, 'reference');
  const after = before && (await answersOf(context, base, promptIds, 'policy'));
  if (before === null || after === null) return { metrics: {}, outputs: [], stopped: true };
  const compared = comparedPrompts(base, asked, promptIds, { before, after }, temperatureOf(run));
  const judges: Record<string, Judge> = { proxy: await rewardJudge(proxy, promptIds, { before, after }) };
  if (run.label?.by === 'simulated') judges.gold = goldJudge(run.label.pool.rubric);
  const comparison = await compareAnswers(compared, judges, { resamples: run.evaluate!.bootstrap, seed: context.seed });
  writeFileAtomic(join(directory, COMPARISON), `${JSON.stringify(comparison, null, 1)}\n`);
  const { gold } = comparison.judges;
  return {
    metrics: {
      ...(gold === undefined ? {} : winMetrics('gold', gold)),
      ...winMetrics('proxy', comparison.judges.proxy!),
      klPerSequence: comparison.kl!.perSequence.value,
      lengthBefore: comparison.lengths.reference.mean,
      lengthAfter: comparison.lengths.policy.mean,
    },
    outputs: [COMPARISON, 'reference.jsonl', 'policy.jsonl'],
  };
}

type JudgeFigures = Awaited<ReturnType<typeof compareAnswers>>['judges'][string];

function winMetrics(name: string, { winRate, scores }: JudgeFigures): Record<string, number> {
  return {
    [`${name}WinRate`]: winRate.value,
    [`${name}WinRateLow`]: winRate.low,
    [`${name}WinRateHigh`]: winRate.high,
    [`${name}Before`]: scores.reference.value,
    [`${name}After`]: scores.policy.value,
  };
}

const temperatureOf = ({ evaluate, ppo }: StageContext['run']): number => evaluate!.temperature ?? ppo!.temperature;

/** Both sides draw with the same seeds: what differs is the model. */
async function answersOf(
  { run, seed, directory, signal, report }: StageContext,
  { model, tokenizer, lora }: StageModel,
  promptIds: readonly (readonly number[])[],
  side: 'reference' | 'policy',
): Promise<AnswersRow[] | null> {
  lora.setAdapter(null);
  if (side === 'policy') lora.merge('policy');
  try {
    using engine = new Engine(model, { tokenizer, stopIds: tokenizer.eosIds, maxRows: ROWS });
    return await drawAnswers(engine, promptIds, join(directory, `${side}.jsonl`), {
      n: 1,
      maxTokens: run.evaluate!.maxCompletionLength ?? run.ppo!.maxCompletionLength,
      temperature: temperatureOf(run),
      seedOf: (index) => deriveSeed(seed, 'answer', index),
      signal,
      onRow: ({ done, total, tokensPerSecond }) =>
        report({
          type: 'progress',
          done: done + (side === 'policy' ? total : 0),
          total: 2 * total,
          detail: side === 'policy' ? 'new answers' : 'old answers',
          tokensPerSecond,
        }),
    });
  } finally {
    if (side === 'policy') lora.unmerge();
    lora.setAdapter(null);
  }
}

interface BothSides {
  readonly before: readonly AnswersRow[];
  readonly after: readonly AnswersRow[];
}

function comparedPrompts(
  { model, lora }: StageModel,
  prompts: readonly Content[],
  promptIds: readonly (readonly number[])[],
  { before, after }: BothSides,
  temperature: number,
): ComparedPrompt[] {
  const sampled = after.map(({ completions }, i) => ({ promptIds: promptIds[i]!, ids: completions[0]!.ids }));
  // Greedy answers have no temperature to divide by; their KL is that of the model as it stands.
  const isGreedy = temperature === 0;
  const options = { temperature: isGreedy ? 1 : temperature };
  const policy = isGreedy
    ? lora.withAdapter('policy', () => completionLogProbSums(model, sampled, options))
    : after.map(({ completions }) => sum(completions[0]!.logprobs));
  const reference = lora.withAdapter(null, () => completionLogProbSums(model, sampled, options));
  return prompts.map((prompt, i) => ({
    prompt,
    reference: answerOf(before[i]!.completions[0]!),
    policy: { ...answerOf(after[i]!.completions[0]!), kl: policy[i]! - reference[i]! },
  }));
}

function answerOf({ text, ids, finishReason }: Answer) {
  return { completion: text, tokens: ids.length, finished: finishReason === 'stop' };
}

function goldJudge(rubric: Parameters<typeof goldScore>[2]): Judge {
  return async (prompt, answers) => answers.map((answer) => goldScore(shownPrompt(prompt), answer, rubric));
}

/** The reward model scores token ids, all at once; the judge looks its scores up by text. */
async function rewardJudge(
  score: RewardFunction,
  promptIds: readonly (readonly number[])[],
  { before, after }: BothSides,
): Promise<Judge> {
  // Both answers to a prompt side by side, so that it is computed once.
  const rows = after.flatMap((row, i) => [row, before[i]!]);
  const scores = await score({
    prompts: rows.map(() => ''),
    completions: rows.map(({ completions }) => completions[0]!.text),
    ids: rows.map(({ completions }) => completions[0]!.ids),
    promptIds: promptIds.flatMap((ids) => [ids, ids]),
    finished: rows.map(({ completions }) => completions[0]!.finishReason === 'stop'),
  });
  let next = 0;
  // compareAnswers asks prompt by prompt, in order: policy first.
  return async () => {
    const at = 2 * next++;
    return [scores[at]!, scores[at + 1]!];
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
