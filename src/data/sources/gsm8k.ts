/**
 * GSM8K: grade-school maths whose answers can be checked (Cobbe et al., arXiv:2110.14168; MIT). The questions need no function:
 * `--map prompt=question,completion=answer`.
 */

/**
 * The number after the last `####` of a solution, which is how the dataset's answers end, or null. Separators are left out:
 * "1,200" is 1200.
 */
export function gsm8kAnswer(solution: string): number | null {
  const found = [...solution.matchAll(/####\s*(-?[\d,]*\.?\d+)/g)].at(-1)?.[1];
  return found === undefined ? null : Number(found.replaceAll(',', ''));
}
