/** Numbers with six digits were computed independently from the formulas; the others are written out. */
import { describe, expect, it } from 'vitest';
import type { Tensor } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import {
  bradleyTerry,
  bradleyTerryHalfTies,
  type Comparison,
  centring,
  comparisonOfPair,
  comparisonOfRanks,
  comparisonOfTie,
  davidson,
  joinComparisons,
  pairGaps,
  plackettLuce,
  REWARD_LOSSES,
  type RewardLossName,
  raoKupper,
} from './index.ts';
import { double, drawn, expectTrueGradient } from './testing.ts';

const softplus = (x: number): number => Math.log1p(Math.exp(x));
const pair = (options = {}): Comparison[] => [comparisonOfPair(options)];
const ranked = (...ranks: (number | null)[]): Comparison[] => [comparisonOfRanks(ranks)];
const totalOf = ({ losses }: { losses: Tensor }): number => losses.sum().item();

describe('Bradley-Terry', () => {
  it('is -log σ of the gap', () => {
    expect(totalOf(bradleyTerry(double([2, 1]), pair()))).toBeCloseTo(softplus(-1), 12);
    expect(totalOf(bradleyTerry(double([0, 0]), pair()))).toBeCloseTo(Math.log(2), 12);
  });

  it('subtracts the margin (Llama 2): gap 1, margin 1/3 gives .414370', () => {
    expect(totalOf(bradleyTerry(double([2, 1]), pair({ margin: 1 / 3 })))).toBeCloseTo(0.41437, 6);
  });

  it('mixes both outcomes for a soft label', () => {
    const expected = 0.7 * softplus(-1) + 0.3 * softplus(1);
    expect(totalOf(bradleyTerry(double([2, 1]), pair({ label: 0.7 })))).toBeCloseTo(expected, 12);
    // A label below ½ is the same pair the other way round.
    expect(totalOf(bradleyTerry(double([1, 2]), pair({ label: 0.3 })))).toBeCloseTo(expected, 12);
  });

  it('is least where σ(gap) is the soft label', () => {
    const at = (gap: number): number => totalOf(bradleyTerry(double([gap, 0]), pair({ label: 0.7 })));
    const best = Math.log(0.7 / 0.3);
    expect(at(best)).toBeLessThan(at(best + 0.01));
    expect(at(best)).toBeLessThan(at(best - 0.01));
  });

  it('averages the pairs of a prompt (K-wise): scores 2, 1, 0 give .251150', () => {
    const expected = (softplus(-1) + softplus(-2) + softplus(-1)) / 3;
    const found = totalOf(bradleyTerry(double([2, 1, 0]), ranked(1, 2, 3)));
    expect(found).toBeCloseTo(expected, 12);
    expect(found).toBeCloseTo(0.25115, 6);
  });

  it('averages over all that several people said about the same answers', () => {
    const scores = double([2, 1, 0]);
    const [first, second] = [comparisonOfRanks([1, 2, 3]), comparisonOfRanks([2, 1, null])];
    const said = joinComparisons([first, second]);
    const expected = (softplus(-1) + softplus(-2) + softplus(-1) + softplus(1)) / 4;
    expect(totalOf(bradleyTerry(scores, [said]))).toBeCloseTo(expected, 12);
    const each = [first, second].map((one) => totalOf(plackettLuce(scores, [one])));
    expect(totalOf(plackettLuce(scores, [said]))).toBeCloseTo((each[0]! + each[1]!) / 2, 12);
  });

  it('gives a prompt of nine answers the weight of a prompt of two', () => {
    const nine = Array.from({ length: 9 }, (_, i) => 9 - i);
    const scores = double([...nine, 2, 1]);
    const { losses } = bradleyTerry(scores, [...ranked(1, 2, 3, 4, 5, 6, 7, 8, 9), ...pair()]);
    expect(losses.shape).toEqual([2]);
    const all = nine.flatMap((a, i) => nine.slice(i + 1).map((b) => softplus(b - a)));
    expect(losses).toBeCloseToTensor([all.reduce((sum, x) => sum + x) / 36, softplus(-1)]);
  });

  it('learns nothing from ties and from answers that were not ranked', () => {
    const { losses, informative } = bradleyTerry(double([5, 1, 3, 0, 0, 2, 2]), [
      ...ranked(1, 1, null),
      ...ranked(1, 2),
      comparisonOfTie(),
    ]);
    expect(informative).toEqual([false, true, false]);
    expect(losses).toBeCloseToTensor([0, Math.log(2), 0]);
  });

  it('draws tied answers together where a tie is half a win', () => {
    const { losses, informative } = bradleyTerryHalfTies(double([2, 1]), [comparisonOfTie()]);
    expect(informative).toEqual([true]);
    expect(losses).toBeCloseToTensor([(softplus(-1) + softplus(1)) / 2]);
  });
});

