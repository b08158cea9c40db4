/**
 * Direct methods: DPO and its family, which learn from pairs without a reward model.
 *
 * Notation of the papers: l = log π(y|x) summed over the completion's tokens, h = l - log ref(y|x), z = β (h_w - h_l), σ the
 * logistic function; w is the chosen completion, l the rejected one. Each method is a function of the same inputs; the registry
 * says which of them need a reference model. Where an implementation in wide use differs from its paper, it says so.
 */
import { NudgeError } from '../errors.ts';
import { type Tensor, torch } from '../tensor/index.ts';

/** Sums of log-probs over completion tokens and the tokens' numbers, one a pair: [P] each. */
export interface DirectPairs {
  readonly chosen: Tensor;
  readonly rejected: Tensor;
  /** The reference's sums. Not needed by methods without a reference. */
  readonly refChosen?: Tensor;
  readonly refRejected?: Tensor;
  readonly chosenLengths: Tensor;
  readonly rejectedLengths: Tensor;
}

export interface DirectOptions {
  /** How strongly the policy is held to the reference (large: strongly). Default 0.1; SimPO 2.5. */
  beta?: number;
  /** ε: share of pairs whose labels are believed to be flipped. cDPO and robust DPO default 0.1, EXO 0.001. */
  labelSmoothing?: number;
  /** DiscoPOP's temperature. Default 0.05. */
  discopopTau?: number;
  /** R-DPO's α: reward a token. Default 0.05. */
  lengthAlpha?: number;
  /** SimPO's target margin γ. Default 1.375, which is 0.55 β. */
  simpoGamma?: number;
  /** ORPO's λ. Default 0.1. */
  orpoLambda?: number;
  /** CPO's weight of the likelihood of the chosen. Default 1. */
  cpoAlpha?: number;
  /** BCO's δ: the running mean of all rewards β h so far, which the trainer keeps. Default 0. */
  bcoDelta?: number;
}

export interface DirectLosses {
  /** [P]. */
  readonly losses: Tensor;
  /** The rewards that the policy stands for, [P], without a graph: β h, or what the method has in its place. */
  readonly chosenRewards: Tensor;
  readonly rejectedRewards: Tensor;
}

export type DirectLoss = (pairs: DirectPairs, options?: DirectOptions) => DirectLosses;

// ---- with a reference ----

/** DPO (Rafailov et al., 2305.18290, eq. 7): -log σ(z). */
export const dpo: DirectLoss = (pairs, options = {}) => overRatios(pairs, options, ({ z }) => softminus(z));

/** cDPO (Mitchell, 2023): labels flipped with ε, -(1 - ε) log σ(z) - ε log σ(-z). Its optimum is finite. */
export const cdpo: DirectLoss = (pairs, options = {}) => {
  const epsilon = flipped(options.labelSmoothing ?? 0.1, 'cdpo');
  return overRatios(pairs, options, ({ z }) => mixture(z, epsilon));
};

/** Robust DPO (Ray Chowdhury et al., 2403.00409): an unbiased estimate of DPO's loss under labels flipped with ε. May be negative. */
export const robustDpo: DirectLoss = (pairs, options = {}) => {
  const epsilon = flipped(options.labelSmoothing ?? 0.1, 'robustDpo');
  return overRatios(pairs, options, ({ z }) =>
    softminus(z)
      .mul(1 - epsilon)
      .sub(softminus(z.neg()).mul(epsilon))
      .div(1 - 2 * epsilon),
  );
};

/** IPO (Azar et al., 2310.12036, eq. 17): (h_w - h_l - 1/(2β))², on sums as in the paper. Finite also for sure labels. */
export const ipo: DirectLoss = (pairs, options = {}) =>
  overRatios(pairs, options, ({ hw, hl, beta }) =>
    hw
      .sub(hl)
      .sub(1 / (2 * beta))
      .square(),
  );

/** IPO on h divided by the completion's length: TRL's `ipo`. */
export const ipoMean: DirectLoss = (pairs, options = {}) => ipo(perToken(pairs), options);

/** SLiC and RSO (2305.10425, 2309.06657): max(0, 1 - z). */
export const hinge: DirectLoss = (pairs, options = {}) =>
  overRatios(pairs, options, ({ z }) => z.neg().add(1).clamp({ min: 0 }));

