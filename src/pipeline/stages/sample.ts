/** Answers to each prompt, for people (or whoever stands for them) to rank. */
import { join } from 'node:path';
import { encodePrompt } from '../../data/index.ts';
import { Engine } from '../../generate/index.ts';
import { writeFileAtomic } from '../../setup/files.mjs';
import { percent } from '../../setup/progress.mjs';
import { deriveSeed } from '../../train/index.ts';
import { forwardFlops } from '../estimate.ts';
import { asAsked, readPrompts } from '../prompts.ts';
import { type Stage, type StageContext, type StageResult, stageId } from '../stage.ts';
import { drawAnswers } from './answers.ts';
import { addPolicy, openBase } from './model.ts';

const ANSWERS = 'answers.jsonl';
const PROMPTS = 'prompts.json';
/** Completions that run at the same time: more wait for the processor, not for memory. */
const ROWS = 64;

export const sample: Stage = {
  name: 'sample',
  title: 'several answers to each prompt',
  version: 1,
  everyRound: true,
  config: ({ sample, prompts }) => sample && { ...sample, prompts: { ...prompts, file: null } },
  files: ({ prompts }) => [prompts.file],
  inputs: (round) => ['sft', ...(round > 1 ? [stageId('ppo', round - 1)] : [])],
  summary: ({ answers = 0, meanLength = 0, stopped = 0 }) =>
    `${answers} answers of ${meanLength.toFixed(0)} tokens, ${percent(stopped)} came to an end`,
  estimate({ sample, prompts }, facts) {
    const { numGenerations, maxCompletionLength } = sample!;
    const tokens = prompts.training * (numGenerations * maxCompletionLength + 40);
    return { flops: forwardFlops(facts, tokens), efficiency: 0.4, bytes: 400e6 };
  },
  execute,
};

async function execute(context: StageContext): Promise<StageResult> {
  const { run, directory, seed, signal, report } = context;
  const { numGenerations, maxCompletionLength, temperature } = run.sample!;
  const { training } = await readPrompts(context);
  using base = await openBase(context);
  const { model, tokenizer, lora } = base;
  if (await addPolicy(context, lora)) lora.merge('policy', { restorable: false });
  const asked = training.map((prompt) => asAsked(prompt, tokenizer, run));
  writeFileAtomic(join(directory, PROMPTS), `${JSON.stringify(asked)}\n`);
  using engine = new Engine(model, { tokenizer, stopIds: tokenizer.eosIds, maxRows: ROWS });
  const rows = await drawAnswers(
    engine,
    asked.map((prompt) => encodePrompt(tokenizer, prompt)),
    join(directory, ANSWERS),
    {
      n: numGenerations,
      maxTokens: maxCompletionLength,
      temperature,
      seedOf: (index) => deriveSeed(seed, 'answers', index),
      signal,
      onRow: ({ done, total, tokensPerSecond }) =>
        report({ type: 'progress', done, total, detail: 'prompts', tokensPerSecond }),
    },
  );
  if (rows === null) return { metrics: {}, outputs: [], stopped: true };
  const answers = rows.flatMap(({ completions }) => completions);
  const tokens = answers.reduce((sum, { ids }) => sum + ids.length, 0);
  const ended = answers.filter(({ finishReason }) => finishReason === 'stop').length;
  return {
    metrics: {
      prompts: rows.length,
      answers: answers.length,
      tokens,
      meanLength: tokens / answers.length,
      stopped: ended / answers.length,
    },
    outputs: [ANSWERS, PROMPTS],
  };
}
