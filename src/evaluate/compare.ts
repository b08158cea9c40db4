/**
 * A policy beside its reference on held-out prompts: who wins by each judge, how far the policy has moved, and what else changed
 * (length, diversity, repetition), since a reward alone says nothing about how it was earned.
 */
import type { z } from 'zod';
import type { Content } from '../data/index.ts';
import { InvariantError, NudgeError } from '../errors.ts';
import { ComparisonConfig, type ComparisonReport, type ComparisonRow, type JudgeReport } from './report.ts';
import {
  accuracy,
  type BootstrapOptions,
  bootstrapMean,
  clustersOf,
  cohenKappa,
  diversity,
  type Estimate,
  kendallTauB,
  lengthControlledWinRate,
  outcomeOf,
  pairedBootstrap,
  summary,
  winRate,
} from './statistics/index.ts';

/** Scores answers to a prompt: one number each, higher is better, of any scale. Gold function, reward model, language model. */
export type Judge = (prompt: Content, answers: readonly Content[]) => Promise<readonly number[]>;

export interface JudgeOptions {
  readonly judge: Judge;
  /**
   * Asks in both orders, for judges that see the answers side by side: a winner must win in both, otherwise it is a tie. Scores are
   * the means of both. Default false: the judge scores each answer by itself.
   */
  readonly bothOrders?: boolean;
  /** Scores that differ by this or less are a tie. Default 0. */
  readonly tieMargin?: number;
}

export interface Answer {
  readonly completion: Content;
  /** Completion tokens. */
  readonly tokens: number;
  /** Whether it ended by itself rather than at the limit. */
  readonly finished?: boolean;
}

export interface PolicyAnswer extends Answer {
  /** log π - log ref of the answer, summed over its tokens (k1): nats. */
  readonly kl?: number;
}

export interface ComparedPrompt {
  /** Default: its place, from 0. */
  readonly id?: string;
  readonly prompt: Content;
  readonly policy: PolicyAnswer;
  readonly reference: Answer;
}

