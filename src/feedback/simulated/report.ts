/** How good the labels of a simulated pool are: what the reward model can hope for. */
import { orderOf, pairAgreement, pairsBelow } from '../agreement.ts';
import type { JudgedTask, Labeller } from '../store/index.ts';
import { type Profile, type Seen, utilities } from './labeller.ts';
import { lookAt, type Pool } from './pool.ts';
import { scoreFeatures } from './rubric.ts';

export interface PoolReport {
  readonly judgements: number;
  /** Pairs that a labeller ranked one above the other. */
  readonly pairs: number;
  /** Share of these pairs on which the gold judge agrees. */
  readonly accuracy: number | null;
  /** The same for each labeller, by name. */
  readonly accuracyByLabeller: Readonly<Record<string, number>>;
  /** Of pairs that two labellers of a task ranked, the share that they ranked alike. */
  readonly agreement: number | null;
  /** How many pairs that is. */
  readonly agreementPairs: number;
  /**
   * The pairwise accuracy that the best possible model expects on these tasks' labels: of the pairs that are not tied, the
   * share that goes the way which the pool is likelier to go.
   */
  readonly ceiling: number | null;
  /** Of pairs that were both ranked, the share of ties. */
  readonly ties: number | null;
  readonly noneGood: number | null;
  /** P(shown earlier wins), P(more words wins); 0.5 is unbiased for the first, the second depends on taste, too. */
  readonly firstWins: number | null;
  readonly longerWins: number | null;
}

/**
 * @param judged what the pool judged, such as `store.judged(snapshot.id)`; judgements of others must not be among it.
 * @param labellers of the store, for their names.
 */
export function poolReport(judged: readonly JudgedTask[], pool: Pool, labellers: readonly Labeller[]): PoolReport {
  const names = new Map(labellers.map(({ id, name }) => [id, name]));
  const [right, tied, first, longer] = [tally(), tally(), tally(), tally()];
  const byLabeller = new Map<string, Tally>();
  const byTask = Map.groupBy(judged, ({ judgement }) => judgement.task);
  const ceiling = tally();
  for (const group of byTask.values()) {
    const { task } = group[0] as JudgedTask;
    const answers = lookAt(task, pool.rubric);
    const gold = answers.map(({ features }) => scoreFeatures(features, pool.rubric));
    for (const [i, j] of pairsBelow(answers.length)) {
      const [above, below] = poolPreference(pool, answers, i, j);
      ceiling.add(Math.max(above, below), above + below);
      const said = group.map(({ judgement }) => orderOf(judgement.ranks ?? [], i, j));
      group.forEach(({ judgement }, k) => {
        const sign = said[k];
        if (sign === null || sign === undefined) return;
        tied.add(sign === 0 ? 1 : 0);
        if (sign === 0) return;
        const difference = (gold[i] as number) - (gold[j] as number);
        const name = names.get(judgement.labeller) ?? judgement.labeller;
        if (!byLabeller.has(name)) byLabeller.set(name, tally());
        if (difference !== 0) {
          const agrees = Math.sign(difference) === sign ? 1 : 0;
          right.add(agrees);
          byLabeller.get(name)?.add(agrees);
        }
        const order = judgement.displayedOrder;
        if (order !== null) first.add(order.indexOf(i) < order.indexOf(j) === sign > 0 ? 1 : 0);
        const words = (answers[i]?.words ?? 0) - (answers[j]?.words ?? 0);
        if (words !== 0) longer.add(Math.sign(words) === sign ? 1 : 0);
      });
    }
  }
  const said = [...byTask.values()].map((group) => group.map(({ judgement }) => judgement.ranks ?? []));
  const { agreement, pairs: agreementPairs } = pairAgreement(said);
  return {
    judgements: judged.length,
    pairs: right.count,
    accuracy: right.mean(),
    accuracyByLabeller: Object.fromEntries(
      [...byLabeller].sort().map(([name, one]) => [name, one.mean() ?? Number.NaN]),
    ),
    agreement,
    agreementPairs,
    ceiling: ceiling.mean(),
    ties: tied.mean(),
    noneGood: judged.length === 0 ? null : judged.filter(({ judgement }) => judgement.noneGood).length / judged.length,
    firstWins: first.mean(),
    longerWins: longer.mean(),
  };
}

/** P(i above j) and P(j above i), over labellers and both ways of showing; what is missing to 1 is ties. */
function poolPreference({ labellers }: Pool, answers: readonly Seen[], i: number, j: number): [number, number] {
  const forward = answers.map((_, at) => at);
  let [above, below] = [0, 0];
  for (const { profile } of labellers) {
    for (const order of [forward, forward.toReversed()]) {
      const values = utilities(profile, answers, order);
      above += preference(profile, values, i, j);
      below += preference(profile, values, j, i);
    }
  }
  return [above / (2 * labellers.length), below / (2 * labellers.length)];
}

/**
 * P(i above j). The difference of two Gumbel draws is logistic: before a flip it is sigma(u_i - u_j - threshold). A flip swaps two
 * of K answers at random; one that gives i the place of k puts i above j where k was above j.
 */
function preference(profile: Profile, values: readonly number[], i: number, j: number): number {
  const before = (a: number, b: number) =>
    1 / (1 + Math.exp(profile.tieThreshold - (values[a] as number) + (values[b] as number)));
  const count = values.length;
  const swaps = (count * (count - 1)) / 2;
  const moved = values.reduce(
    (sum, _, k) => (k === i || k === j ? sum : sum + before(k, j) + before(i, k)),
    before(j, i),
  );
  const untouched = (((count - 2) * (count - 3)) / 2) * before(i, j);
  return (1 - profile.flipChance) * before(i, j) + (profile.flipChance * (moved + untouched)) / swaps;
}

interface Tally {
  count: number;
  /** @param weight default 1. */
  add(value: number, weight?: number): void;
  mean(): number | null;
}

function tally(): Tally {
  let sum = 0;
  let weights = 0;
  return {
    count: 0,
    add(value, weight = 1) {
      sum += value;
      weights += weight;
      this.count++;
    },
    mean() {
      return this.count === 0 ? null : sum / weights;
    },
  };
}
