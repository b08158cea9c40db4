import { join } from 'node:path';
import type { Command } from 'commander';
import type { StoredRun } from '../pipeline/index.ts';
import { table } from './table.ts';

interface Options {
  json?: boolean;
  runs: string;
}

/** `nudge runs`: what was run, what it came to, and how runs compare. */
export function registerRuns(program: Command): void {
  const runs = program.command('runs').description('list, show and compare runs').addHelpText('after', EXAMPLES);
  const common = (command: Command) =>
    command.option('--runs <dir>', 'where runs are kept', 'runs').option('--json', 'print one JSON object');
  common(runs.command('list').description('all runs, the latest first')).action(list);
  common(runs.command('show').description('the stages of a run and their figures'))
    .argument('<name>', "a run's name, or its directory")
    .action(show);
  common(runs.command('compare').description('the figures of runs side by side'))
    .argument('<names...>', 'two runs or more')
    .action(compare);
}

async function list({ runs, json }: Options): Promise<void> {
  const { listRuns } = await import('../pipeline/index.ts');
  const found = listRuns(runs);
  if (json) return print(JSON.stringify({ runs: found.map(asData) }));
  if (found.length === 0) return print(`There are no runs in ${runs}. \`nudge quickstart\` makes one.`);
  const rows = found.map((run) => {
    const { record, manifests } = run;
    const done = manifests.filter((manifest) => manifest?.status === 'done').length;
    const figures = figuresOf(run);
    return [
      record.name,
      record.model,
      String(record.seed),
      done === manifests.length ? 'done' : `${done} of ${manifests.length} stages`,
      showFigure(figures.get('evaluate.goldWinRate')),
      record.updatedAt.slice(0, 16).replace('T', ' '),
    ];
  });
  print(table([['NAME', 'MODEL', 'SEED', 'STATE', 'GOLD WIN RATE', 'LAST WORKED ON'], ...rows]));
}

async function show(name: string, { runs, json }: Options): Promise<void> {
  const { findRun } = await import('../pipeline/index.ts');
  const { seconds, size } = await import('../setup/progress.mjs');
  const run = findRun(runs, name);
  if (json) return print(JSON.stringify(asData(run)));
  const { record, manifests, directory } = run;
  const lines = [`${record.name}: ${record.model}, seed ${record.seed}`];
  for (const [i, { id, directory: place }] of record.steps.entries()) {
    const manifest = manifests[i];
    if (manifest === null || manifest === undefined) {
      lines.push(`${id}  not begun`);
      continue;
    }
    const attempts = manifest.attempts > 1 ? `, in ${manifest.attempts} attempts` : '';
    lines.push(
      `${id}  ${manifest.status}, ${seconds(manifest.seconds * 1000)}${attempts}, ${size(manifest.peakRssBytes)}  ${join(directory, place)}`,
    );
    for (const [metric, value] of Object.entries(manifest.metrics))
      lines.push(`    ${metric.padEnd(28)}${showFigure(value)}`);
  }
  if (record.report !== null) lines.push(`Report: ${join(directory, record.report)}`);
  print(lines.join('\n'));
}

async function compare(names: readonly string[], { runs, json }: Options): Promise<void> {
  const { findRun } = await import('../pipeline/index.ts');
  const found = names.map((name) => findRun(runs, name));
  if (json) return print(JSON.stringify({ runs: found.map(asData) }));
  const figures = found.map(figuresOf);
  const metrics = [...new Set(figures.flatMap((own) => [...own.keys()]))];
  const rows = metrics.map((metric) => [metric, ...figures.map((own) => showFigure(own.get(metric)))]);
  print(table([['', ...found.map(({ record }) => record.name)], ...rows]));
}

/** `stage.metric` to its value, of all stages that are done. */
function figuresOf({ record, manifests }: StoredRun): Map<string, number> {
  const entries = record.steps.flatMap(({ id }, i) =>
    Object.entries(manifests[i]?.metrics ?? {}).map(([name, value]) => [`${id}.${name}`, value] as const),
  );
  return new Map(entries);
}

function asData({ directory, record, manifests }: StoredRun) {
  return { directory, ...record, steps: record.steps.map((step, i) => ({ ...step, manifest: manifests[i] ?? null })) };
}

function showFigure(value: number | undefined): string {
  return value === undefined ? '' : String(Number(value.toPrecision(4)));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

const EXAMPLES = `
Examples:
  nudge runs list
  nudge runs show quickstart
  nudge runs compare quickstart-seed1 quickstart-seed2 quickstart-seed3`;
