/** How far it is: on a terminal a line that updates itself, with the time that is left; in a log a line now and then. */
import type { Completion } from '../../generate/index.ts';
import { Progress, seconds } from '../../setup/progress.mjs';

export interface Totals {
  readonly completions: number;
  /** Of those, what was there before. */
  readonly before: number;
  /** Generated now. */
  readonly tokens: number;
  readonly seconds: number;
  readonly finishReasons: Readonly<Record<string, number>>;
}

/** The time that is left is told once there is something to tell it from. */
const SETTLED_MS = 2_000;

export function nothingToDo(completions: number): Totals {
  return { completions, before: completions, tokens: 0, seconds: 0, finishReasons: {} };
}

export interface MeterOptions {
  readonly total: number;
  /** Completions that are there. */
  readonly before: number;
  /** Of one completion at most. */
  readonly maxTokens: number;
}

export class Meter {
  readonly #options: MeterOptions;
  readonly #progress = new Progress(process.stderr);
  readonly #start = performance.now();
  readonly #reasons: Record<string, number> = {};
  #completions = 0;
  #tokens = 0;

  constructor(options: MeterOptions) {
    this.#options = options;
    this.#progress.begin(options.before === 0 ? 'generating' : 'going on');
  }

  token(): void {
    this.#tokens++;
    const { total, before } = this.#options;
    const elapsed = performance.now() - this.#start;
    const rate = (this.#tokens * 1000) / elapsed;
    const left = elapsed < SETTLED_MS ? '' : `, about ${seconds((this.#tokensLeft() * 1000) / rate)} left`;
    this.#progress.update(`${before + this.#completions} of ${total} completions, ${Math.round(rate)} tokens/s${left}`);
  }

  completion({ finishReason }: Completion): void {
    this.#completions++;
    this.#reasons[finishReason] = (this.#reasons[finishReason] ?? 0) + 1;
  }

  stop(): void {
    this.#progress.stop();
  }

  /**
   * As if lengths were exponential: their mean is then all tokens so far, those of unfinished completions too, over the completions
   * that finished. The mean of the finished ones alone would count the short ones first.
   */
  #tokensLeft(): number {
    const { total, before, maxTokens } = this.#options;
    const mean = Math.min(maxTokens, this.#tokens / Math.max(1, this.#completions));
    return Math.max(0, mean * (total - before) - this.#tokens);
  }

  end(): Totals {
    const { total, before } = this.#options;
    const milliseconds = performance.now() - this.#start;
    const rate = this.#tokens === 0 ? '' : `, ${Math.round((this.#tokens * 1000) / milliseconds)} tokens/s`;
    this.#progress.end(`${total} completions, ${this.#tokens} tokens${rate}`);
    return {
      completions: total,
      before,
      tokens: this.#tokens,
      seconds: milliseconds / 1000,
      finishReasons: this.#reasons,
    };
  }
}

/** For people. */
export function told({ completions, before, tokens, seconds: time, finishReasons }: Totals, out: string): string {
  if (completions === before) return `${out} has all ${completions} completions already.`;
  const ends = Object.entries(finishReasons).map(([reason, count]) => `${count} ${ENDS[reason] ?? reason}`);
  const earlier = before === 0 ? '' : `, ${before} of them from before`;
  return `${out}: ${completions} completions${earlier}. Now ${tokens} tokens in ${seconds(time * 1000)}; ${ends.join(', ')}.`;
}

const ENDS: Readonly<Record<string, string>> = { stop: 'ended by themselves', length: 'cut at --max-tokens' };
