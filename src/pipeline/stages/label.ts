/** Answers are ranked, and the judgements kept in a store of the run; or rankings are read that were made before. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Content, type PreferenceRecord, preferenceToRanking, type RankingRecord } from '../../data/index.ts';
import { NudgeError } from '../../errors.ts';
import { createPool, labelTasks, pairAgreement, poolReport } from '../../feedback/index.ts';
import { openStore } from '../../feedback/store/index.ts';
import { writeFileAtomic } from '../../setup/files.mjs';
import { percent } from '../../setup/progress.mjs';
import { hashOf } from '../hash.ts';
import { openJournal } from '../journal.ts';
import { readRows } from '../rows.ts';
import { type Stage, type StageContext, type StageResult, stageId } from '../stage.ts';
import type { AnswersRow } from './answers.ts';

const STORE = 'feedback.sqlite';
export const RANKINGS = 'rankings.jsonl';
/** What is known of the labels: how many, how far labellers agree. */
export const FOUND = 'pool.json';

export const label: Stage = {
  name: 'label',
  title: 'the answers are ranked',
  version: 2,
  everyRound: true,
  config: ({ label }) => label && { ...label, data: null },
  files: ({ label }) => (label?.data === undefined ? [] : [label.data]),
  inputs: (round) => [stageId('sample', round)],
  summary: ({ judgements = 0, agreement, accuracy }) =>
    [
      `${judgements} rankings`,
      ...(agreement === undefined ? [] : [`two labellers agree on ${percent(agreement)} of pairs`]),
      ...(accuracy === undefined ? [] : [`each with the gold judge on ${percent(accuracy)}`]),
    ].join(', '),
  estimate: () => ({ flops: 0, efficiency: 1, bytes: 50e6 }),
  execute,
};

async function execute(context: StageContext): Promise<StageResult> {
  return context.run.label!.by === 'file' ? await read(context) : await simulate(context);
}

/** Rankings and pairs that people made elsewhere. */
async function read(context: StageContext): Promise<StageResult> {
  const { data, ...reading } = context.run.label!;
  const loaded = await readRows(data!, reading, context);
  if (loaded.format !== 'ranking' && loaded.format !== 'preference') {
    throw new NudgeError('BAD_FILE', 'A reward model learns from answers that were compared.', {
      path: data!,
      expected: 'rows with completions and ranks, or with chosen and rejected',
      received: `rows of the format ${loaded.format}`,
    });
  }
  const { records } = loaded;
  const rankings = loaded.format === 'ranking' ? loaded.records : loaded.records.map(preferenceToRanking);
  // Which of two was preferred may stand in either order.
  const said = Map.groupBy(rankings.map(inOrder), ({ prompt, completions }) => hashOf([prompt, completions]));
  const { agreement } = pairAgreement([...said.values()].map((task) => task.map(({ ranks }) => ranks)));
  return writeJudgements(context, records, { judgements: records.length, tasks: said.size, agreement });
}

/** The completions in an order that their contents alone decide. */
function inOrder({ prompt, completions, ranks }: RankingRecord): RankingRecord {
  const order = completions.map((content, i) => [hashOf(content), i] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  return { prompt, completions: order.map(([, i]) => completions[i]!), ranks: order.map(([, i]) => ranks[i]!) };
}

function writeJudgements(
  { directory }: StageContext,
  rows: readonly (RankingRecord | PreferenceRecord)[],
  found: Readonly<Record<string, unknown>>,
): StageResult {
  writeFileAtomic(join(directory, RANKINGS), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  writeFileAtomic(join(directory, FOUND), `${JSON.stringify(found, null, 2)}\n`);
  return { metrics: numbersOf(found), outputs: [RANKINGS, FOUND] };
}

async function simulate(context: StageContext): Promise<StageResult> {
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
  return writeJudgements(context, await store.rankings(snapshot.id), { snapshot: snapshot.id, ...found });
}

function numbersOf(report: Readonly<Record<string, unknown>>): Record<string, number> {
  return Object.fromEntries(Object.entries(report).filter(([, value]) => typeof value === 'number')) as Record<
    string,
    number
  >;
}
