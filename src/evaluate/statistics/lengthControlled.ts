/**
 * What the win rate would be if both sides wrote equally long answers (Dubois et al., AlpacaEval 2, 2404.04475).
 *
 * Judges of every kind prefer longer answers, so that a model can win by writing more.
 */
import { type BootstrapOptions, bootstrap } from './bootstrap.ts';
import { type Estimate, needs, needsSameLength, standardDeviation } from './estimate.ts';
import { logisticRegression } from './logistic.ts';

export interface LengthControlledInputs {
  /** One a prompt: 1 the policy won, 0.5 a tie, 0 it lost, or a soft preference. */
  readonly outcomes: readonly number[];
  /** Length of the policy's answer minus that of the other, in tokens or characters. */
  readonly lengthDifferences: readonly number[];
  /** How hard the policy's task is at each prompt, as known from elsewhere (other models' comparisons). Default: not known. */
  readonly difficulties?: readonly number[];
}

export interface LengthControlledOptions extends BootstrapOptions {
  /** Penalty on the coefficients, which keeps them finite where one side always wins. Default 0.01. */
  ridge?: number;
}

export interface LengthControlledWinRate {
  readonly winRate: Estimate;
  /** θ: the log-odds of winning at equal length and difficulty 0. */
  readonly theta: number;
  /** φ: how much length decides; above 0 the longer answer tends to win. */
  readonly phi: number;
  /** ψ, or null without difficulties. */
  readonly psi: number | null;
}

/**
 * Fits logit P = θ + φ tanh(Δlength / sd) + ψ difficulty, and reads it at Δlength = 0: the mean over prompts of
 * σ(θ + ψ difficulty). The sd is that of the length differences; where they are all equal, length is left out and φ is 0.
 */
export function lengthControlledWinRate(
  inputs: LengthControlledInputs,
  options: LengthControlledOptions = {},
): LengthControlledWinRate {
  const { outcomes, lengthDifferences, difficulties } = inputs;
  needs(outcomes.length, 1, 'lengthControlledWinRate');
  needsSameLength(outcomes, lengthDifferences, 'lengthControlledWinRate, lengthDifferences');
  if (difficulties !== undefined) needsSameLength(outcomes, difficulties, 'lengthControlledWinRate, difficulties');
  // With few resamples of a fit each, Newton's method from zero costs about a millisecond for 500 prompts.
  const { ridge = 0.01, resamples = 500, ...rest } = options;
  const fit = fitOf(inputs, Int32Array.from(outcomes.keys()), ridge);
  const winRate = bootstrap(outcomes.length, (sample) => fitOf(inputs, sample, ridge).winRate, { ...rest, resamples });
  return { winRate, theta: fit.theta, phi: fit.phi, psi: difficulties === undefined ? null : fit.psi };
}

function fitOf(
  { outcomes, lengthDifferences, difficulties }: LengthControlledInputs,
  sample: Int32Array,
  ridge: number,
): { winRate: number; theta: number; phi: number; psi: number } {
  const differences = Array.from(sample, (i) => lengthDifferences[i]!);
  const sd = standardDeviation(differences);
  const useLength = sd > 0;
  const rows = Array.from(sample, (i, place) => [
    1,
    ...(useLength ? [Math.tanh(differences[place]! / sd)] : []),
    ...(difficulties === undefined ? [] : [difficulties[i]!]),
  ]);
  const { coefficients } = logisticRegression(
    rows,
    Array.from(sample, (i) => outcomes[i]!),
    { ridge },
  );
  const [theta, phi, psi] = useLength
    ? [coefficients[0]!, coefficients[1]!, coefficients[2] ?? 0]
    : [coefficients[0]!, 0, coefficients[1] ?? 0];
  let total = 0;
  for (const i of sample) total += 1 / (1 + Math.exp(-(theta + psi * (difficulties?.[i] ?? 0))));
  return { winRate: total / sample.length, theta, phi, psi };
}
