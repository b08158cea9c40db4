/** The update of a step: epochs of mini-batches with the clipped losses, an optimiser each for policy and value model. */
import { ppoPolicyLoss, ppoValueLoss, ptxLoss } from '../../losses/index.ts';
import { AdamW, clipGradNorm, type Optimizer, type Parameter, type Schedule, setLr } from '../../nn/index.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import { microBatches } from '../batches.ts';
import type { Guard } from '../guard.ts';
import { int64, packSequences } from '../pack.ts';
import { permutation } from '../random.ts';
import { makeSchedule } from '../schedule.ts';
import { type PpoConfig, stepsOf } from './config.ts';
import type { Experience } from './experience.ts';
import {
  CompletionTokens,
  completionLoss,
  completionValues,
  lossThroughHead,
  type MiniBatches,
  type PackedRollouts,
  pack,
  planMiniBatches,
  promptGroups,
  type StepTrunk,
} from './passes.ts';
import type { Rollout } from './rollout.ts';
import { TokenMeans } from './statistics.ts';
import { type ModelView, type PpoModels, trainedParameters, withView } from './view.ts';

/** Text that the policy must not forget, as token ids: at least two each. */
export interface PretrainingText {
  readonly ids: readonly number[];
}

/** What a step is learned from. */
export interface Lesson {
  /** From 1. */
  readonly step: number;
  readonly rollouts: readonly Rollout[];
  readonly experience: Experience;
  readonly trunk: StepTrunk;
}

export interface UpdateReport {
  /** TokenMeans over tokens and optimiser steps, ready for the log. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Largest |ratio - 1| before the first update of the step: 0, unless the arithmetic is not repeatable. */
  readonly firstRatioError: number;
}

export class Learner implements Disposable {
  readonly optimizers: Readonly<Record<'policy' | 'value', Optimizer>>;
  readonly #models: PpoModels;
  readonly #config: PpoConfig;
  readonly #pretraining: readonly PretrainingText[];
  readonly #guard: Guard;
  readonly #schedule: Schedule;
  readonly #parameters: Readonly<Record<'policy' | 'value', readonly Parameter[]>>;

  constructor(models: PpoModels, config: PpoConfig, pretraining: readonly PretrainingText[], guard: Guard) {
    this.#models = models;
    this.#config = config;
    this.#pretraining = pretraining;
    this.#guard = guard;
    this.#schedule = makeSchedule(config, stepsOf(config));
    const named = { policy: trainedParameters(models.policy), value: trainedParameters(models.value) };
    const options = { eps: config.adamEpsilon, weightDecay: config.weightDecay };
    this.optimizers = {
      policy: new AdamW(named.policy, { ...options, lr: config.learningRate }),
      value: new AdamW(named.value, { ...options, lr: config.valueLearningRate ?? config.learningRate }),
    };
    const only = (pairs: readonly (readonly [string, Parameter])[]) => pairs.map(([, parameter]) => parameter);
    this.#parameters = { policy: only(named.policy), value: only(named.value) };
  }