describe('centring', () => {
  it('adds η (r_w + r_l)²: scores 2 and 1, η = 0.01 give .403262', () => {
    const scores = double([2, 1]);
    const total = bradleyTerry(scores, pair()).losses.add(centring(scores, pair()).mul(0.01));
    expect(total.sum().item()).toBeCloseTo(0.403262, 6);
  });

  it('is the mean over the pairs of a prompt, ties too', () => {
    expect(centring(double([2, 1, 0, 3, 4]), [...ranked(1, 2, 2), comparisonOfTie()])).toBeCloseToTensor([
      (9 + 4 + 1) / 3,
      49,
    ]);
  });
});

describe('Plackett-Luce', () => {
  it('of scores 2, 1, 0 is .720868', () => {
    expect(totalOf(plackettLuce(double([2, 1, 0]), ranked(1, 2, 3)))).toBeCloseTo(0.720868, 6);
  });

  it('of a pair is Bradley-Terry', () => {
    expect(totalOf(plackettLuce(double([0.3, 1.1]), ranked(2, 1)))).toBeCloseTo(softplus(-0.8), 12);
  });

  it('makes all orders of three answers add up to probability 1', () => {
    const orders = [
      [1, 2, 3],
      [1, 3, 2],
      [2, 1, 3],
      [2, 3, 1],
      [3, 1, 2],
      [3, 2, 1],
    ];
    const total = orders.reduce(
      (sum, order) => sum + Math.exp(-totalOf(plackettLuce(double([0.4, -1, 0.7]), ranked(...order)))),
      0,
    );
    expect(total).toBeCloseTo(1, 12);
  });

  it('leaves unranked answers out', () => {
    const scores = double([2, 9, 1, 0]);
    expect(totalOf(plackettLuce(scores, ranked(1, null, 2, 3)))).toBeCloseTo(0.720868, 6);
  });

  it('does not compare tied answers with each other: each wins against those below', () => {
    const found = totalOf(plackettLuce(double([2, 1, 0]), ranked(1, 1, 2)));
    expect(found).toBeCloseTo(softplus(-2) + softplus(-1), 12);
    expect(plackettLuce(double([2, 1, 0]), ranked(1, 1, 1)).informative).toEqual([false]);
  });

  it('computes several prompts of different size together', () => {
    const { losses } = plackettLuce(double([2, 1, 0, 0.3, 1.1]), [...ranked(1, 2, 3), ...ranked(2, 1)]);
    expect(losses).toBeCloseToTensor([Math.log(1 + Math.exp(-1) + Math.exp(-2)) + softplus(-1), softplus(-0.8)]);
  });
});

