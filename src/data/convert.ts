/** One format as another, where nothing has to be made up for it. */

import type { CompletionRecord, PreferenceRecord, PromptRecord, RankingRecord, UnpairedRecord } from './records.ts';

/** The prompts alone, each once for every record. */
export function toPrompt({
  prompt,
  extra,
}: {
  prompt: PromptRecord['prompt'];
  extra?: PromptRecord['extra'];
}): PromptRecord {
  return extra === undefined ? { prompt } : { prompt, extra };
}

/** A pair as a ranking of two; its margin, which a ranking has no place for, is left out. */
export function preferenceToRanking({ prompt, chosen, rejected, extra }: PreferenceRecord): RankingRecord {
  const ranking = { prompt, completions: [chosen, rejected], ranks: [1, 2] };
  return extra === undefined ? ranking : { ...ranking, extra };
}

/**
 * All pairs of a ranking in which one completion is better: of K without ties K(K-1)/2, best first. Ties and completions that
 * were not ranked give none. A loss over pairs should average within a ranking first: they are not independent
 * (InstructGPT, arXiv:2203.02155, section 3.5).
 */
export function rankingToPreferences({ prompt, completions, ranks, extra }: RankingRecord): PreferenceRecord[] {
  const ranked = completions
    .map((completion, i) => ({ completion, rank: ranks[i] ?? null }))
    .filter((one): one is { completion: typeof one.completion; rank: number } => one.rank !== null)
    .sort((a, b) => a.rank - b.rank);
  return ranked.flatMap((better, i) =>
    ranked.slice(i + 1).flatMap((worse) => {
      if (better.rank === worse.rank) return [];
      const pair = { prompt, chosen: better.completion, rejected: worse.completion };
      return [extra === undefined ? pair : { ...pair, extra }];
    }),
  );
}

/** A pair as a good and a bad answer (TRL's `unpair_preference_dataset`). */
export function preferenceToUnpaired({ prompt, chosen, rejected, extra }: PreferenceRecord): UnpairedRecord[] {
  const rest = extra === undefined ? {} : { extra };
  return [
    { prompt, completion: chosen, label: true, ...rest },
    { prompt, completion: rejected, label: false, ...rest },
  ];
}

/** The better answer alone, to be learned. */
export function preferenceToCompletion({ prompt, chosen, extra }: PreferenceRecord): CompletionRecord {
  return { prompt, completion: chosen, ...(extra === undefined ? {} : { extra }) };
}
