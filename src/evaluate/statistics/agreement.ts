/** How far labellers agree, beyond what chance would give. */
import { NudgeError } from '../../errors.ts';
import { type BootstrapOptions, bootstrap } from './bootstrap.ts';
import { type Estimate, needs, needsSameLength } from './estimate.ts';

/** What values mean: names, ranks, or numbers whose differences count. */
export type MeasurementLevel = 'nominal' | 'ordinal' | 'interval';

/** What each labeller said of each unit: `ratings[unit][labeller]`, null where nothing. Labellers may differ from unit to unit. */
export type Ratings = readonly (readonly (number | null)[])[];

/**
 * Krippendorff's alpha (2004; computed as in his "Computing Krippendorff's Alpha-Reliability", 2011): 1 - observed / expected
 * disagreement. 1 is agreement, 0 chance, below 0 systematic disagreement. Any number of labellers, missing values allowed; units
 * with fewer than two values say nothing. NaN where all values are the same: nothing could disagree.
 */
export function krippendorffAlpha(ratings: Ratings, level: MeasurementLevel = 'nominal'): number {
  const units = ratings.map((unit) => unit.filter((value) => value !== null)).filter((unit) => unit.length > 1);
  needs(units.length, 1, 'krippendorffAlpha, units with two values');
  const totals = countOf(units.flat());
  const distance = distanceOf(level, totals);
  const n = units.reduce((sum, unit) => sum + unit.length, 0);
  let observed = 0;
  for (const unit of units) {
    for (const [i, a] of unit.entries()) {
      for (const b of unit.slice(i + 1)) observed += (2 * distance(a, b)) / (unit.length - 1);
    }
  }
  let expected = 0;
  const values = [...totals];
  for (const [i, [a, countA]] of values.entries()) {
    for (const [b, countB] of values.slice(i + 1)) expected += (2 * countA * countB * distance(a, b)) / (n - 1);
  }
  return expected === 0 ? Number.NaN : 1 - observed / expected;
}

/** Alpha with an interval by drawing units with replacement. */
export function krippendorffAlphaInterval(
  ratings: Ratings,
  level: MeasurementLevel = 'nominal',
  options: BootstrapOptions = {},
): Estimate {
  const usable = ratings.filter((unit) => unit.filter((value) => value !== null).length > 1);
  return bootstrap(
    usable.length,
    (sample) =>
      krippendorffAlpha(
        Array.from(sample, (unit) => usable[unit]!),
        level,
      ),
    options,
  );
}

/** Squared distance of two values. Ordinal: how many values lie between them, those of the two ranks counting half. */
function distanceOf(level: MeasurementLevel, totals: ReadonlyMap<number, number>): (a: number, b: number) => number {
  if (level === 'nominal') return (a, b) => (a === b ? 0 : 1);
  if (level === 'interval') return (a, b) => (a - b) ** 2;
  const middles = new Map<number, number>();
  let below = 0;
  for (const [value, count] of [...totals].sort(([a], [b]) => a - b)) {
    middles.set(value, below + count / 2);
    below += count;
  }
  return (a, b) => (middles.get(a)! - middles.get(b)!) ** 2;
}

export type KappaWeights = 'none' | 'linear' | 'quadratic';

/**
 * Cohen's kappa of two labellers who judged the same units (1960; weighted 1968): 1 is agreement, 0 chance.
 *
 * @param weights 'none' for names; 'linear' or 'quadratic' for ranks, where a near miss counts less than a far one. Ranks are the
 *   places among the values that occur. NaN where chance alone agrees fully.
 */
export function cohenKappa(a: readonly number[], b: readonly number[], weights: KappaWeights = 'none'): number {
  needsSameLength(a, b, 'cohenKappa');
  needs(a.length, 1, 'cohenKappa');
  const values = [...new Set([...a, ...b])].sort((x, y) => x - y);
  const place = new Map(values.map((value, i) => [value, i]));
  const cost = (x: number, y: number): number => {
    const apart = Math.abs(place.get(x)! - place.get(y)!);
    if (weights === 'none') return apart === 0 ? 0 : 1;
    return weights === 'linear' ? apart : apart ** 2;
  };
  const observed = a.reduce((sum, value, i) => sum + cost(value, b[i]!), 0) / a.length;
  const [countsA, countsB] = [countOf(a), countOf(b)];
  let expected = 0;
  for (const [x, countX] of countsA) {
    for (const [y, countY] of countsB) expected += (countX * countY * cost(x, y)) / a.length ** 2;
  }
  return expected === 0 ? Number.NaN : 1 - observed / expected;
}

/**
 * Fleiss' kappa (1971): several labellers, not necessarily the same for each unit, but equally many; no missing values.
 *
 * @param ratings `ratings[unit][labeller]`, values are names.
 */
export function fleissKappa(ratings: readonly (readonly number[])[]): number {
  needs(ratings.length, 1, 'fleissKappa');
  const labellers = ratings[0]!.length;
  if (labellers < 2 || ratings.some((unit) => unit.length !== labellers)) {
    throw new NudgeError('BAD_ARGUMENT', "Fleiss' kappa needs equally many labels for each unit, two or more.", {
      path: 'fleissKappa',
      expected: `${Math.max(2, labellers)} labels a unit`,
      received: [...new Set(ratings.map((unit) => unit.length))].join(', '),
      remedy: "Use Krippendorff's alpha, which allows missing labels.",
    });
  }
  const agreement = ratings.map((unit) => {
    const pairs = [...countOf(unit).values()].reduce((sum, count) => sum + count * (count - 1), 0);
    return pairs / (labellers * (labellers - 1));
  });
  const observed = agreement.reduce((sum, share) => sum + share, 0) / ratings.length;
  const all = ratings.length * labellers;
  const chance = [...countOf(ratings.flat()).values()].reduce((sum, count) => sum + (count / all) ** 2, 0);
  return chance === 1 ? Number.NaN : (observed - chance) / (1 - chance);
}

/**
 * Kendall's tau-b of two rankings (1945): (concordant - discordant) / √(pairs untied in a · pairs untied in b). 1 is the same
 * order, -1 the reverse, NaN where one side ties everything.
 */
export function kendallTauB(a: readonly number[], b: readonly number[]): number {
  needsSameLength(a, b, 'kendallTauB');
  needs(a.length, 2, 'kendallTauB');
  let [agreement, untiedA, untiedB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j < i; j++) {
      const [da, db] = [Math.sign(a[i]! - a[j]!), Math.sign(b[i]! - b[j]!)];
      agreement += da * db;
      untiedA += da * da;
      untiedB += db * db;
    }
  }
  return agreement / Math.sqrt(untiedA * untiedB);
}

function countOf(values: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
