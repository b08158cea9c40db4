/** Intervals by resampling (Efron, 1979): percentiles of the statistic over samples drawn with replacement. */
import {
  type Clusters,
  type Estimate,
  type IntervalOptions,
  mean,
  needs,
  needsSameLength,
  quantileOfSorted,
} from './estimate.ts';
import { twoSided } from './normal.ts';
import { uniform } from './random.ts';

export interface BootstrapOptions extends IntervalOptions {
  /** Default 2,000: the ends of a 95 % interval are then steady to a few per cent of its width. */
  resamples?: number;
  /** Default 0. The same seed gives the same interval. */
  seed?: number;
}

/**
 * The interval of any statistic of n observations.
 *
 * @param statistic of a sample, given as indices (0 to n - 1, with repeats; with clusters of different size not always n of them).
 *   Values that are not finite are left out: a resample may lack a class.
 */
export function bootstrap(
  n: number,
  statistic: (sample: Int32Array) => number,
  options: BootstrapOptions = {},
): Estimate {
  needs(n, 1, 'bootstrap');
  const { resamples = 2000, seed = 0, confidence = 0.95, clusters } = options;
  twoSided(confidence); // refuses what is no confidence
  const random = uniform(seed);
  const value = statistic(Int32Array.from({ length: n }, (_, i) => i));
  const draw = clusters === undefined ? drawOf(n, random) : drawOfClusters(clusters, random);
  const found: number[] = [];
  for (let round = 0; round < resamples; round++) {
    const again = statistic(draw());
    if (Number.isFinite(again)) found.push(again);
  }
  if (found.length === 0) return { value, low: Number.NaN, high: Number.NaN, n };
  const sorted = Float64Array.from(found).sort();
  const outside = (1 - confidence) / 2;
  return { value, low: quantileOfSorted(sorted, outside), high: quantileOfSorted(sorted, 1 - outside), n };
}

function drawOf(n: number, random: () => number): () => Int32Array {
  const sample = new Int32Array(n);
  return () => {
    for (let i = 0; i < n; i++) sample[i] = Math.floor(random() * n);
    return sample;
  };
}

/** Whole clusters, with replacement. */
function drawOfClusters(clusters: Clusters, random: () => number): () => Int32Array {
  const all = clusters.map((members) => Int32Array.from(members));
  return () => {
    const drawn = all.map(() => all[Math.floor(random() * all.length)]!);
    const sample = new Int32Array(drawn.reduce((total, members) => total + members.length, 0));
    let end = 0;
    for (const members of drawn) {
      sample.set(members, end);
      end += members.length;
    }
    return sample;
  };
}

/** The mean with its interval. */
export function bootstrapMean(values: ArrayLike<number>, options: BootstrapOptions = {}): Estimate {
  needs(values.length, 1, 'bootstrapMean');
  return bootstrap(values.length, meanAt(values), options);
}

/** mean(a) - mean(b) over the same prompts: pairs are drawn together, so that hard prompts count on both sides. */
export function pairedBootstrap(a: ArrayLike<number>, b: ArrayLike<number>, options: BootstrapOptions = {}): Estimate {
  needsSameLength(a, b, 'pairedBootstrap');
  return bootstrapMean(
    Float64Array.from(a, (value, i) => value - b[i]!),
    options,
  );
}

function meanAt(values: ArrayLike<number>): (sample: Int32Array) => number {
  const all = mean(values);
  // Around the mean, so that summing loses nothing where values are large and alike.
  return (sample) => {
    let sum = 0;
    for (let i = 0; i < sample.length; i++) sum += values[sample[i]!]! - all;
    return all + sum / sample.length;
  };
}