export interface ComparisonRun {
  readonly signal?: AbortSignal;
  /** After each prompt that all judges have judged. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Compares two answers a prompt. Where a prompt comes several times, with several answers of each side, intervals know that these
 * belong together.
 *
 * @param judges by name, such as `proxy` and `gold`.
 * @throws NudgeError `BAD_ARGUMENT` where there are no prompts or a judge's scores are not one finite number an answer.
 */
export async function compareAnswers(
  prompts: readonly ComparedPrompt[],
  judges: Readonly<Record<string, Judge | JudgeOptions>>,
  config: z.input<typeof ComparisonConfig> = {},
  run: ComparisonRun = {},
): Promise<ComparisonReport> {
  const { concurrency, ...options } = ComparisonConfig.parse(config);
  if (prompts.length === 0) {
    throw new NudgeError('BAD_ARGUMENT', 'There is nothing to compare.', {
      path: 'compareAnswers',
      expected: 'at least one prompt with an answer of each side',
      received: 'none',
    });
  }
  const named = Object.entries(judges).map(([name, judge]) => ({
    name,
    ...(typeof judge === 'function' ? { judge } : judge),
  }));
  let done = 0;
  const judged = await inParallel(prompts, concurrency, async (item) => {
    const verdicts: Record<string, Verdict> = {};
    for (const judge of named) {
      run.signal?.throwIfAborted();
      verdicts[judge.name] = await ask(judge, item);
    }
    run.onProgress?.(++done, prompts.length);
    return verdicts;
  });
  // The prompt itself says what belongs together; ids may be those of answers.
  const clusters = clustersOf(prompts.map(({ prompt }) => JSON.stringify(prompt)));
  return reportOf(prompts, judged, named, { ...options, clusters });
}

interface NamedJudge extends JudgeOptions {
  readonly name: string;
}

interface Verdict {
  readonly policy: number;
  readonly reference: number;
  readonly outcome: number;
  /** Whether both orders had the same winner; null where only one was asked. */
  readonly consistent: boolean | null;
}

async function ask(judge: NamedJudge, item: ComparedPrompt): Promise<Verdict> {
  const { tieMargin = 0, bothOrders = false } = judge;
  const answers = [item.policy.completion, item.reference.completion] as const;
  const [policy, reference] = await scores(judge, item.prompt, answers);
  const outcome = outcomeOf(policy, reference, tieMargin);
  if (!bothOrders) return { policy, reference, outcome, consistent: null };
  const [secondReference, secondPolicy] = await scores(judge, item.prompt, [answers[1], answers[0]]);
  const second = outcomeOf(secondPolicy, secondReference, tieMargin);
  return {
    policy: (policy + secondPolicy) / 2,
    reference: (reference + secondReference) / 2,
    outcome: outcome === second ? outcome : 0.5,
    consistent: outcome === second,
  };
}

async function scores(
  { name, judge }: NamedJudge,
  prompt: Content,
  answers: readonly [Content, Content],
): Promise<[number, number]> {
  const found = await judge(prompt, answers);
  const [first, second] = found;
  if (found.length === 2 && Number.isFinite(first) && Number.isFinite(second)) return [first!, second!];
  throw new NudgeError('BAD_ARGUMENT', 'A judge must give each answer a score.', {
    path: `judges.${name}`,
    expected: '2 finite numbers',
    received: `[${found.join(', ')}]`,
    remedy: 'Where a judge cannot decide, let it give both answers the same score.',
  });
}

function reportOf(
  prompts: readonly ComparedPrompt[],
  judged: readonly Readonly<Record<string, Verdict>>[],
  judges: readonly NamedJudge[],
  options: Required<BootstrapOptions>,
): ComparisonReport {
  const tokens = {
    policy: prompts.map(({ policy }) => policy.tokens),
    reference: prompts.map(({ reference }) => reference.tokens),
  };
  const differences = tokens.policy.map((length, i) => length - tokens.reference[i]!);
  const verdictsOf = (name: string): Verdict[] => judged.map((verdicts) => verdicts[name]!);
  return {
    prompts: prompts.length,
    differentPrompts: options.clusters.length,
    confidence: options.confidence,
    judges: Object.fromEntries(judges.map(({ name }) => [name, judgeReport(verdictsOf(name), differences, options)])),
    judgePairs: judges.flatMap(({ name: first }, i) =>
      judges
        .slice(i + 1)
        .map(({ name: second }) => pairReport(first, verdictsOf(first), second, verdictsOf(second), options)),
    ),
    kl: klReport(prompts, options),
    lengths: {
      policy: summary(tokens.policy),
      reference: summary(tokens.reference),
      difference: bootstrapMean(differences, options),
    },
    diversity: {
      policy: diversity(prompts.map(({ policy }) => textOf(policy.completion))),
      reference: diversity(prompts.map(({ reference }) => textOf(reference.completion))),
    },
    finished: finishedReport(prompts, options),
    rows: prompts.map((item, i) => rowOf(item, i, judged[i]!)),
  };
}

function judgeReport(
  verdicts: readonly Verdict[],
  lengthDifferences: readonly number[],
  options: Required<BootstrapOptions>,
): JudgeReport {
  const outcomes = verdicts.map(({ outcome }) => outcome);
  const policy = verdicts.map((verdict) => verdict.policy);
  const reference = verdicts.map((verdict) => verdict.reference);
  const { wilson, bootstrap, wins, ties, losses } = winRate(outcomes, options);
  // Each resample is a regression: a quarter of them keeps 500 prompts at about a second.
  const resamples = Math.ceil(options.resamples / 4);
  const controlled = lengthControlledWinRate({ outcomes, lengthDifferences }, { ...options, resamples });
  const consistent = verdicts.flatMap((verdict) => verdict.consistent ?? []);
  return {
    winRate: wilson,
    bootstrap,
    wins,
    ties,
    losses,
    lengthControlled: { winRate: controlled.winRate, phi: controlled.phi },
    scores: {
      policy: bootstrapMean(policy, options),
      reference: bootstrapMean(reference, options),
      difference: pairedBootstrap(policy, reference, options),
    },
    lengthTau: lengthTau(policy, reference, lengthDifferences),
    orderConsistency: consistent.length === 0 ? null : accuracy(consistent, options),
  };
}

function lengthTau(
  policy: readonly number[],
  reference: readonly number[],
  lengthDifferences: readonly number[],
): number | null {
  if (policy.length < 2) return null;
  const tau = kendallTauB(
    policy.map((score, i) => score - reference[i]!),
    lengthDifferences,
  );
  return Number.isNaN(tau) ? null : tau;
}

function pairReport(
  first: string,
  a: readonly Verdict[],
  second: string,
  b: readonly Verdict[],
  options: Required<BootstrapOptions>,
): ComparisonReport['judgePairs'][number] {
  const kappa = cohenKappa(
    a.map(({ outcome }) => outcome),
    b.map(({ outcome }) => outcome),
  );
  const same = accuracy(
    a.map(({ outcome }, i) => outcome === b[i]!.outcome),
    options,
  );
  return { first, second, same, kappa: Number.isNaN(kappa) ? null : kappa };
}

function klReport(prompts: readonly ComparedPrompt[], options: Required<BootstrapOptions>): ComparisonReport['kl'] {
  const known = prompts.flatMap(({ policy: { kl, tokens } }) => (kl === undefined ? [] : [{ kl, tokens }]));
  if (known.length === 0) return null;
  if (known.length < prompts.length) {
    throw new NudgeError('BAD_ARGUMENT', 'The KL is known for some answers only.', {
      path: 'compareAnswers, policy.kl',
      expected: `${prompts.length} numbers, or none`,
      received: String(known.length),
    });
  }
  const perSequence = bootstrapMean(
    known.map(({ kl }) => kl),
    options,
  );
  const tokens = known.reduce((sum, answer) => sum + answer.tokens, 0);
  const total = known.reduce((sum, answer) => sum + answer.kl, 0);
  return { perSequence, root: Math.sqrt(Math.max(0, perSequence.value)), perToken: total / Math.max(1, tokens) };
}

function finishedReport(
  prompts: readonly ComparedPrompt[],
  options: Required<BootstrapOptions>,
): ComparisonReport['finished'] {
  const side = (which: 'policy' | 'reference'): Estimate | null => {
    const known = prompts.flatMap((item) => item[which].finished ?? []);
    return known.length < prompts.length ? null : accuracy(known, options);
  };
  const [policy, reference] = [side('policy'), side('reference')];
  return policy === null || reference === null ? null : { policy, reference };
}

function rowOf(
  { id, prompt, policy, reference }: ComparedPrompt,
  place: number,
  verdicts: Readonly<Record<string, Verdict>>,
): ComparisonRow {
  const judges = Object.entries(verdicts).map(([name, { consistent: _, ...verdict }]) => [name, verdict] as const);
  return { id: id ?? String(place), prompt, policy, reference, judges: Object.fromEntries(judges) };
}

/** The words of an answer: those of its messages, where it is messages. */
function textOf(content: Content): string {
  if (typeof content === 'string') return content;
  return content.map(({ content: text }) => text ?? '').join('\n');
}

/** `fn` over all items, at most `limit` at a time, results in the items' order. The first failure ends it. */
async function inParallel<T, R>(items: readonly T[], limit: number, fn: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R | undefined>(items.length);
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const place = next++;
      try {
        results[place] = await fn(items[place]!);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (results.includes(undefined)) throw new InvariantError('a prompt was not judged');
  return results as R[];
}
