/** From records to what a reward model is trained, judged and normalised on. */
import { type Content, promptKey, type RecordsByFormat, type TokeniseOptions, tokenise } from '../../data/index.ts';
import type { CausalModel, ResolvedModel } from '../../models/index.ts';
import type { ChatTemplate, Tokenizer } from '../../text/index.ts';
import { checkExamples, requireFit } from '../preflight.ts';
import { permutation } from '../random.ts';
import type { TrainRun } from '../run.ts';
import type { RewardSettings } from './config.ts';
import {
  type RewardFormat,
  type RewardRow,
  type RewardRows,
  rewardRows,
  type ScoredGroup,
  sequencesOf,
} from './rows.ts';

export interface RewardInputs<F extends RewardFormat = RewardFormat> {
  /** With a language-model head, where an adapter is trained; with head `score`, where all weights are. */
  model: CausalModel;
  tokenizer: Tokenizer;
  /** Where the model came from: what is saved beside full weights from a GGUF file. */
  resolved?: ResolvedModel;
  format: F;
  train: readonly RecordsByFormat[F][];
  /** Held out; split by prompt, or the report flatters. */
  evaluation?: readonly RecordsByFormat[F][];
  /**
   * Completions whose scores become mean 0 and standard deviation 1, such as answers of the model that PPO starts from. Default: the
   * completions of the training set.
   */
  references?: readonly RecordsByFormat['prompt-completion'][];
  /** Share of pairs on which labellers agree with each other: the ceiling in the report. */
  agreement?: number;
  /** For messages. Default: the model's own. */
  template?: ChatTemplate;
  /** Default `reward`. One of this name that is there already is trained further. */
  adapter?: string;
}

/** Records as rows, by the configuration. */
export function encodeRows<F extends RewardFormat>(
  inputs: Pick<RewardInputs<F>, 'tokenizer' | 'template' | 'format'>,
  config: RewardSettings,
  records: readonly RecordsByFormat[F][],
): RewardRows {
  const { labelColumn } = config;
  return rewardRows(inputs.tokenizer, inputs.format, records, { ...tokeniseSettings(inputs, config), labelColumn });
}

function tokeniseSettings({ template }: Pick<RewardInputs, 'template'>, config: RewardSettings): TokeniseOptions {
  const { maxLength, maxPromptLength, maxCompletionLength, longCompletions, strings, appendEos, system } = config;
  return {
    ...{ maxLength, maxPromptLength, maxCompletionLength, longCompletions, strings, appendEos, system },
    ...(template === undefined ? {} : { template }),
  };
}

/** Encodes what a reward model is given, and checks it. */
export function prepare<F extends RewardFormat>(inputs: RewardInputs<F>, config: RewardSettings, run: TrainRun) {
  const { tokenizer } = inputs;
  const note = (text: string) => run.onEvent?.({ type: 'note', text });
  const encode = (records: readonly RecordsByFormat[F][]): RewardRows => {
    const encoded = encodeRows(inputs, config, records);
    const sources = encoded.rows.flatMap(({ completions }, row) => completions.map(() => encoded.sources[row]!));
    const nameOf = (i: number) => `row ${sources[i]}`;
    requireFit(checkExamples({ tokenizer, examples: sequencesOf(encoded.rows), report: encoded.report, nameOf }), note);
    return encoded;
  };
  const train = encode(inputs.train);
  const heldOut = inputs.evaluation ?? [];
  warnOfLeak(inputs.train, heldOut, note);
  return {
    train,
    evaluation: heldOut.length === 0 ? null : encode(heldOut),
    references: referencesOf(inputs, train.rows, config),
  };
}

export interface References {
  readonly groups: readonly ScoredGroup[];
  /** Which rows of the training set they are; null where they come from elsewhere. */
  readonly rows: readonly number[] | null;
}

/** What scores are normalised on: the given completions, or some rows of the training set. */
function referencesOf(
  inputs: Pick<RewardInputs, 'tokenizer' | 'template' | 'references'>,
  rows: readonly RewardRow[],
  config: RewardSettings,
): References {
  const { tokenizer, references } = inputs;
  const { normalisationRows, seed } = config;
  const groups: readonly ScoredGroup[] =
    references === undefined
      ? rows
      : tokenise(tokenizer, 'prompt-completion', references, tokeniseSettings(inputs, config)).examples.map(
          ({ ids, completionStart }) => ({
            promptIds: ids.slice(0, completionStart),
            completions: [ids.slice(completionStart)],
          }),
        );
  const chosen: number[] = [];
  let count = 0;
  for (const i of permutation(groups.length, seed, 'references')) {
    if (count >= normalisationRows) break;
    chosen.push(i);
    count += groups[i]!.completions.length;
  }
  return {
    groups: chosen.map((i) => ({ promptIds: groups[i]!.promptIds, completions: groups[i]!.completions })),
    rows: references === undefined ? chosen : null,
  };
}

/** The same prompt on both sides: the model may have learned the very completions that it is judged on. */
function warnOfLeak(
  train: readonly { readonly prompt: Content }[],
  evaluation: readonly { readonly prompt: Content }[],
  note: (text: string) => void,
): void {
  const seen = new Set(train.map(({ prompt }) => promptKey(prompt)));
  const leaked = evaluation.filter(({ prompt }) => seen.has(promptKey(prompt))).length;
  if (leaked === 0) return;
  note(
    `${leaked} of ${evaluation.length} held-out rows have a prompt that is trained on too: their accuracy flatters. ` +
      'Split by prompt.',
  );
}
