/** Training records from judgements: rankings as they are, pairs from rankings, labels from tasks with one completion. */
import type { PreferenceRecord, RankingRecord, UnpairedRecord } from '../../data/index.ts';
import { canonicalJson } from './canonical.ts';
import { CUT_OFF, type Judgement, type Task } from './records.ts';
import { contentsOf, type JudgedTask } from './snapshots.ts';

/**
 * How much a pair's margin is: `none`; `ranks`, how many levels lie between the two; `strength`, (strength - 1) / 3, which are
 * Llama 2's margins (arXiv:2307.09288, table 27: 0 negligibly, 1/3 slightly, 2/3 clearly, 1 significantly better); `stored`,
 * what an imported data set said.
 */
export type MarginSource = 'none' | 'ranks' | 'strength' | 'stored';

export interface PreferenceOptions {
  /** Default: 'stored'. Pairs whose judgement does not say it have no margin. */
  margin?: MarginSource;
}

/** Of a task with one completion, and of none in a ranking, there is nothing to compare. */
export function canCompare({ ranks }: Judgement): boolean {
  return ranks !== null && ranks.filter((rank) => rank !== null).length >= 2;
}

/** One record a judgement, with all completions; those that compare nothing are left out. */
export function toRankings(judged: readonly JudgedTask[]): RankingRecord[] {
  return judged
    .filter(({ judgement }) => canCompare(judgement))
    .map(({ judgement, task }) => ({
      prompt: task.prompt.prompt,
      completions: contentsOf(task),
      ranks: judgement.ranks as (number | null)[],
      ...truncationOf(task),
      extra: sourceOf(judgement),
    }));
}

/** Which completions were cut off, where any was: sampling says why each ended (`finishReason`, "length"). */
export function truncationOf({ completions }: Task): Pick<RankingRecord, 'truncated'> {
  const truncated = completions.map(({ sampling }) => sampling?.finishReason === CUT_OFF);
  return truncated.includes(true) ? { truncated } : {};
}

/**
 * All pairs of a ranking that are not tied, the better one chosen; completions that were not ranked are in no pair, nor are two
 * equal texts. Pairs of one judgement follow each other and name it, so that they can stay in one batch.
 */
export function toPreferences(judged: readonly JudgedTask[], options: PreferenceOptions = {}): PreferenceRecord[] {
  return judged.flatMap((one) => pairsOf(one, options.margin ?? 'stored'));
}

function pairsOf({ judgement, task }: JudgedTask, source: MarginSource): PreferenceRecord[] {
  const ranks = judgement.ranks ?? [];
  const levels = [...new Set(ranks.filter((rank) => rank !== null))].sort((a, b) => a - b);
  const completions = contentsOf(task);
  const texts = completions.map((content) => canonicalJson(content));
  const pairs: PreferenceRecord[] = [];
  ranks.forEach((better, i) => {
    ranks.forEach((worse, j) => {
      if (better === null || worse === null || better >= worse || texts[i] === texts[j]) return;
      const distance = levels.indexOf(worse) - levels.indexOf(better);
      const margin = marginOf(judgement, distance, source);
      pairs.push({
        prompt: task.prompt.prompt,
        chosen: completions[i] as string,
        rejected: completions[j] as string,
        ...(margin === null ? {} : { margin }),
        extra: sourceOf(judgement),
      });
    });
  });
  return pairs;
}

function marginOf({ strength, margin }: Judgement, distance: number, source: MarginSource): number | null {
  if (source === 'ranks') return distance;
  if (source === 'strength') return strength === null ? null : (strength - 1) / 3;
  return source === 'stored' ? margin : null;
}

/** Of tasks with one completion: good unless "none is good". Where several were called not good, each is a bad one. */
export function toUnpaired(judged: readonly JudgedTask[]): UnpairedRecord[] {
  return judged
    .filter(({ judgement, task }) => task.completions.length === 1 || judgement.noneGood)
    .flatMap(({ judgement, task }) =>
      contentsOf(task).map((completion) => ({
        prompt: task.prompt.prompt,
        completion,
        label: !judgement.noneGood,
        extra: sourceOf(judgement),
      })),
    );
}

/** The way back from a training record to who said it. */
function sourceOf({ id, task, labeller }: Judgement): { judgement: string; task: string; labeller: string } {
  return { judgement: id, task, labeller };
}
