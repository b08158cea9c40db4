/** From the store to files. */
import { extname } from 'node:path';
import {
  type AnyRecord,
  type Content,
  checkRecord,
  type Format,
  toRow,
  type WriteOptions,
  writeJsonLines,
  writeParquet,
} from '../../../data/index.ts';
import { NudgeError } from '../../../errors.ts';
import { canCompare, type MarginSource, toPreferences, truncationOf } from '../derive.ts';
import type { Labeller } from '../records.ts';
import { contentsOf, type JudgedTask } from '../snapshots.ts';
import type { PreferenceStore } from '../store.ts';
import { sourceOf } from './source.ts';

export interface ExportOptions extends WriteOptions {
  format: Exclude<Format, 'text'>;
  /** Default: 'default'. */
  project?: string;
  /** For rankings, preferences and labels: the snapshot's id. Default: one of all judgements that stand. */
  snapshot?: string;
  /** For preferences. Default: 'stored'. */
  margin?: MarginSource;
  /** Whether to write the column `nudge`, from which the judgements can be restored. Default: true. */
  source?: boolean;
}

export interface Exported {
  readonly records: number;
  /** null for prompts and demonstrations, which no snapshot holds. */
  readonly snapshot: string | null;
  /** What the format cannot hold, by reason. `store.backup` keeps everything. */
  readonly leftOut: Readonly<Record<string, number>>;
}

/**
 * Writes records to a file: JSON Lines, or Parquet where the name ends so.
 *
 * `ranking`: a row a judgement. `preference`: a row a pair. `unpaired`: judgements of single answers, and answers of which none
 * was good. `prompt-only`: all prompts of the project. `prompt-completion`: its demonstrations.
 *
 * @throws NudgeError FILE_EXISTS unless `overwrite`; IO_FAILED; BAD_ARGUMENT where nothing is to be written.
 */
export async function exportRecords(store: PreferenceStore, path: string, options: ExportOptions): Promise<Exported> {
  const { format, project = 'default', overwrite = false } = options;
  const judged = format === 'prompt-only' || format === 'prompt-completion' ? null : await chosen(store, options);
  const made = judged === null ? await contents(store, format, project) : await records(store, judged.judged, options);
  const leftOut: Record<string, number> = { ...made.leftOut };
  const fit = made.records.filter((record) => {
    const checked = checkRecord(format, record);
    if ('record' in checked) return true;
    const { field, reason } = checked.fault;
    // Positions and values differ from row to row; what is wrong does not.
    const why = `${(field ?? 'row').replace(/\[\d+\]/g, '')} ${reason.replace(/, received .*$/s, '')}`;
    leftOut[why] = (leftOut[why] ?? 0) + 1;
    return false;
  });
  if (fit.length === 0) throw nothing(path, format, project, leftOut);
  if (extname(path).toLowerCase() === '.parquet') await writeParquet(path, format, fit, { overwrite });
  else await writeJsonLines(path, fit.map(toRow), { overwrite });
  return { records: fit.length, snapshot: judged?.snapshot ?? null, leftOut };
}

async function chosen(
  store: PreferenceStore,
  { snapshot, project = 'default' }: ExportOptions,
): Promise<{ snapshot: string; judged: JudgedTask[] }> {
  const id = snapshot ?? (await store.snapshot({ project })).id;
  return { snapshot: id, judged: await store.judged(id) };
}

interface Made {
  records: AnyRecord[];
  leftOut: Record<string, number>;
}

async function contents(store: PreferenceStore, format: Format, project: string): Promise<Made> {
  const extraOf = (extra: object) =>
    Object.keys(extra).length === 0 ? {} : { extra: extra as Record<string, unknown> };
  const prompts = await store.prompts(project);
  if (format === 'prompt-only') {
    return { records: prompts.map(({ prompt, extra }) => ({ prompt, ...extraOf(extra) })), leftOut: {} };
  }
  const byId = new Map(prompts.map((prompt) => [prompt.id, prompt]));
  const demonstrations = await store.completions(project, 'demonstration');
  const made = demonstrations.map(({ prompt, content, extra }) => ({
    prompt: byId.get(prompt)?.prompt as Content,
    completion: content,
    ...extraOf(extra),
  }));
  return { records: made, leftOut: {} };
}

async function records(store: PreferenceStore, judged: JudgedTask[], options: ExportOptions): Promise<Made> {
  const { format, margin = 'stored', source = true } = options;
  const labellers = new Map((await store.labellers()).map((labeller) => [labeller.id, labeller]));
  const extraOf = ({ task, judgement }: JudgedTask, isWhole: boolean) => {
    const nudge = sourceOf(task, judgement, labellers.get(judgement.labeller) as Labeller);
    const extra = { ...task.extra, ...(source && isWhole ? { nudge } : {}) };
    return Object.keys(extra).length === 0 ? {} : { extra };
  };
  if (format === 'ranking') {
    const whole = judged.filter(({ judgement }) => canCompare(judgement));
    const made = whole.map((one) => ({
      prompt: one.task.prompt.prompt,
      completions: contentsOf(one.task),
      ranks: one.judgement.ranks as (number | null)[],
      ...truncationOf(one.task),
      ...extraOf(one, true),
    }));
    return { records: made, leftOut: leftOut(judged.length - whole.length, 'fewer than two completions were ranked') };
  }
  if (format === 'preference') {
    const made = judged.flatMap((one) => {
      // A pair is the whole of its judgement only where there were two.
      const isWhole = one.task.completions.length === 2;
      return toPreferences([one], { margin }).map(({ extra: _, ...pair }) => ({ ...pair, ...extraOf(one, isWhole) }));
    });
    const paired = judged.filter((one) => toPreferences([one]).length > 0).length;
    return { records: made, leftOut: leftOut(judged.length - paired, 'no pair was told apart') };
  }
  const labels = judged.filter(({ task, judgement }) => task.completions.length === 1 || judgement.noneGood);
  const made = labels.flatMap((one) =>
    contentsOf(one.task).map((completion) => ({
      prompt: one.task.prompt.prompt,
      completion,
      label: !one.judgement.noneGood,
      ...extraOf(one, one.task.completions.length === 1),
    })),
  );
  return {
    records: made,
    leftOut: leftOut(judged.length - labels.length, 'answers were compared, not found good or bad'),
  };
}

function leftOut(count: number, reason: string): Record<string, number> {
  return count === 0 ? {} : { [reason]: count };
}

function nothing(path: string, format: Format, project: string, leftOut: Record<string, number>): NudgeError {
  const reasons = Object.entries(leftOut).map(([reason, count]) => `${count}: ${reason}`);
  return new NudgeError('BAD_ARGUMENT', 'There is nothing to write.', {
    path,
    expected: `at least one ${format} record in project ${JSON.stringify(project)}`,
    received: reasons.length === 0 ? 'none' : reasons.join('; '),
  });
}
