/**
 * Losses of reward models: from scores of answers and judgements between them to one loss a prompt.
 *
 * All answers of a prompt belong into one batch, and a prompt's pairs are averaged (InstructGPT, 2203.02155): K forward passes
 * in place of K (K - 1), and no answer is seen more than once an epoch.
 */
import { NudgeError } from '../errors.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import { answerStarts, type Comparison, type Pair } from './comparisons.ts';
import { atLeastFloat32 } from './logprobs.ts';

export interface RewardLossOptions {
  /** How common ties are: Davidson's ν > 0 (default 0.5), Rao-Kupper's θ > 1 (default 1.5). May be a tensor that learns. */
  tieWeight?: number | Tensor;
}

export interface RewardLosses {
  /** One a prompt, [P] float32; 0 where the judgement says nothing that the loss could use. */
  readonly losses: Tensor;
  /** Whether it says something: divide the sum of the losses by how many do. */
  readonly informative: readonly boolean[];
}

/** scores [A], flat over the answers of the compared prompts -> [P]. */
export type RewardLoss = (
  scores: Tensor,
  comparisons: readonly Comparison[],
  options?: RewardLossOptions,
) => RewardLosses;

/** score(first) - score(second) of every pair of every prompt, in order: [A] -> [M]. */
export function pairGaps(scores: Tensor, comparisons: readonly Comparison[]): Tensor {
  const starts = answerStarts(comparisons, scores.shape, 'pairGaps');
  const side = (which: 'first' | 'second'): Tensor =>
    scores.indexSelect(
      0,
      indices(
        comparisons.flatMap(({ pairs }, p) => pairs.map((pair) => starts[p]! + pair[which])),
        scores,
      ),
    ); // [M]
  return torch.scope(() => side('first').sub(side('second'))); // [M]
}

/**
 * Bradley-Terry: -log σ(r_w - r_l - m), and for soft labels the mixture of both outcomes (margin: Llama 2, 2307.09288, eq. 2).
 * Ties teach nothing. 400 / ln 10 = 173.7 Elo a unit of score.
 */
export const bradleyTerry: RewardLoss = (scores, comparisons) =>
  overPairs(scores, comparisons, bradleyTerryTerms, ({ tie }) => tie < 1);

/** Bradley-Terry in which a tie is half a win for each: tied answers are drawn together. */
export const bradleyTerryHalfTies: RewardLoss = (scores, comparisons) =>
  overPairs(scores, comparisons, (gaps, { wins, ties, losses, margins }) =>
    bradleyTerryTerms(gaps, { wins: wins.add(ties.div(2)), losses: losses.add(ties.div(2)), ties, margins }),
  );

/** Rao and Kupper (1967): win e^a / (e^a + θ e^b), tie (θ² - 1) win · lose. Margins are ignored. */
export const raoKupper: RewardLoss = (scores, comparisons, options = {}) =>
  overPairs(scores, comparisons, (gaps, { wins, ties, losses }) => {
    const theta = weightOf(options.tieWeight ?? 1.5, 1, 'raoKupper', gaps); // scalar
    const win = gaps.sub(theta.log()).logSigmoid(); // [M]
    const lose = gaps.neg().sub(theta.log()).logSigmoid(); // [M]
    const tie = win.add(lose).add(theta.square().sub(1).log()); // [M]
    return wins.mul(win).add(ties.mul(tie)).add(losses.mul(lose)).neg(); // [M]
  });

/** Davidson (1970): win : tie : lose as e^a : ν √(e^a e^b) : e^b. Margins are ignored. */
export const davidson: RewardLoss = (scores, comparisons, options = {}) =>
  overPairs(scores, comparisons, (gaps, { wins, ties, losses }) => {
    const nu = weightOf(options.tieWeight ?? 0.5, 0, 'davidson', gaps); // scalar
    const logits = torch.stack([gaps.div(2), nu.log().expandAs(gaps), gaps.div(-2)], -1); // [M, 3]
    return torch.stack([wins, ties, losses], -1).mul(logits.logSoftmax(-1)).sum(-1).neg(); // [M]
  });

/**
 * Plackett-Luce over whole rankings: -Σ_k [r_(k) - log Σ_{j ≥ k} e^{r_(j)}], a sum over the ranking; the mean where several people
 * ranked the same answers.
 *
 * Ties and partial ranks: an answer competes with itself and with those ranked strictly below it. Answers of equal rank are not
 * compared with each other, as in pairs, and answers that were not ranked are left out (by Luce's axiom the model of a subset is
 * the same model). Soft labels and margins are ignored.
 */
export const plackettLuce: RewardLoss = (scores, comparisons) => {
  const starts = answerStarts(comparisons, scores.shape, 'plackettLuce');
  const stages = comparisons.map(({ rankings }, p) =>
    rankings.flatMap((ranks) => stagesOf(ranks).map((stage) => stage.map((i) => starts[p]! + i))),
  );
  const flat = stages.flat();
  const width = flat.reduce((most, stage) => Math.max(most, stage.length), 1);
  const padded = flat.flatMap((stage) => Array.from({ length: width }, (_, i) => stage[i] ?? stage[0]!));
  const filled = flat.flatMap((stage) => Array.from({ length: width }, (_, i) => i >= stage.length));
  return torch.scope(() => {
    const informative = stages.map(({ length }) => length > 0);
    if (flat.length === 0) return { losses: nothing(scores, stages.length), informative };
    const exact = atLeastFloat32(scores); // [A]
    const entrants = exact.indexSelect(0, indices(padded, scores)).reshape([flat.length, width]); // [M, K]
    const empty = torch.tensor(filled, { device: scores.device }).reshape([flat.length, width]); // [M, K] bool, true: nobody there
    const terms = entrants.maskedFill(empty, Number.NEGATIVE_INFINITY).logsumexp(-1).sub(entrants.select(-1, 0)); // [M]
    const counts = stages.map(({ length }) => length);
    const said = torch.tensor(comparisons.map(saying), { device: scores.device }); // [P]
    return { losses: sums(terms, counts).div(said), informative }; // [P]
  });
};

