import { expect, test } from 'vitest';
import { torch } from '../../tensor/index.ts';
import { resolvePpoConfig } from './config.ts';
import { experienceOf } from './experience.ts';
import { CompletionTokens } from './passes.ts';
import type { Rollout } from './rollout.ts';
import { repetition, rolloutMetrics, TokenMeans } from './statistics.ts';

const rollout = (ids: number[], finished: boolean): Rollout => ({ prompt: { ids: [1] }, ids, text: '', finished });

test('the metrics of two rollouts, worked out by hand', () => {
  const rollouts = [rollout([4, 5, 0], true), rollout([6], false)];
  const tokens = new CompletionTokens(rollouts);
  const assessment = {
    logProbs: Float32Array.of(-1, -2, -0.5, -3),
    refLogProbs: Float32Array.of(-1.5, -1.75, -0.5, -4),
    values: Float32Array.of(0.5, 0.25, 0.75, 1),
    entropies: Float32Array.of(1, 2, 3, 2),
  };
  const config = resolvePpoConfig({ gamma: 1, lam: 1, whitenAdvantages: false });
  const scores = { raw: Float64Array.of(3, 1), final: Float64Array.of(3, 0), terms: { model: [3, 1], judge: [0, 8] } };
  const experience = experienceOf(assessment, tokens, scores.final, 0.5, config);
  // k1: .5, -.25, 0 and 1. Rewards -β k1, and the score at the last token.
  expect([...experience.kl]).toEqual([0.5, -0.25, 0, 1]);
  expect([...experience.rewards]).toEqual([-0.25, 0.125, 3, -0.5]);
  // λ 1: returns are rewards to go.
  expect([...experience.returns]).toEqual([2.875, 3.125, 3, -0.5]);
  expect([...experience.advantages]).toEqual([2.375, 2.875, 2.25, -1.5]);
  const whitened = experienceOf(assessment, tokens, scores.final, 0.5, { ...config, whitenAdvantages: true });
  expect([...whitened.returns]).toEqual([...experience.returns]);
  expect(whitened.advantages.reduce((sum, a) => sum + a, 0)).toBeCloseTo(0, 12);
  const metrics = rolloutMetrics({ rollouts, scores, experience, tokens, klCoef: 0.5 });
  expect(metrics).toMatchObject({
    'reward/score': 2,
    'reward/scoreStd': 1,
    // (3 - .5 · .25 + 0 - .5 · 1) / 2
    'reward/total': 1.1875,
    'scores/model': 2,
    'scores/judge': 4,
    'kl/sequence': 0.625,
    'kl/token': 0.3125,
    'kl/coef': 0.5,
    'policy/entropy': 2,
    'value/mean': 0.625,
    'value/returns': 2.125,
    'completion/length': 2,
    'completion/eosRate': 0.5,
    'completion/repetition': 0,
  });
  // Squared deviations of returns - values (2.375, 2.875, 2.25, -1.5; mean 1.5) over those of the returns (mean 2.125).
  expect(metrics['value/explainedVariance']).toBeCloseTo(1 - 12.21875 / 9.21875, 6);
});

test('rewards can be scaled without moving their mean', () => {
  const tokens = new CompletionTokens([rollout([4, 5], true)]);
  const zeros = () => new Float32Array(2);
  const assessment = { logProbs: zeros(), refLogProbs: zeros(), values: zeros(), entropies: zeros() };
  const config = resolvePpoConfig({ lam: 1, whitenAdvantages: false, whitenRewards: true });
  const { returns } = experienceOf(assessment, tokens, [4], 0, config);
  // Rewards 0 and 4: mean 2, standard deviation 2, so 1 and 3.
  expect(returns[0]).toBeCloseTo(4, 6);
  expect(returns[1]).toBeCloseTo(3, 6);
});

test('repetition is the share of 3-grams that were there before', () => {
  expect(repetition([1, 2])).toBe(0);
  expect(repetition([1, 2, 3, 4])).toBe(0);
  expect(repetition([1, 2, 1, 2, 1, 2])).toBe(0.5);
  expect(repetition([7, 7, 7, 7, 7])).toBeCloseTo(2 / 3);
});

test('means are over tokens, and no NaN goes under', () => {
  const means = new TokenMeans();
  means.addTokens('a', torch.tensor([1, 2, 3]));
  means.addTokens('a', torch.tensor([10]));
  expect(means.mean('a')).toBe(4);
  expect(means.most('a')).toBe(10);
  means.addTokens('a', torch.tensor([Number.NaN, 1]));
  expect(means.mean('a')).toBeNaN();
  expect(means.most('a')).toBeNaN();
});
