/** Best-of-n: sample n answers, keep the one that the proxy scores highest. The yardstick for every optimised policy. */
import { NudgeError } from '../../errors.ts';
import { needsSameLength } from './estimate.ts';

/**
 * The expected gold score of the best of n by the proxy, from N >= n samples of one prompt: the mean over all C(N, n) choices
 * (Nakano et al., 2112.09332, appendix I; unbiased, and of less variance than drawing n once).
 *
 * Σ_i C(i-1, n-1) / C(N, n) · gold_(i), gold scores in the order of the proxy's, the lowest first. Samples that the proxy scores
 * alike share their place.
 */
export function bestOfN(proxy: readonly number[], gold: readonly number[], n: number): number {
  needsSameLength(proxy, gold, 'bestOfN');
  const N = proxy.length;
  if (!Number.isSafeInteger(n) || n < 1 || n > N) {
    throw new NudgeError('BAD_ARGUMENT', 'The best of n needs at least n samples.', {
      path: 'bestOfN, n',
      expected: `1 to ${N}`,
      received: String(n),
    });
  }
  const order = proxy.map((_, i) => i).sort((a, b) => proxy[a]! - proxy[b]!);
  let total = 0;
  for (let start = 0; start < N; ) {
    let end = start;
    while (end < N && proxy[order[end]!] === proxy[order[start]!]) end++;
    // The chance that the best lies among these: all n within the first `end`, but not all within the first `start`.
    const share = below(end, N, n) - below(start, N, n);
    for (let i = start; i < end; i++) total += (share / (end - start)) * gold[order[i]!]!;
    start = end;
  }
  return total;
}

/** C(count, n) / C(N, n) as a product, which does not overflow. */
function below(count: number, N: number, n: number): number {
  if (count < n) return 0;
  let share = 1;
  for (let k = 0; k < n; k++) share *= (count - k) / (N - k);
  return share;
}

/** KL of best-of-n from the policy that it samples, at most: log n - (n - 1) / n nats (exact where no two samples are alike). */
export function bestOfNKl(n: number): number {
  return Math.log(n) - (n - 1) / n;
}
