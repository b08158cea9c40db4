/** What a step measured. Every metric is explained in docs/algorithms/ppo.md. */
import { explainedVariance, momentsOf, type Numbers } from '../../losses/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { Metrics } from '../metrics.ts';
import type { Experience } from './experience.ts';
import type { CompletionTokens } from './passes.ts';
import type { Scores } from './rewards.ts';
import type { Rollout } from './rollout.ts';

/** Sums, counts and largest values by name, from which means come. */
export class TokenMeans {
  readonly #entries = new Map<string, { sum: number; count: number; most: number }>();

  add(name: string, value: number): void {
    this.#entry(name, value, 1, value);
  }

  /** One value a token, [C]. */
  addTokens(name: string, values: Tensor): void {
    const numbers = values.toFloat32Array();
    let [sum, most] = [0, Number.NEGATIVE_INFINITY];
    for (const value of numbers) {
      sum += value;
      // Not Math.max alone: NaN must come through.
      most = value > most || Number.isNaN(value) ? value : most;
    }
    this.#entry(name, sum, numbers.length, most);
  }

  addAll(other: TokenMeans): void {
    for (const [name, { sum, count, most }] of other.#entries) this.#entry(name, sum, count, most);
  }

  mean(name: string): number {
    const { sum, count } = this.#entries.get(name)!;
    return sum / count;
  }

  most(name: string): number {
    return this.#entries.get(name)!.most;
  }

  means(): Record<string, number> {
    return Object.fromEntries([...this.#entries.keys()].map((name) => [name, this.mean(name)]));
  }

  #entry(name: string, sum: number, count: number, most: number): void {
    const before = this.#entries.get(name) ?? { sum: 0, count: 0, most: Number.NEGATIVE_INFINITY };
    this.#entries.set(name, {
      sum: before.sum + sum,
      count: before.count + count,
      most: most > before.most || Number.isNaN(most) ? most : before.most,
    });
  }
}

/** Seconds spent, by what they were spent on. */
export class Stopwatch {
  readonly #start = performance.now();
  readonly #seconds: Record<string, number> = {};

  async time<T>(name: string, work: () => T | Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await work();
    } finally {
      this.#seconds[name] = (this.#seconds[name] ?? 0) + (performance.now() - start) / 1000;
    }
  }

  get total(): number {
    return (performance.now() - this.#start) / 1000;
  }

  metrics(): Record<string, number> {
    const parts = Object.entries(this.#seconds).map(([name, seconds]) => [`seconds/${name}`, seconds]);
    return { ...Object.fromEntries(parts), 'seconds/total': this.total };
  }
}

export interface StepFacts {
  readonly rollouts: readonly Rollout[];
  readonly scores: Scores;
  readonly experience: Experience;
  readonly tokens: CompletionTokens;
  readonly klCoef: number;
}

/** What can be said of a step's completions before learning from them. */
export function rolloutMetrics({ rollouts, scores, experience, tokens, klCoef }: StepFacts): Record<string, number> {
  const { kl, values, returns, entropies } = experience;
  const klSums = tokens.sums(kl); // [S]
  const total = scores.final.map((score, s) => score - klCoef * klSums[s]!); // [S]
  const explained = explainedVariance(values, returns);
  const { mean, m2, count } = momentsOf(scores.raw);
  return {
    'reward/score': mean,
    'reward/scoreStd': Math.sqrt(m2 / count),
    'reward/total': meanOf(total),
    ...Object.fromEntries(Object.entries(scores.terms).map(([name, term]) => [`scores/${name}`, meanOf(term)])),
    'kl/sequence': meanOf(klSums),
    'kl/token': meanOf(kl),
    'kl/coef': klCoef,
    'policy/entropy': meanOf(entropies),
    'value/mean': meanOf(values),
    'value/returns': meanOf(returns),
    // Where all returns are the same there is no variance to explain.
    ...(Number.isFinite(explained) ? { 'value/explainedVariance': explained } : {}),
    'completion/length': tokens.count / rollouts.length,
    'completion/eosRate': meanOf(rollouts.map(({ finished }) => Number(finished))),
    'completion/repetition': meanOf(rollouts.map(({ ids }) => repetition(ids))),
  };
}

/** Share of a completion's 3-grams that occurred in it before: 1 - unique / total; 0 below three tokens. */
export function repetition(ids: readonly number[]): number {
  const total = ids.length - 2;
  if (total < 1) return 0;
  const grams = new Set(Array.from({ length: total }, (_, i) => ids.slice(i, i + 3).join()));
  return 1 - grams.size / total;
}

/** The most memory that this process has held so far, in bytes. */
export function peakMemory(): Metrics {
  return { 'memory/peakBytes': process.resourceUsage().maxRSS * 1024 };
}

const meanOf = (values: Numbers): number => momentsOf(values).mean;
