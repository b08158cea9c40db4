/** What a reward model learns from: prompts, the token ids of their completions, and what people said of them. */
import {
  type PreferenceRecord,
  type RankingRecord,
  type RecordsByFormat,
  type TokenExample,
  type TokeniseOptions,
  type TokenPreference,
  type TokenRanking,
  type TokenReport,
  tokenise,
} from '../../data/index.ts';
import { NudgeError } from '../../errors.ts';
import { type Comparison, comparisonOfPair, comparisonOfRanks, joinComparisons } from '../../losses/index.ts';
import type { Tokenizer } from '../../text/index.ts';

/** A prompt with completions to score: token ids, the completions' ends included. */
export interface ScoredGroup {
  readonly promptIds: readonly number[];
  readonly completions: readonly (readonly number[])[];
}

/** A prompt with its judged completions. */
export interface RewardRow extends ScoredGroup {
  readonly comparison: Comparison;
}

export type RewardFormat = 'preference' | 'ranking';

export interface RewardRows {
  readonly rows: readonly RewardRow[];
  /** For each row, the index of its record, the first where several are about the same completions. */
  readonly sources: readonly number[];
  readonly report: TokenReport;
}

/** Records as rows. @param labelColumn see `RewardConfig.labelColumn`. */
export function rewardRows<F extends RewardFormat>(
  tokenizer: Tokenizer,
  format: F,
  records: readonly RecordsByFormat[F][],
  options: TokeniseOptions & { labelColumn?: string | undefined },
): RewardRows {
  const { labelColumn, ...settings } = options;
  if (format === 'ranking') {
    const { examples, sources, report } = tokenise(tokenizer, 'ranking', records as readonly RankingRecord[], settings);
    return { ...joined(examples.map(rankingRow), sources), report };
  }
  const preferences = records as readonly PreferenceRecord[];
  const { examples, sources, report } = tokenise(tokenizer, 'preference', preferences, settings);
  const rows = examples.map((example, i) => preferenceRow(example, labelOf(preferences, sources[i]!, labelColumn)));
  return { rows, sources, report };
}

/** Several people's judgements of the same completions become one row, so that each completion is computed once. */
function joined(rows: readonly RewardRow[], sources: readonly number[]): Pick<RewardRows, 'rows' | 'sources'> {
  const same = Map.groupBy(rows.keys(), (i) => JSON.stringify([rows[i]!.promptIds, rows[i]!.completions]));
  const groups = [...same.values()];
  return {
    rows: groups.map((group) => ({
      ...rows[group[0]!]!,
      comparison: joinComparisons(group.map((i) => rows[i]!.comparison)),
    })),
    sources: groups.map(([first]) => sources[first!]!),
  };
}

/** Every completion behind its prompt, as one sequence. */
export function sequencesOf(groups: readonly ScoredGroup[]): TokenExample[] {
  return groups.flatMap(({ promptIds, completions }) =>
    completions.map((ids) => ({ ids: [...promptIds, ...ids], completionStart: promptIds.length })),
  );
}

/** Tokens computed for a row: its prompt stands once. */
export function rowLength({ promptIds, completions }: ScoredGroup): number {
  return completions.reduce((sum, ids) => sum + ids.length, promptIds.length);
}

function rankingRow({ promptIds, completions, ranks }: TokenRanking): RewardRow {
  return { promptIds, completions: completions.map(({ ids }) => ids), comparison: comparisonOfRanks(ranks) };
}

function preferenceRow({ promptIds, chosen, rejected, margin = 0 }: TokenPreference, label: number): RewardRow {
  return { promptIds, completions: [chosen.ids, rejected.ids], comparison: comparisonOfPair({ label, margin }) };
}

function labelOf(records: readonly PreferenceRecord[], source: number, column: string | undefined): number {
  if (column === undefined) return 1;
  const label = records[source]!.extra?.[column];
  if (typeof label === 'number' && label >= 0 && label <= 1) return label;
  throw new NudgeError(
    'BAD_ARGUMENT',
    'A soft label is the probability that the chosen completion is the better one.',
    {
      path: `records[${source}].extra.${column}`,
      expected: 'a number from 0 to 1',
      received: JSON.stringify(label) ?? 'nothing',
      remedy: 'Fill the column, or leave labelColumn out.',
    },
  );
}
