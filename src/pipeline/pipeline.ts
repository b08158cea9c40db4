/** A whole run: plan, steps, report. What `nudge run` calls. */
import { mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { NudgeError } from '../errors.ts';
import type { RunConfig } from './config.ts';
import { executeRun, type RunObserver } from './execute.ts';
import type { Manifest } from './manifest.ts';
import { planRun, type Step } from './plan.ts';
import { writeRecord } from './record.ts';
import type { ReportData } from './report/data.ts';
import { writeReport } from './report/write.ts';
import type { StageName } from './stage.ts';
import { STAGES } from './stages/index.ts';

export interface PipelineOptions extends RunObserver {
  /** Where runs are kept; the run is `<runs>/<name>`. */
  runs: string;
  signal?: AbortSignal;
  /** The last stage to do. Default: all of them. */
  until?: StageName;
  /** The plan, before its first step. */
  planned?: (steps: readonly Step[]) => void;
}

export interface PipelineResult {
  readonly directory: string;
  readonly manifests: readonly Manifest[];
  readonly stopped: boolean;
  /** null where it was stopped. */
  readonly report: { readonly path: string; readonly data: ReportData } | null;
}

/** What a run would do. @throws NudgeError BAD_FILE for files that are missing. */
export async function planPipeline(config: RunConfig, runs: string, until?: StageName): Promise<Step[]> {
  const steps = await planRun(config, STAGES, join(runs, config.name));
  if (until === undefined) return steps;
  const last = steps.findLastIndex(({ stage }) => stage.name === until);
  if (last >= 0) return steps.slice(0, last + 1);
  throw new NudgeError('BAD_ARGUMENT', `This run has no stage ${until}.`, {
    path: config.name,
    expected: `one of ${[...new Set(steps.map(({ stage }) => stage.name))].join(', ')}`,
    remedy: `Add \`${until}: {}\` to the configuration.`,
  });
}

/**
 * Runs what is still to do and writes the report. Called again it goes on; called again when all is done it writes the report
 * anew, from what lies there.
 *
 * @throws NudgeError BAD_ARGUMENT where there is no stage `until`; what `planRun`, `executeRun` and the stages throw.
 */
export async function runPipeline(config: RunConfig, options: PipelineOptions): Promise<PipelineResult> {
  const directory = join(options.runs, config.name);
  const steps = await planPipeline(config, options.runs, options.until);
  options.planned?.(steps);
  mkdirSync(directory, { recursive: true });
  writeRecord(directory, config, steps, null);
  const { manifests, stopped } = await executeRun(config, steps, { ...options, directory });
  if (stopped) return { directory, manifests, stopped, report: null };
  const report = await writeReport(config, directory, steps, manifests);
  writeRecord(directory, config, steps, relative(directory, report.path));
  return { directory, manifests, stopped, report };
}