  /** The mini-batches of one epoch of a step: every time the same. @param epoch from 0. */
  plan(step: number, epoch: number, rollouts: readonly Rollout[]): MiniBatches {
    const groups = promptGroups(rollouts);
    const order = permutation(groups.length, this.#config.seed, 'miniBatches', step, epoch);
    return planMiniBatches(
      order.flatMap((group) => groups[group]!),
      rollouts,
      this.#config,
    );
  }

  /** @throws NudgeError TRAINING_DIVERGED before weights are updated with numbers that are not finite. */
  learn(lesson: Lesson): UpdateReport {
    const { ppoEpochs, numMiniBatches, targetKl } = this.#config;
    const rates = this.#setRates(lesson.step);
    const totals = new TokenMeans();
    const tokens = new CompletionTokens(lesson.rollouts);
    let [updates, firstRatioError] = [0, 0];
    epochs: for (let epoch = 0; epoch < ppoEpochs; epoch++) {
      for (const [i, miniBatch] of this.plan(lesson.step, epoch, lesson.rollouts).entries()) {
        const means = this.#gradients(lesson, tokens, miniBatch);
        if (epoch === 0 && i === 0) firstRatioError = means.most('ratioError');
        totals.addAll(means);
        if (targetKl !== null && means.mean('policy/approxKl') > targetKl) break epochs;
        const index = ((lesson.step - 1) * ppoEpochs + epoch) * numMiniBatches + i;
        if (this.#pretraining.length > 0) totals.add('ptx/loss', this.#ptxGradients(index));
        this.#update(lesson.step, means, miniBatch, totals);
        updates++;
      }
    }
    this.#dropGradients();
    const { ratioError: _, ...metrics } = totals.means();
    return {
      metrics: { ...metrics, ...rates, 'policy/ratioMax': totals.most('policy/ratioMean'), 'policy/updates': updates },
      firstRatioError,
    };
  }

  dispose(): void {
    this.#dropGradients();
    for (const optimizer of Object.values(this.optimizers)) optimizer.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Adds up the gradients of one mini-batch: means over its completion tokens. */
  #gradients(
    { rollouts, experience, trunk }: Lesson,
    tokens: CompletionTokens,
    miniBatch: MiniBatches[number],
  ): TokenMeans {
    const means = new TokenMeans();
    const { device } = this.#models.policy.model;
    const count = tokens.countOf(miniBatch.flat());
    for (const rows of miniBatch) {
      torch.scope(() => {
        const part: Part = {
          trunk,
          packed: pack(rollouts, rows, this.#models.policy.model),
          given: (name) => tokens.take(experience[name], rows, device), // [C]
          count,
          means,
        };
        // A scope each: the policy's graph is freed before the value model's is made.
        torch.scope(() => this.#policyLoss(part).backward());
        torch.scope(() => this.#valueLoss(part).backward());
      });
    }
    return means;
  }

  #policyLoss({ trunk, packed, given, count, means }: Part): Tensor {
    const { temperature, cliprange } = this.#config;
    return completionLoss(trunk, this.#models.policy, packed, { temperature }, (logProbs) => {
      const oldLogProbs = given('logProbs'); // [C]
      const result = ppoPolicyLoss({ logProbs, oldLogProbs, advantages: given('advantages'), cliprange });
      const { losses, ratios, clipped, approxKl } = result; // [C] each
      means.addTokens('policy/loss', losses.detach());
      means.addTokens('policy/clipFraction', clipped.float());
      means.addTokens('policy/approxKl', approxKl);
      means.addTokens('policy/ratioMean', ratios);
      means.addTokens('ratioError', ratios.sub(1).abs());
      return losses.sum().div(count); // scalar
    });
  }

  #valueLoss({ trunk, packed, given, count, means }: Part): Tensor {
    const { cliprangeValue, vfCoef } = this.#config;
    const values = completionValues(trunk, this.#models.value, packed); // [C]
    const inputs = { values, oldValues: given('values'), returns: given('returns'), cliprangeValue };
    const { losses, clipped } = ppoValueLoss(inputs); // [C] each
    means.addTokens('value/loss', losses.detach());
    means.addTokens('value/clipFraction', clipped.float());
    return losses.sum().mul(vfCoef / count); // scalar
  }

  /**
   * Adds the gradient of γ E[-log π] over pretraining text.
   *
   * @param index of the optimiser step in the run. @returns E[-log π].
   */
  #ptxGradients(index: number): number {
    const { ptxBatchSize, ptxCoef, seed, microBatchTokens } = this.#config;
    const texts = this.#pretraining;
    const chosen = Array.from({ length: ptxBatchSize }, (_, i) => {
      const place = index * ptxBatchSize + i;
      const order = permutation(texts.length, seed, 'ptx', Math.floor(place / texts.length));
      return texts[order[place % texts.length]!]!.ids;
    });
    const lengths = chosen.map((ids) => ids.length - 1);
    const count = lengths.reduce((sum, length) => sum + length, 0);
    let loss = 0;
    for (const rows of microBatches([...chosen.keys()], lengths, microBatchTokens)) {
      const part = rows.map((row) => chosen[row]!);
      loss += torch.scope(() => {
        const total = textLoss(this.#models.policy, part, (logProbs) => ptxLoss(logProbs, ptxCoef).sum().div(count)); // scalar
        total.backward();
        return total.item();
      });
    }
    return loss / ptxCoef;
  }

  /** Clips and applies the gradients; the guard looks at them first. */
  #update(step: number, means: TokenMeans, miniBatch: MiniBatches[number], totals: TokenMeans): void {
    const { maxGradNorm } = this.#config;
    const norms = {
      'policy/gradNorm': clipGradNorm(this.#parameters.policy, maxGradNorm),
      'value/gradNorm': clipGradNorm(this.#parameters.value, maxGradNorm),
    };
    const watched = { 'policy/loss': means.mean('policy/loss'), 'value/loss': means.mean('value/loss'), ...norms };
    this.#guard.check(step, watched, () => `rollouts ${miniBatch.flat().slice(0, 8).join(', ')}`);
    for (const [name, norm] of Object.entries(norms)) totals.add(name, norm);
    for (const optimizer of Object.values(this.optimizers)) {
      optimizer.step();
      optimizer.zeroGrad();
    }
  }

  #setRates(step: number): Record<string, number> {
    const { learningRate, valueLearningRate } = this.#config;
    const multiplier = this.#schedule(step - 1);
    const rates = { policy: learningRate, value: valueLearningRate ?? learningRate };
    for (const role of ['policy', 'value'] as const) setLr(this.optimizers[role], rates[role], multiplier);
    return { 'policy/learningRate': rates.policy * multiplier, 'value/learningRate': rates.value * multiplier };
  }

  #dropGradients(): void {
    for (const optimizer of Object.values(this.optimizers)) optimizer.zeroGrad();
  }
}

/** What is computed at once. */
interface Part {
  readonly trunk: StepTrunk;
  readonly packed: PackedRollouts;
  /** The tokens' share of an array of the experience, [C]. */
  readonly given: (name: 'logProbs' | 'values' | 'advantages' | 'returns') => Tensor;
  /** Completion tokens of the whole mini-batch. */
  readonly count: number;
  readonly means: TokenMeans;
}

/** A loss over every token of some texts but the first. */
function textLoss(view: ModelView, texts: readonly (readonly number[])[], loss: (logProbs: Tensor) => Tensor): Tensor {
  const { device } = view.model;
  const { ids, context } = packSequences(
    texts.map((ids) => ids.slice(0, -1)),
    device,
  ); // [N]
  const hidden = withView(view, () => view.model.forward(ids, context)); // [N, D]
  const targets = int64(
    texts.flatMap((ids) => ids.slice(1)),
    device,
  ); // [N]
  return lossThroughHead(view, hidden, targets, {}, loss); // scalar
}