export const REWARD_LOSSES = { bradleyTerry, bradleyTerryHalfTies, raoKupper, davidson, plackettLuce } as const;
export type RewardLossName = keyof typeof REWARD_LOSSES;

/**
 * Mean of (r_first + r_second)² over a prompt's pairs, [A] -> [P]: added with a factor (0.01), it keeps scores around zero at no
 * cost in accuracy (Eisenstein et al., 2312.09244). Differences, which are all that the losses see, stay as they are.
 */
export function centring(scores: Tensor, comparisons: readonly Comparison[]): Tensor {
  const starts = answerStarts(comparisons, scores.shape, 'centring');
  const side = (which: 'first' | 'second'): number[] =>
    comparisons.flatMap(({ pairs }, p) => pairs.map((pair) => starts[p]! + pair[which]));
  const counts = comparisons.map(({ pairs }) => pairs.length);
  return torch.scope(() => {
    const exact = atLeastFloat32(scores); // [A]
    const first = exact.indexSelect(0, indices(side('first'), scores)); // [M]
    const second = exact.indexSelect(0, indices(side('second'), scores)); // [M]
    return meansOf(first.add(second).square(), counts, scores); // [P]
  });
}

interface Outcomes {
  /** [M] each, adding up to 1. */
  readonly wins: Tensor;
  readonly ties: Tensor;
  readonly losses: Tensor;
  /** [M]. */
  readonly margins: Tensor;
}

function bradleyTerryTerms(gaps: Tensor, { wins, losses, margins }: Outcomes): Tensor {
  const win = gaps.sub(margins).logSigmoid(); // [M]
  const lose = gaps.neg().sub(margins).logSigmoid(); // [M]
  return wins.mul(win).add(losses.mul(lose)).neg(); // [M]
}

/** The mean over a prompt's pairs of what `terms` says about each. */
function overPairs(
  scores: Tensor,
  comparisons: readonly Comparison[],
  terms: (gaps: Tensor, outcomes: Outcomes) => Tensor,
  uses: (pair: Pair) => boolean = () => true,
): RewardLosses {
  const used = comparisons.map((comparison) => ({ ...comparison, pairs: comparison.pairs.filter(uses) }));
  const pairs = used.flatMap((comparison) => comparison.pairs);
  return torch.scope(() => {
    const gaps = pairGaps(atLeastFloat32(scores), used); // [M]
    const column = (values: number[]): Tensor => torch.tensor(values, { dtype: gaps.dtype, device: scores.device }); // [M]
    const outcomes = {
      wins: column(pairs.map(({ win }) => win)),
      ties: column(pairs.map(({ tie }) => tie)),
      losses: column(pairs.map(({ win, tie }) => 1 - win - tie)),
      margins: column(pairs.map(({ margin }) => margin)),
    };
    const counts = used.map((comparison) => comparison.pairs.length);
    const losses = pairs.length === 0 ? nothing(scores, used.length) : meansOf(terms(gaps, outcomes), counts, scores); // [P]
    return { losses, informative: counts.map((count) => count > 0) };
  });
}

/** How many of the rankings say something; 1 where none does. */
function saying({ rankings }: Comparison): number {
  return Math.max(1, rankings.filter((ranks) => stagesOf(ranks).length > 0).length);
}

/** For each ranked answer with someone below it: itself, and those below. */
function stagesOf(ranks: readonly (number | null)[]): number[][] {
  return ranks.flatMap((rank, i) => {
    if (rank === null) return [];
    const below = ranks.flatMap((other, j) => (other !== null && other > rank ? [j] : []));
    return below.length > 0 ? [[i, ...below]] : [];
  });
}

/** values [M], a prompt's own one after the other -> [P], 0 for a prompt without any. */
function sums(values: Tensor, counts: readonly number[]): Tensor {
  const lengths = torch.tensor(counts, { dtype: 'int64', device: values.device }); // [P]
  return torch.segmentReduce(values, 'sum', { lengths, unsafe: true }); // [P]
}

function meansOf(values: Tensor, counts: readonly number[], scores: Tensor): Tensor {
  if (values.numel() === 0) return nothing(scores, counts.length);
  const divisors = torch.tensor(
    counts.map((count) => Math.max(1, count)),
    { device: values.device },
  ); // [P]
  return sums(values, counts).div(divisors); // [P]
}

/** Zeros that have a graph all the same, so that a batch without judgements does not break a trainer: [P]. */
function nothing(scores: Tensor, prompts: number): Tensor {
  return atLeastFloat32(scores).sum().mul(0).expand([prompts]); // [P]
}

function indices(values: readonly number[], like: Tensor): Tensor {
  return torch.tensor(values, { dtype: 'int64', device: like.device }); // [values.length]
}

function weightOf(weight: number | Tensor, above: number, path: string, like: Tensor): Tensor {
  if (typeof weight !== 'number') return weight;
  if (weight > above && Number.isFinite(weight))
    return torch.full([], weight, { dtype: like.dtype, device: like.device }); // scalar
  throw new NudgeError('BAD_ARGUMENT', 'Ties cannot be weighed like this.', {
    path: `${path}, tieWeight`,
    expected: `a number above ${above}`,
    received: String(weight),
  });
}
