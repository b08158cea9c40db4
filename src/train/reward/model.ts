/** A trained reward model, or several: what is saved with one, and how their scores become one. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { ioFailed, syncDirectory, TemporaryFile } from '../../models/files/index.ts';
import { type CausalModel, LoraAdapters, loadAdapter } from '../../models/index.ts';
import { deviation, mean, median, variance } from '../numbers.ts';
import type { RewardReport } from './report.ts';
import type { ScoredGroup } from './rows.ts';
import { type ScoreOptions, scoreCompletions } from './score.ts';

/** Shifts and scales scores: (score - mean) / sd. Reference completions then have mean 0 and standard deviation 1. */
export interface Normalisation {
  readonly mean: number;
  readonly sd: number;
}

/** What `reward.json` says, beside the weights. */
export interface RewardFile {
  readonly version: 1;
  /** By which loss it was trained; differences of scores are log-odds for all but `plackettLuce` with more than two. */
  readonly loss: string;
  readonly normalisation: Normalisation;
  /** On held-out prompts; null where none were held out. */
  readonly report: RewardReport | null;
}

const FILE = 'reward.json';

export async function writeRewardFile(directory: string, contents: RewardFile): Promise<void> {
  await using file = await TemporaryFile.create(join(directory, FILE));
  // NaN, of an empty bin, becomes null.
  await file.write(Buffer.from(`${JSON.stringify(contents, null, 2)}\n`));
  await file.seal();
  await file.publish(true);
  file.release();
  await syncDirectory(directory);
}

/** @throws NudgeError IO_FAILED, BAD_FILE. */
export async function readRewardFile(directory: string): Promise<RewardFile> {
  const path = join(directory, FILE);
  const text = await readFile(path, 'utf8').catch((error) => {
    throw ioFailed('open', path, error, 'A directory with a reward model has a reward.json.');
  });
  try {
    const file = JSON.parse(text) as RewardFile;
    const { mean, sd } = file.normalisation;
    if (file.version === 1 && Number.isFinite(mean) && sd > 0) return file;
  } catch {
    // Told below.
  }
  throw new NudgeError('BAD_FILE', 'This is no description of a reward model.', {
    path,
    expected: 'version 1, and a normalisation with mean and sd',
    received: text.slice(0, 200),
  });
}

/**
 * How the scores of an ensemble become one, of [member][completion]. `min` and the two that subtract trust a completion only as
 * far as the members agree on it (Coste et al., arXiv 2310.02743), which slows down over-optimisation.
 */
export const ENSEMBLE_RULES = {
  mean: (scores: readonly number[]): number => mean(scores),
  min: (scores: readonly number[]): number => Math.min(...scores),
  median: (scores: readonly number[]): number => median(scores),
  /** Uncertainty-weighted: mean - λ variance (Coste et al., eq. 4). */
  meanMinusVariance: (scores: readonly number[], lambda: number): number => mean(scores) - lambda * variance(scores),
  meanMinusDeviation: (scores: readonly number[], lambda: number): number => mean(scores) - lambda * deviation(scores),
} as const satisfies Record<string, (scores: readonly number[], lambda: number) => number>;

export type EnsembleRule = keyof typeof ENSEMBLE_RULES;

export interface RewardModelOptions {
  /** How several members' scores become one. Default `mean`. */
  rule?: EnsembleRule;
  /** λ of the two rules that subtract. Default 1, in units of normalised scores. */
  lambda?: number;
}

/** One adapter of the model, or several, that score. */
export class RewardModel {
  readonly model: CausalModel;
  /** The members' adapters. */
  readonly adapters: readonly string[];
  readonly normalisations: readonly Normalisation[];
  readonly #rule: EnsembleRule;
  readonly #lambda: number;

  constructor(
    model: CausalModel,
    members: readonly { readonly adapter: string; readonly normalisation: Normalisation }[],
    options: RewardModelOptions = {},
  ) {
    this.model = model;
    this.adapters = members.map(({ adapter }) => adapter);
    this.normalisations = members.map(({ normalisation }) => normalisation);
    this.#rule = options.rule ?? 'mean';
    this.#lambda = options.lambda ?? 1;
  }

  /**
   * Loads the adapters of reward models over their base, under the names `reward`, `reward-2`, ...
   *
   * @param directories what `trainReward` gave as `output`; several make an ensemble.
   * @throws NudgeError IO_FAILED, BAD_FILE where a directory holds no reward model or one of another base.
   */
  static async load(
    model: CausalModel,
    directories: string | readonly string[],
    options: RewardModelOptions & { adapter?: string } = {},
  ): Promise<RewardModel> {
    const { adapter = 'reward', ...rest } = options;
    const adapters = (model.adapters as LoraAdapters | null) ?? new LoraAdapters(model);
    const members: { adapter: string; normalisation: Normalisation }[] = [];
    for (const [i, directory] of [directories].flat().entries()) {
      const name = memberName(adapter, i);
      const { normalisation } = await readRewardFile(directory);
      await loadAdapter(directory, adapters, name);
      members.push({ adapter: name, normalisation });
    }
    return new RewardModel(model, members, rest);
  }

  /** Normalised scores of every member: [member][group][completion]. */
  async memberScores(
    groups: readonly ScoredGroup[],
    options: Omit<ScoreOptions, 'adapter'> = {},
  ): Promise<number[][][]> {
    const all: number[][][] = [];
    for (const [member, adapter] of this.adapters.entries()) {
      const scores = await scoreCompletions(this.model, groups, { ...options, adapter });
      all.push(scores.map((own) => own.map((score) => this.#normalised(member, score))));
    }
    return all;
  }

  /** Normalised scores, the members' joined by the rule: [group][completion]. */
  async score(groups: readonly ScoredGroup[], options: Omit<ScoreOptions, 'adapter'> = {}): Promise<number[][]> {
    const members = await this.memberScores(groups, options);
    return groups.map(({ completions }, g) =>
      completions.map((_, k) => this.#joined(members.map((scores) => scores[g]![k]!))),
    );
  }

  /** The members' heads' own outputs as scores: [member][completion] -> [completion]. */
  scoresOf(outputs: readonly (readonly number[])[]): number[] {
    return outputs[0]!.map((_, i) => this.#joined(outputs.map((own, member) => this.#normalised(member, own[i]!))));
  }

  #normalised(member: number, output: number): number {
    const { mean, sd } = this.normalisations[member]!;
    return (output - mean) / sd;
  }

  #joined(scores: readonly number[]): number {
    const rule: (scores: readonly number[], lambda: number) => number = ENSEMBLE_RULES[this.#rule];
    return rule(scores, this.#lambda);
  }
}

/** `reward`, `reward-2`, `reward-3`. */
export const memberName = (adapter: string, index: number): string =>
  index === 0 ? adapter : `${adapter}-${index + 1}`;
