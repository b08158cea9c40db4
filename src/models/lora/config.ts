/** What a LoRA adapter is made of (Hu et al., arXiv 2106.09685), with the names and defaults of PEFT where it has them. */
import { NudgeError } from '../../errors.ts';
import type { DType, Generator } from '../../tensor/index.ts';

/**
 * Which projections get an adapter: `all-linear` (attention and MLP of every layer), names (a projection is chosen when its
 * name ends in one of them, `q_proj` or `3.self_attn.q_proj`), or an expression that must match the whole name.
 */
export type LoraTargets = 'all-linear' | readonly string[] | RegExp;

export interface LoraConfig {
  /** r, the width of the bottleneck: more can learn more, for more memory. Default 8. */
  readonly rank: number;
  /** The update counts alpha / rank times. Default 16. */
  readonly alpha: number;
  /** Divides by √rank instead (arXiv 2312.03732), so that a larger rank learns as fast. Default false. */
  readonly rslora: boolean;
  /** Probability with which an element of the adapter's input is dropped while training. Default 0. */
  readonly dropout: number;
  /** Default `all-linear`. */
  readonly targets: LoraTargets;
}

export interface LoraOptions extends Partial<LoraConfig> {
  /**
   * Gives the adapter a score head of its own, so that a policy, a reward and a value model share one base. It starts as the
   * model's head, or as a fresh one. Default: true where the model has a score head.
   */
  head?: boolean;
  /** Default float32, also over a bfloat16 base: a small update would be lost in bfloat16's rounding. */
  dtype?: DType;
  /** Draws the initial values from this generator instead of the device's default one. */
  generator?: Generator;
}

/** Fills in the defaults. @throws NudgeError BAD_ARGUMENT. */
export function loraConfig(options: LoraOptions): LoraConfig {
  const { rank = 8, alpha = 16, rslora = false, dropout = 0, targets = 'all-linear' } = options;
  const check = (field: string, valid: boolean, expected: string, received: unknown) => {
    if (valid) return;
    throw new NudgeError('BAD_ARGUMENT', 'A LoRA adapter cannot be made like this.', {
      path: `lora.${field}`,
      expected,
      received: String(received),
    });
  };
  check('rank', Number.isSafeInteger(rank) && rank > 0, 'a positive integer', rank);
  check('alpha', Number.isFinite(alpha) && alpha > 0, 'a positive number', alpha);
  check('dropout', dropout >= 0 && dropout < 1, '0 <= dropout < 1', dropout);
  return { rank, alpha, rslora, dropout, targets };
}

/** The factor on the update: alpha / r, or alpha / √r. */
export function loraScaling({ rank, alpha, rslora }: LoraConfig): number {
  return alpha / (rslora ? Math.sqrt(rank) : rank);
}

export function isTarget(name: string, targets: LoraTargets): boolean {
  if (targets === 'all-linear') return true;
  if (targets instanceof RegExp) return new RegExp(`^(?:${targets.source})$`, targets.flags).test(name);
  return targets.some((target) => name === target || name.endsWith(`.${target}`));
}
