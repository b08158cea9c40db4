/** Gathers what the stages left on disk into a report. */
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ComparisonReport } from '../../evaluate/index.ts';
import { writeFileAtomic } from '../../setup/files.mjs';
import { type RewardReport, readMetrics } from '../../train/index.ts';
import type { RunConfig } from '../config.ts';
import type { Manifest } from '../manifest.ts';
import type { Step } from '../plan.ts';
import { shownPrompt } from '../prompts.ts';
import { stageId } from '../stage.ts';
import { COMPARISON } from '../stages/evaluate.ts';
import { REWARD_REPORT } from '../stages/reward.ts';
import type { MetricsLine, ReportData, SideBySide } from './data.ts';
import { renderReport } from './page.ts';

/** Prompts shown side by side. */
const EXAMPLES = 12;

/** Writes `report.html` and `report.json` into the run's directory. */
export async function writeReport(
  config: RunConfig,
  directory: string,
  steps: readonly Step[],
  manifests: readonly Manifest[],
): Promise<{ path: string; data: ReportData }> {
  const data = await gather(config, directory, steps, manifests);
  const path = join(directory, 'report.html');
  writeFileAtomic(join(directory, 'report.json'), `${JSON.stringify(data, null, 1)}\n`);
  writeFileAtomic(path, renderReport(data));
  return { path, data };
}

async function gather(
  config: RunConfig,
  directory: string,
  steps: readonly Step[],
  manifests: readonly Manifest[],
): Promise<ReportData> {
  const at = (id: string) => steps.find((step) => step.id === id)?.directory ?? null;
  const last = manifests.at(-1);
  const [reward, ppo, evaluation] = [
    at(stageId('reward', config.rounds)),
    at(stageId('ppo', config.rounds)),
    at('evaluate'),
  ];
  return {
    name: config.name,
    model: config.model.name,
    seed: config.seed,
    finishedAt: last?.finishedAt ?? new Date().toISOString(),
    versions: last?.versions ?? {},
    stages: manifests.map(({ stage, seconds, peakRssBytes, metrics }, i) => ({
      id: stage,
      title: steps[i]!.stage.title,
      seconds,
      peakRssBytes,
      metrics,
    })),
    ...(reward === null ? {} : { rewardModel: rewardFigures(reward) }),
    ...(ppo === null ? {} : { ppo: curvesOf(config.rounds, at) }),
    ...(evaluation === null ? {} : { evaluation: comparisonFigures(evaluation) }),
    next: nextSteps(config, directory, ppo),
  };
}

function rewardFigures(directory: string): NonNullable<ReportData['rewardModel']> {
  const report = JSON.parse(readFileSync(join(directory, REWARD_REPORT), 'utf8')) as RewardReport;
  const { accuracy, agreement, ece, length } = report;
  return { accuracy, ceiling: agreement, ece, lengthCorrelation: length.correlation };
}

/** Of all rounds, one after the other. */
function curvesOf(rounds: number, at: (id: string) => string | null): MetricsLine[] {
  const lines: MetricsLine[] = [];
  for (let round = 1; round <= rounds; round++) {
    const first = lines.length;
    const found = readMetrics(at(stageId('ppo', round))!);
    lines.push(...found.map(({ step, metrics }) => ({ ...metrics, step: first + step })));
  }
  return lines;
}

function comparisonFigures(directory: string): NonNullable<ReportData['evaluation']> {
  const text = readFileSync(join(directory, COMPARISON), 'utf8');
  const { judges, kl, lengths, diversity, rows } = ComparisonReport.parse(JSON.parse(text));
  const proxy = judges.proxy!;
  const means = ({ scores }: typeof proxy) => ({ before: scores.reference.value, after: scores.policy.value });
  return {
    goldWinRate: judges.gold?.winRate ?? null,
    proxyWinRate: proxy.winRate,
    gold: judges.gold === undefined ? null : means(judges.gold),
    proxy: means(proxy),
    klPerSequence: kl!.perSequence.value,
    length: { before: lengths.reference.mean, after: lengths.policy.mean },
    diversity: { before: diversity.reference.distinct2 ?? 0, after: diversity.policy.distinct2 ?? 0 },
    examples: rows.slice(0, EXAMPLES).map((row) => sideBySide(row)),
  };
}

function sideBySide({ prompt, policy, reference, judges }: ComparisonReport['rows'][number]): SideBySide {
  const scores = (name: string) => ({
    before: judges[name]?.reference ?? Number.NaN,
    after: judges[name]?.policy ?? Number.NaN,
  });
  return {
    prompt: shownPrompt(prompt),
    before: shownPrompt(reference.completion),
    after: shownPrompt(policy.completion),
    gold: judges.gold === undefined ? null : scores('gold'),
    proxy: scores('proxy'),
  };
}

function nextSteps(config: RunConfig, directory: string, ppo: string | null): ReportData['next'] {
  if (ppo === null) return [];
  const policy = relative('.', join(ppo, 'policy'));
  const model = config.model.name;
  return [
    { command: `nudge chat ${model} --adapter ${policy}`, does: 'talk with the new policy' },
    {
      command: `nudge export ${model} --adapter ${policy} --format gguf --to ${config.name}.gguf`,
      does: 'take it to llama.cpp; hf and peft write what transformers, vLLM and PEFT load',
    },
    {
      command: `nudge runs show ${config.name}`,
      does: `every figure of every stage; the files lie in ${relative('.', directory) || '.'}`,
    },
    { command: 'nudge init', does: 'a configuration of your own, with every key explained' },
  ];
}