/** EXO (Ji et al., 2402.00856): KL([σ(z), σ(-z)] || [1 - ε, ε]), the reverse KL to the labels. */
export const exo: DirectLoss = (pairs, options = {}) => {
  const epsilon = flipped(options.labelSmoothing ?? 1e-3, 'exo');
  if (epsilon === 0) throw badNumber('exo, labelSmoothing', 'a number above 0', epsilon);
  return overRatios(pairs, options, ({ z }) => {
    const [win, lose] = [z.logSigmoid(), z.neg().logSigmoid()]; // [P]
    return win
      .exp()
      .mul(win.sub(Math.log(1 - epsilon)))
      .add(lose.exp().mul(lose.sub(Math.log(epsilon)))); // [P]
  });
};

/** NCA (Chen et al., 2402.05369): -log σ(βh_w) - ½ log σ(-βh_w) - ½ log σ(-βh_l). Holds the chosen's likelihood up. */
export const nca: DirectLoss = (pairs, options = {}) =>
  overRatios(pairs, options, ({ rw, rl }) =>
    softminus(rw).add(softminus(rw.neg()).div(2)).add(softminus(rl.neg()).div(2)),
  );

/** BCO (Jung et al., 2404.04656): -log σ(βh_w - δ) - log σ(-(βh_l - δ)). */
export const bco: DirectLoss = (pairs, options = {}) => {
  const delta = options.bcoDelta ?? 0;
  return overRatios(pairs, options, ({ rw, rl }) => softminus(rw.sub(delta)).add(softminus(rl.neg().add(delta))));
};

/** SPPO-hard (Wu et al., 2405.00675): (h_w - 1/(2β))² + (h_l + 1/(2β))². */
export const sppo: DirectLoss = (pairs, options = {}) =>
  overRatios(pairs, options, ({ hw, hl, beta }) => {
    const half = 1 / (2 * beta);
    return hw.sub(half).square().add(hl.add(half).square()); // [P]
  });

/** APO-zero (D'Oosterlinck et al., 2408.06266): 1 - σ(βh_w) + σ(βh_l): chosen up, rejected down. For chosen better than the policy. */
export const apoZero: DirectLoss = (pairs, options = {}) =>
  overRatios(pairs, options, ({ rw, rl }) => rw.neg().sigmoid().add(rl.sigmoid()));

/** APO-down (2408.06266): σ(βh_w) + 1 - σ(z): both down, rejected more. For a policy that is better than the chosen. */
export const apoDown: DirectLoss = (pairs, options = {}) =>
  overRatios(pairs, options, ({ rw, z }) => rw.sigmoid().add(z.neg().sigmoid()));

/** DiscoPOP (Lu et al., 2406.08414): m = σ(z / τ): -(1 - m) log σ(z) + m e^-z. */
export const discopop: DirectLoss = (pairs, options = {}) => {
  const tau = positive(options.discopopTau ?? 0.05, 'discopop, discopopTau');
  return overRatios(pairs, options, ({ z }) => {
    const m = z.div(tau).sigmoid(); // [P]
    return softminus(z).mul(m.neg().add(1)).add(z.neg().exp().mul(m)); // [P]
  });
};

/** R-DPO (Park et al., 2403.19159): -log σ(z + α (|y_w| - |y_l|)): a chosen completion that is longer teaches less. */
export const rdpo: DirectLoss = (pairs, options = {}) => {
  const alpha = options.lengthAlpha ?? 0.05;
  return overRatios(pairs, options, ({ z }) =>
    softminus(z.add(pairs.chosenLengths.sub(pairs.rejectedLengths).mul(alpha))),
  );
};

/** DPO on h divided by the completion's length (Tülu 3, 2411.15124). Its β is larger: 5 in the paper. */
export const lengthNormalisedDpo: DirectLoss = (pairs, options = {}) => dpo(perToken(pairs), options);

// ---- without a reference ----

/** SimPO (Meng et al., 2405.14734, eq. 6): -log σ(β (l_w/|y_w| - l_l/|y_l|) - γ). */
export const simpo: DirectLoss = (pairs, options = {}) => {
  const { beta = 2.5, simpoGamma = 1.375 } = options;
  positive(beta, 'simpo, beta');
  return torch.scope(() => {
    const [rw, rl] = means(pairs).map((mean) => mean.mul(beta)) as [Tensor, Tensor]; // [P]
    return results(softminus(rw.sub(rl).sub(simpoGamma)), rw, rl);
  });
};

