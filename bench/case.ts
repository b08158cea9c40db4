/** What a benchmark is made of. `harness.ts` measures it, `report.ts` prints it. */

/** Work that can be repeated, with everything that it needs already made. */
export interface Body {
  /** Does the work this many times and returns the seconds that it took. */
  time(times: number): number | Promise<number>;
  /** `times` is a multiple of this: a hundred calls in one scope, say. Default 1. */
  multiple?: number;
  /** Frees what was made; waited for. */
  end?(): unknown;
}

/** Work of the Python process: a function of `peers/NAME.py` and its keyword arguments. */
export interface PeerWork {
  work: string;
  arguments?: Record<string, unknown>;
}

/** The best that could be had: measured in the same rounds, or found among the results of the group. */
export type Limit =
  | { body: () => Body; value: (seconds: number) => number }
  | { among: (results: readonly Result[]) => number | null };

/** One line of the results. */
export interface Case {
  name: string;
  /** What is measured, such as `time a call`. */
  metric: string;
  unit: string;
  better: Direction;
  /** The printed number, from the seconds of one repetition. */
  value: (seconds: number) => number;
  nudge: () => Body;
  /** Absent where PyTorch has nothing to compare with. A Body times something outside the Python process that serves the rest. */
  peer?: PeerWork | (() => Body);
  limit?: Limit;
}

export type Direction = 'lower' | 'higher';

/** Cases that are measured together, so that one's limit may come from the others. */
export interface Group {
  title: string;
  cases: readonly Case[];
}

/** A benchmark: `nudge bench NAME`. */
export interface Bench {
  name: string;
  groups: readonly Group[];
}

/** What a case came to. `relative` is (maximum - minimum) / median over the rounds. */
export interface Result {
  case: Case;
  nudge: number;
  peer: number | null;
  limit: number | null;
  spread: { nudge: number; peer: number | null };
  /** The lowest and the highest ratio of a round's two neighbouring blocks. */
  ratios: { low: number; high: number } | null;
}

/** A body that is timed from outside. */
export function timed(work: (times: number) => void, more: Omit<Body, 'time'> = {}): Body {
  return {
    ...more,
    time(times) {
      const start = performance.now();
      work(times);
      return (performance.now() - start) / 1000;
    },
  };
}