describe('ties as an outcome', () => {
  const outcomes = (loss: typeof davidson, gap: number, tieWeight: number): number[] =>
    [pair(), [comparisonOfTie()], pair({ label: 0 })].map((comparisons) =>
      Math.exp(-totalOf(loss(double([gap, 0]), comparisons, { tieWeight }))),
    );

  it('Davidson, gap 1, ν = .5: win .598392, lose .220136, tie .181472', () => {
    const [win, tie, lose] = outcomes(davidson, 1, 0.5);
    expect(win).toBeCloseTo(0.598392, 6);
    expect(lose).toBeCloseTo(0.220136, 6);
    expect(tie).toBeCloseTo(0.181472, 6);
  });

  it('Rao-Kupper: win e^a / (e^a + θ e^b), and the tie is what is left', () => {
    const [win, tie, lose] = outcomes(raoKupper, 1, 1.5);
    expect(win).toBeCloseTo(Math.E / (Math.E + 1.5), 12);
    expect(lose).toBeCloseTo(1 / (1 + 1.5 * Math.E), 12);
    expect(win! + tie! + lose!).toBeCloseTo(1, 12);
  });

  it('a tie weight that learns gets a gradient', () => {
    const tieWeight = double(0.5).requiresGrad_();
    const scores = double([1, 0]);
    davidson(scores, [comparisonOfTie()], { tieWeight }).losses.sum().backward();
    expect(tieWeight.grad!.item()).toBeLessThan(0);
  });

  it('refuses weights that leave no room for ties', () => {
    expect(() => davidson(double([1, 0]), pair(), { tieWeight: 0 })).toThrow(/above 0/);
    expect(() => raoKupper(double([1, 0]), pair(), { tieWeight: 1 })).toThrow(/above 1/);
  });
});

describe('every reward loss', () => {
  const comparisons = [...ranked(2, 1, null, 3, 2), ...pair({ label: 0.8 }), comparisonOfTie()];
  const names = Object.keys(REWARD_LOSSES) as RewardLossName[];

  it.each(names)('%s: the gradient equals finite differences', (name) => {
    const weights = double([1, -2, 3]);
    expectTrueGradient((r) => REWARD_LOSSES[name](r, comparisons).losses.mul(weights).sum(), [drawn(5, [9])]);
  });

  it.each(names)('%s: only differences of scores within a prompt matter', (name) => {
    const scores = drawn(5, [9]);
    const shift = double([3, 3, 3, 3, 3, -2, -2, 7, 7]);
    const { losses } = REWARD_LOSSES[name](scores, comparisons);
    expect(REWARD_LOSSES[name](scores.add(shift), comparisons).losses).toBeCloseToTensor(losses, { atol: 1e-12 });
  });

  it.each(names)('%s: stays finite at gaps of a thousand', (name) => {
    const scores = double([1000, 0]).requiresGrad_();
    const wrong = REWARD_LOSSES[name](scores, pair({ label: 0 })).losses.sum();
    expect(wrong.item()).toBeGreaterThan(999);
    wrong.backward();
    expect(Math.abs(scores.grad!.at(0).item())).toBeCloseTo(1, 6);
  });

  it.each(names)('%s: refuses scores that are not one an answer', (name) => {
    expect(() => REWARD_LOSSES[name](double([1, 2, 3]), pair())).toThrow(/not those of the compared answers/);
  });

  it.each(names)('%s: a batch without any judgement is zero, and has a backward pass', (name) => {
    const scores = double([1, 2, 3]).requiresGrad_();
    const { losses, informative } = REWARD_LOSSES[name](scores, ranked(1, null, null));
    expect(informative).toEqual([false]);
    losses.sum().backward();
    expect(scores.grad!.tolist()).toEqual([0, 0, 0]);
  });

  it('gives float32 losses for bfloat16 scores', () => {
    const { losses } = bradleyTerry(double([2, 1]).to('bfloat16'), pair());
    expect(losses.dtype).toBe('float32');
    expect(losses).toBeCloseToTensor([softplus(-1)]);
  });
});

it('gaps come pair by pair, the better answer first', () => {
  expect(pairGaps(double([5, 3, 1, 0, 4]), [...ranked(1, 3, 2), ...ranked(2, 1)])).toBeCloseToTensor([2, 4, -2, 4]);
});

it('ranks must be numbers', () => {
  expect(() => comparisonOfRanks([1, Number.NaN])).toThrow(/A rank is a number/);
});