/** ORPO (Hong et al., 2403.07691, eq. 6): NLL_w - λ log σ(log odds_w - log odds_l), with mean log-probs. Needs no SFT before. */
export const orpo: DirectLoss = (pairs, options = {}) => {
  const { orpoLambda = 0.1 } = options;
  return torch.scope(() => {
    const [w, l] = means(pairs); // [P]
    const preference = softminus(logOdds(w).sub(logOdds(l))); // [P]
    return results(w.neg().add(preference.mul(orpoLambda)), w.mul(orpoLambda), l.mul(orpoLambda));
  });
};

/** CPO (Xu et al., 2401.08417): -log σ(β (l_w - l_l)) + α NLL_w, the likelihood a token as in TRL. */
export const cpo: DirectLoss = (pairs, options = {}) => {
  const { beta = 0.1, cpoAlpha = 1 } = options;
  positive(beta, 'cpo, beta');
  checkShapes(pairs);
  return torch.scope(() => {
    const [rw, rl] = [pairs.chosen.mul(beta), pairs.rejected.mul(beta)]; // [P]
    const [w] = means(pairs); // [P]
    return results(softminus(rw.sub(rl)).sub(w.mul(cpoAlpha)), rw, rl);
  });
};

export interface DirectMethod {
  readonly loss: DirectLoss;
  /** Whether `refChosen` and `refRejected` are needed. */
  readonly reference: boolean;
}

const withReference = (loss: DirectLoss): DirectMethod => ({ loss, reference: true });
const alone = (loss: DirectLoss): DirectMethod => ({ loss, reference: false });

/** Every method on pairs by its name in configs. KTO takes single completions: `ktoLoss`. */
export const DIRECT_METHODS = {
  dpo: withReference(dpo),
  cdpo: withReference(cdpo),
  robustDpo: withReference(robustDpo),
  ipo: withReference(ipo),
  ipoMean: withReference(ipoMean),
  hinge: withReference(hinge),
  exo: withReference(exo),
  nca: withReference(nca),
  bco: withReference(bco),
  sppo: withReference(sppo),
  apoZero: withReference(apoZero),
  apoDown: withReference(apoDown),
  discopop: withReference(discopop),
  rdpo: withReference(rdpo),
  lengthNormalisedDpo: withReference(lengthNormalisedDpo),
  simpo: alone(simpo),
  orpo: alone(orpo),
  cpo: alone(cpo),
} as const satisfies Record<string, DirectMethod>;

export type DirectMethodName = keyof typeof DIRECT_METHODS;

// ---- KTO: single completions that were liked or not ----

export interface KtoInputs {
  /** h = log π - log ref of each completion, summed over its tokens, with a graph: [S]. */
  readonly logRatios: Tensor;
  /** Whether it was liked: [S] bool, true is desirable. */
  readonly desirable: Tensor;
  /** z0: see `ktoBaseline`. Without a graph. */
  readonly baseline: number | Tensor;
}

export interface KtoOptions {
  /** Default 0.1. */
  beta?: number;
  /** λ_D and λ_U: weights that balance the two kinds. Default 1; the paper wants λ_D n_D / (λ_U n_U) between 1 and 4/3. */
  desirableWeight?: number;
  undesirableWeight?: number;
}

export interface KtoLosses {
  /** λ_D (1 - σ(β (h - z0))) or λ_U (1 - σ(β (z0 - h))), [S]. */
  readonly losses: Tensor;
  /** β h, [S], without a graph. */
  readonly rewards: Tensor;
}

/** KTO (Ethayarajh et al., 2402.01306). */
export function ktoLoss({ logRatios, desirable, baseline }: KtoInputs, options: KtoOptions = {}): KtoLosses {
  const { beta = 0.1, desirableWeight = 1, undesirableWeight = 1 } = options;
  positive(beta, 'ktoLoss, beta');
  desirable.expectShape([logRatios.size(0)], 'desirable');
  return torch.scope(() => {
    const gap = (typeof baseline === 'number' ? logRatios.sub(baseline) : logRatios.sub(baseline.detach())).mul(beta); // [S]
    // 1 - σ(x) is σ(-x).
    const good = gap.neg().sigmoid().mul(desirableWeight); // [S]
    const bad = gap.sigmoid().mul(undesirableWeight); // [S]
    return { losses: torch.where(desirable, good, bad), rewards: logRatios.detach().mul(beta) }; // [S]
  });
}

