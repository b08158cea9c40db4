/** Answers are ranked, and the judgements kept in a store of the run. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Content } from '../../data/index.ts';
import { createPool, labelTasks, poolReport } from '../../feedback/index.ts';
import { openStore } from '../../feedback/store/index.ts';
import { writeFileAtomic } from '../../setup/files.mjs';
import { openJournal } from '../journal.ts';
import { type Stage, type StageContext, type StageResult, stageId } from '../stage.ts';
import type { AnswersRow } from './answers.ts';

const STORE = 'feedback.sqlite';
export const RANKINGS = 'rankings.jsonl';

export const label: Stage = {
  name: 'label',
  title: 'simulated labellers rank the answers',
  version: 2,
  everyRound: true,
  config: ({ label }) => label,
  files: () => [],
  inputs: (round) => [stageId('sample', round)],
  summary: ({ judgements = 0, agreement = 0, accuracy = 0 }) =>
    `${judgements} rankings; two labellers agree on ${(100 * agreement).toFixed(0)} % of pairs, each with the gold judge on ${(100 * accuracy).toFixed(0)} %`,
  estimate: () => ({ flops: 0, efficiency: 1, bytes: 50e6 }),
  execute,
};

async function execute(context: StageContext): Promise<StageResult> {
  const { run, round, seed, directory, input, signal, report } = context;
  const { judgementsPerTask, pool: settings } = run.label!;
  const answers = input(stageId('sample', round))!;
  const prompts = JSON.parse(readFileSync(join(answers, 'prompts.json'), 'utf8')) as Content[];
  const rows = openJournal<AnswersRow>(join(answers, 'answers.jsonl')).rows.sort((a, b) => a.index - b.index);
  const path = join(directory, STORE);
  // Seconds of work, and nobody's but the simulation's: what a crash left is made again.
  for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`, { force: true });
  await using store = await openStore(path);
  const { temperature, maxCompletionLength } = run.sample!;
  const tasks = await store.addTasks(
    rows.map(({ index, completions }) => ({
      prompt: prompts[index]!,
      key: String(index),
      completions: completions.map(({ text, ids, logprobs, finishReason }) => ({
        content: text,
        origin: 'model' as const,
        tokenIds: [...ids],
        logprobs: [...logprobs],
        model: run.model.name,
        sampling: { temperature, maxCompletionLength, round, finishReason },
      })),
    })),
  );
  const pool = createPool(settings, seed);
  await labelTasks(store, pool, tasks, {
    judgementsPerTask,
    signal,
    onProgress: ({ tasks: done, total }) => report({ type: 'progress', done, total, detail: 'prompts' }),
  });
  const snapshot = await store.snapshot();
  const found = poolReport(await store.judged(snapshot.id), pool, await store.labellers());
  const rankings = await store.rankings(snapshot.id);
  writeFileAtomic(join(directory, RANKINGS), rankings.map((ranking) => `${JSON.stringify(ranking)}\n`).join(''));
  writeFileAtomic(join(directory, 'pool.json'), `${JSON.stringify({ snapshot: snapshot.id, ...found }, null, 2)}\n`);
  return { metrics: numbersOf({ ...found }), outputs: [RANKINGS, 'pool.json'] };
}

function numbersOf(report: Readonly<Record<string, unknown>>): Record<string, number> {
  return Object.fromEntries(Object.entries(report).filter(([, value]) => typeof value === 'number')) as Record<
    string,
    number
  >;
}
