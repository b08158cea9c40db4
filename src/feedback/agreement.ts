/** How far those who rank the same answers order them alike. */

/** The ranks of one labeller's answers: 1 is best, null was not ranked. */
export type Ranks = readonly (number | null)[];

export interface PairAgreement {
  /** The share ordered alike; null where no two labellers told the same pair apart. */
  readonly agreement: number | null;
  /** How many times two labellers told the same pair apart. */
  readonly pairs: number;
}

/**
 * Of the pairs of answers that two labellers of a task both told apart, the share that they ordered alike: what a reward model's
 * accuracy is compared with.
 *
 * @param tasks for each task what its labellers said of the same answers in the same order.
 */
export function pairAgreement(tasks: Iterable<readonly Ranks[]>): PairAgreement {
  let [alike, pairs] = [0, 0];
  for (const rankings of tasks) {
    const answers = Math.max(0, ...rankings.map(({ length }) => length));
    for (const [i, j] of pairsBelow(answers)) {
      const said = rankings.map((ranks) => orderOf(ranks, i, j)).filter((order) => order !== null && order !== 0);
      for (const [a, b] of pairsBelow(said.length)) {
        pairs++;
        if (said[a] === said[b]) alike++;
      }
    }
  }
  return { agreement: pairs === 0 ? null : alike / pairs, pairs };
}

/** 1 where answer i is ranked above j, -1 below, 0 tied, null where one of them was not ranked. */
export function orderOf(ranks: Ranks, i: number, j: number): number | null {
  const [a, b] = [ranks[i] ?? null, ranks[j] ?? null];
  return a === null || b === null ? null : Math.sign(b - a);
}

/** Every two of so many things once. */
export function* pairsBelow(count: number): Generator<[number, number]> {
  for (let i = 0; i < count; i++) for (let j = i + 1; j < count; j++) yield [i, j];
}
