/** What a report shows, as plain data: `report.json` beside the page, for programs. */

/** A figure with its 95 % interval. */
export interface Estimated {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly n: number;
}

/** One line of PPO's metrics, by name. */
export type MetricsLine = Readonly<Record<string, number>> & { readonly step: number };

export interface SideBySide {
  readonly prompt: string;
  readonly before: string;
  readonly after: string;
  readonly gold: { readonly before: number; readonly after: number } | null;
  readonly proxy: { readonly before: number; readonly after: number };
}

export interface StageCost {
  readonly id: string;
  readonly title: string;
  readonly seconds: number;
  readonly peakRssBytes: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface ReportData {
  readonly name: string;
  readonly model: string;
  readonly seed: number;
  /** ISO 8601. */
  readonly finishedAt: string;
  readonly versions: Readonly<Record<string, string | null>>;
  readonly stages: readonly StageCost[];
  /** Missing where the run has no such stage. */
  readonly rewardModel?: {
    readonly accuracy: Estimated;
    /** How often two labellers agree on a pair: nobody can be expected to do better. */
    readonly ceiling: number | null;
    /** Mean gap between confidence and accuracy. */
    readonly ece: number;
    /** Score gained by a standard deviation of length, in standard deviations of the score. */
    readonly lengthCorrelation: number;
  };
  readonly ppo?: readonly MetricsLine[];
  readonly evaluation?: {
    /** null where no judge but the reward model was asked. */
    readonly goldWinRate: Estimated | null;
    readonly proxyWinRate: Estimated;
    readonly gold: { readonly before: number; readonly after: number } | null;
    readonly proxy: { readonly before: number; readonly after: number };
    /** Nats, the mean over answers of the sum over tokens. */
    readonly klPerSequence: number;
    readonly length: { readonly before: number; readonly after: number };
    readonly diversity: { readonly before: number; readonly after: number };
    readonly examples: readonly SideBySide[];
  };
  /** Commands that go on from here. */
  readonly next: readonly { readonly command: string; readonly does: string }[];
}