/** z0 = max(0, mean h) over completions paired with prompts that are not theirs: an estimate of KL(π || ref). [S] -> scalar, no graph. */
export function ktoBaseline(mismatchedLogRatios: Tensor): Tensor {
  return torch.noGrad(() => mismatchedLogRatios.mean().clamp({ min: 0 })); // scalar
}

// ---- shared ----

interface Ratios {
  readonly beta: number;
  /** h_w and h_l, [P]. */
  readonly hw: Tensor;
  readonly hl: Tensor;
  /** β h_w and β h_l, [P]. */
  readonly rw: Tensor;
  readonly rl: Tensor;
  /** Their difference, [P]. */
  readonly z: Tensor;
}

function overRatios(pairs: DirectPairs, options: DirectOptions, fn: (ratios: Ratios) => Tensor): DirectLosses {
  const beta = positive(options.beta ?? 0.1, 'beta');
  const { refChosen, refRejected } = checkShapes(pairs);
  if (refChosen === undefined || refRejected === undefined) {
    throw new NudgeError('BAD_ARGUMENT', 'This method compares the policy with a reference.', {
      path: 'refChosen, refRejected',
      expected: "the reference's log-probs of both completions",
      received: 'nothing',
      remedy: 'Give them, or choose a method without a reference: simpo, orpo or cpo.',
    });
  }
  return torch.scope(() => {
    const [hw, hl] = [pairs.chosen.sub(refChosen.detach()), pairs.rejected.sub(refRejected.detach())]; // [P]
    const [rw, rl] = [hw.mul(beta), hl.mul(beta)]; // [P]
    return results(fn({ beta, hw, hl, rw, rl, z: rw.sub(rl) }), rw, rl);
  });
}

function results(losses: Tensor, chosen: Tensor, rejected: Tensor): DirectLosses {
  return { losses, chosenRewards: chosen.detach(), rejectedRewards: rejected.detach() };
}

/** Every log-prob divided by the length of its completion. */
function perToken(pairs: DirectPairs): DirectPairs {
  const { chosen, rejected, refChosen, refRejected, chosenLengths, rejectedLengths } = checkShapes(pairs);
  return {
    ...pairs,
    chosen: chosen.div(chosenLengths), // [P]
    rejected: rejected.div(rejectedLengths), // [P]
    ...(refChosen === undefined ? {} : { refChosen: refChosen.div(chosenLengths) }), // [P]
    ...(refRejected === undefined ? {} : { refRejected: refRejected.div(rejectedLengths) }), // [P]
  };
}

/** Mean log-probs a token of the chosen and the rejected: [P] each. */
function means(pairs: DirectPairs): [Tensor, Tensor] {
  const { chosen, rejected } = perToken(pairs);
  return [chosen, rejected];
}

/** log(p / (1 - p)) of a mean log-prob log p: [P]. */
function logOdds(meanLogProbs: Tensor): Tensor {
  return meanLogProbs.sub(meanLogProbs.expm1().neg().log()); // [P]
}

/** -log σ(x), which stays exact for large x: [P]. */
function softminus(x: Tensor): Tensor {
  return x.logSigmoid().neg(); // [P]
}

function mixture(z: Tensor, epsilon: number): Tensor {
  return softminus(z)
    .mul(1 - epsilon)
    .add(softminus(z.neg()).mul(epsilon)); // [P]
}

function checkShapes(pairs: DirectPairs): DirectPairs {
  const shape = ['P'];
  const P = pairs.chosen.expectShape(shape, 'chosen').size(0);
  for (const [name, tensor] of Object.entries(pairs)) (tensor as Tensor | undefined)?.expectShape([P], name);
  return pairs;
}

function flipped(epsilon: number, where: string): number {
  if (epsilon >= 0 && epsilon < 0.5) return epsilon;
  throw badNumber(`${where}, labelSmoothing`, 'a share of flipped labels from 0 to below 0.5', epsilon);
}

function positive(value: number, path: string): number {
  if (value > 0 && Number.isFinite(value)) return value;
  throw badNumber(path, 'a number above 0', value);
}

function badNumber(path: string, expected: string, received: number): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'A loss cannot be computed with this number.', {
    path,
    expected,
    received: String(received),
  });
}
