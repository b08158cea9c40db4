import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { NudgeError } from '../errors.ts';
import type { PipelineResult, RunConfig, StageName } from '../pipeline/index.ts';
import { packageRoot } from '../setup/paths.mjs';
import { percent } from '../setup/progress.mjs';

interface Options {
  json?: boolean;
  dryRun?: boolean;
  runs: string;
  name?: string;
  seed?: number;
  until?: StageName;
}

/** `nudge run` and `nudge quickstart`: from a pretrained model to one that answers as its users prefer. */
export function registerRun(program: Command): void {
  common(program.command('run').description('take a model through the stages that a nudge.yaml names'))
    .argument('[file]', 'the configuration', 'nudge.yaml')
    .addHelpText('after', EXAMPLES)
    .action(run);
  common(program.command('quickstart').description('the whole loop with a small model, in about ten minutes'))
    .addHelpText('after', '\nThe same as: nudge run examples/quickstart.yaml')
    .action((options: Options) => run(join(packageRoot(), 'examples', 'quickstart.yaml'), options));
  for (const [until, description] of Object.entries(PARTS) as [StageName, string][]) {
    common(program.command(until).description(`a run as far as this stage: ${description}`))
      .argument('[file]', 'the configuration', 'nudge.yaml')
      .addHelpText('after', `\nWhat was done before is kept, and \`nudge run\` goes on from there.`)
      .action((file: string, options: Options) => run(file, { ...options, until }));
  }
}

/** Stages that have a command of their own. */
const PARTS = {
  sft: 'fine-tuning on good answers',
  sample: 'several answers to each prompt',
  label: 'rankings of the answers',
  reward: 'a reward model that scores as they rank',
  ppo: 'a policy that learns from it',
  evaluate: 'old and new answers compared',
} as const;

function common(command: Command): Command {
  return command
    .option('--dry-run', 'show the plan with estimated time and memory; do nothing')
    .option('--runs <dir>', 'where runs are kept', 'runs')
    .option('--name <name>', "the run's name, in place of the configuration's")
    .option('--seed <n>', "the run's seed, in place of the configuration's", wholeNumber)
    .option('--json', 'print one JSON object at the end');
}

async function run(file: string, options: Options): Promise<void> {
  const configs = await readConfigs(file, options);
  if (options.dryRun) {
    const { showPlan } = await import('./plan.ts');
    for (const config of configs) await showPlan(config, options);
    return;
  }
  const stop = stopOnSignals();
  const results: Summary[] = [];
  for (const config of configs) {
    const result = await runOne(config, options, stop.signal);
    if (result === null) return stopped(options);
    results.push(result);
  }
  stop.release();
  if (options.json) process.stdout.write(`${JSON.stringify(results.length === 1 ? results[0] : { runs: results })}\n`);
}

/** One configuration a seed. @throws NudgeError BAD_FILE with the lines that are wrong. */
async function readConfigs(file: string, { name, seed }: Options): Promise<RunConfig[]> {
  if (!existsSync(file)) {
    throw new NudgeError('BAD_ARGUMENT', 'There is no such configuration.', {
      path: file,
      remedy: '`nudge init` writes one, with every key explained.',
    });
  }
  const { parseYaml, resolvePaths, RunConfigSchema } = await import('../pipeline/index.ts');
  const parsed = parseYaml(readFileSync(file, 'utf8'), RunConfigSchema, file);
  const { seeds, ...rest } = resolvePaths(parsed, file);
  const config: RunConfig = { ...rest, name: name ?? parsed.name };
  if (seed !== undefined) return [{ ...config, seed }];
  if (seeds === undefined) return [config];
  return seeds.map((seed) => ({ ...config, seed, name: `${config.name}-seed${seed}` }));
}

/** The object that `--json` prints. */
interface Summary {
  run: string;
  seconds: number;
  peakRssBytes: number;
  goldWinRate: { value: number; low: number; high: number; n: number } | null;
  proxyReward: { before: number; after: number } | null;
  goldReward: { before: number; after: number } | null;
  klPerSequence: number | null;
  report: string;
}

/** @returns null when it was stopped. */
async function runOne(config: RunConfig, options: Options, signal: AbortSignal): Promise<Summary | null> {
  const [{ runPipeline }, { RunView }] = await Promise.all([import('../pipeline/index.ts'), import('./view.ts')]);
  const view = new RunView(process.stderr);
  const { runs } = options;
  try {
    const result = await runPipeline(config, {
      runs: resolve(runs),
      signal,
      ...(options.until === undefined ? {} : { until: options.until }),
      planned: (steps) => {
        process.stderr.write(`${config.name}: ${config.model.name}, seed ${config.seed}\n`);
        view.plan(steps.length);
      },
      begin: (step) => view.begin(step),
      event: (_, event) => view.event(event),
      end: (step, manifest) => view.end(step, manifest),
    });
    if (result.stopped) {
      view.stop();
      return null;
    }
    const summary = summaryOf(config, result);
    if (!options.json) process.stdout.write(`${renderSummary(summary)}\n`);
    return summary;
  } catch (error) {
    view.stop();
    throw error;
  }
}

function summaryOf({ name }: RunConfig, { manifests, report }: PipelineResult): Summary {
  const { evaluation } = report!.data;
  return {
    run: name,
    seconds: manifests.reduce((sum, { seconds }) => sum + seconds, 0),
    peakRssBytes: manifests.reduce((most, { peakRssBytes }) => Math.max(most, peakRssBytes), 0),
    goldWinRate: evaluation?.goldWinRate ?? null,
    proxyReward: evaluation?.proxy ?? null,
    goldReward: evaluation?.gold ?? null,
    klPerSequence: evaluation?.klPerSequence ?? null,
    report: report!.path,
  };
}

function renderSummary({ goldWinRate, goldReward, klPerSequence, report }: Summary): string {
  const lines = [];
  if (goldWinRate !== null && goldReward !== null) {
    const { value, low, high, n } = goldWinRate;
    lines.push(
      `Win rate against the original, by the gold judge: ${percent(value)} (95 % interval ${percent(low)} to ${percent(high)}, ${n} prompts).`,
      `Gold score ${goldReward.before.toFixed(2)} -> ${goldReward.after.toFixed(2)}, KL ${klPerSequence?.toFixed(1)} nats an answer.`,
    );
  }
  return [...lines, `Report: ${report}`].join('\n');
}

/** The first Ctrl-C saves and stops; the second ends at once, which loses what was not saved and nothing else. */
function stopOnSignals(): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write('\nSaving; once more ends at once.\n');
    controller.abort();
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const name of signals) process.on(name, onSignal);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of signals) process.off(name, onSignal);
    },
  };
}

function stopped({ json }: Options): void {
  process.exitCode = 1;
  if (json) process.stdout.write(`${JSON.stringify({ ok: false, stopped: true })}\n`);
  process.stderr.write('Stopped. The same command goes on from here.\n');
}

function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a whole number from 0.');
}

const EXAMPLES = `
Examples:
  nudge init                          write nudge.yaml, with every key explained
  nudge run --dry-run                 what would be done, how long it takes, how much memory
  nudge run                           do it; the same command goes on after Ctrl-C, a crash or a change of settings
  nudge run --seed 2 --name again     another seed, kept apart
  nudge runs compare my-run again     the figures side by side

Only what a change affects is made again: stages are kept under runs/NAME/stages by the hash of all that decides them.`;
