/** Logistic regression by Newton's method, for the few coefficients that the statistics here need. */
import { NudgeError } from '../../errors.ts';

export interface LogisticFit {
  readonly coefficients: readonly number[];
  /** Log-likelihood, without the penalty. */
  readonly logLikelihood: number;
}

export interface LogisticOptions {
  /** λ of the penalty λ/2 · Σ c²: keeps coefficients finite where the outcomes can be told apart perfectly. Default 0. */
  ridge?: number;
  /** How often each row counts. Default once. */
  weights?: ArrayLike<number>;
}

/** Quadratic convergence takes about six; separable outcomes under a small ridge take the most. */
const ROUNDS = 60;

/** Maximises Σ w (y log p + (1 - y) log(1 - p)) with p = σ(x · c). Outcomes y from 0 to 1, as soft as they come. */
export function logisticRegression(
  rows: readonly (readonly number[])[],
  outcomes: ArrayLike<number>,
  options: LogisticOptions = {},
): LogisticFit {
  const { ridge = 0, weights } = options;
  const width = rows[0]?.length ?? 0;
  let coefficients = new Array<number>(width).fill(0);
  const objective = (c: readonly number[]): number => {
    let total = -(ridge / 2) * dot(c, c);
    for (const [i, row] of rows.entries()) {
      const x = dot(row, c);
      total -= (weights?.[i] ?? 1) * (softplus(x) - outcomes[i]! * x);
    }
    return total;
  };
  let best = objective(coefficients);
  for (let round = 0; round < ROUNDS; round++) {
    const step = newtonStep(rows, outcomes, coefficients, ridge, weights);
    const size = Math.max(...step.map(Math.abs));
    // Close to the optimum its height no longer changes in float64, while the step still gains digits: it is taken unseen.
    const near = size < 1e-5 * (1 + Math.max(...coefficients.map(Math.abs)));
    let scale = 1;
    let next = coefficients.map((c, k) => c + step[k]!);
    let value = objective(next);
    // Further away it may overshoot where the curvature is small: halve it until it gains.
    for (; !near && scale > 1e-10 && !(value >= best); scale /= 2) {
      next = coefficients.map((c, k) => c + (scale / 2) * step[k]!);
      value = objective(next);
    }
    if (!near && !(value >= best)) break;
    [coefficients, best] = [next, value];
    if (size < 1e-13 * (1 + Math.max(...coefficients.map(Math.abs)))) break;
  }
  return { coefficients, logLikelihood: best + (ridge / 2) * dot(coefficients, coefficients) };
}

/** H⁻¹ g of the penalised log-likelihood. */
function newtonStep(
  rows: readonly (readonly number[])[],
  outcomes: ArrayLike<number>,
  coefficients: readonly number[],
  ridge: number,
  weights: ArrayLike<number> | undefined,
): number[] {
  const width = coefficients.length;
  const gradient = coefficients.map((c) => -ridge * c);
  const curvature = coefficients.map((_, i) => coefficients.map((__, j) => (i === j ? ridge : 0)));
  for (const [i, row] of rows.entries()) {
    const weight = weights?.[i] ?? 1;
    const p = 1 / (1 + Math.exp(-dot(row, coefficients)));
    for (let j = 0; j < width; j++) {
      gradient[j]! += weight * (outcomes[i]! - p) * row[j]!;
      for (let k = 0; k < width; k++) curvature[j]![k]! += weight * p * (1 - p) * row[j]! * row[k]!;
    }
  }
  return solve(curvature, gradient);
}

/** Gauss with pivots. */
function solve(matrix: number[][], right: number[]): number[] {
  const n = right.length;
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let row = column; row < n; row++) {
      if (Math.abs(matrix[row]![column]!) > Math.abs(matrix[pivot]![column]!)) pivot = row;
    }
    if (!(Math.abs(matrix[pivot]![column]!) > 1e-300)) throw undetermined();
    [matrix[column], matrix[pivot]] = [matrix[pivot]!, matrix[column]!];
    [right[column], right[pivot]] = [right[pivot]!, right[column]!];
    for (let row = 0; row < n; row++) {
      if (row === column) continue;
      const factor = matrix[row]![column]! / matrix[column]![column]!;
      for (let k = column; k < n; k++) matrix[row]![k]! -= factor * matrix[column]![k]!;
      right[row]! -= factor * right[column]!;
    }
  }
  return right.map((value, i) => value / matrix[i]![i]!);
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function softplus(x: number): number {
  return x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x));
}

function undetermined(): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'The regression has no single solution.', {
    path: 'logisticRegression',
    expected: 'features that differ, and are not the same as each other',
    received: 'a singular matrix',
    remedy: 'Leave out features that never change, or set ridge.',
  });
}
