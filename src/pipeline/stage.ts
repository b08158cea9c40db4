/** What a stage is: one step from files to files, which can be ended anywhere and goes on when it is called again. */
import type { RunConfig } from './config.ts';

/** What a stage tells while it works. */
export type StageEvent =
  /** `done` of `total`, in whatever the stage counts; `metrics` are worth watching. */
  | {
      readonly type: 'progress';
      readonly done: number;
      readonly total: number;
      readonly detail?: string;
      readonly metrics?: Readonly<Record<string, number>>;
      readonly tokensPerSecond?: number;
    }
  /** A line that stays. */
  | { readonly type: 'note'; readonly text: string };

export interface StageContext {
  readonly run: RunConfig;
  /** From 1. */
  readonly round: number;
  /** Drawn from the run's seed, the stage and the round. */
  readonly seed: number;
  /** Where the stage keeps what it makes and what it needs to go on. */
  readonly directory: string;
  /** The directory of an earlier stage by its name, such as `label` or `round1/label`; null where the run has none. */
  input(name: string): string | null;
  readonly signal: AbortSignal;
  readonly report: (event: StageEvent) => void;
}

export interface StageResult {
  /** The figures by which the stage is judged, for the manifest and for comparisons. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Files in its directory that later stages or people read. */
  readonly outputs: readonly string[];
  /** Whether it ended early since the signal said so; then it will be called again. */
  readonly stopped?: boolean;
}

/** What a stage will take, before it runs. */
export interface Estimate {
  /** Multiplications and additions of matrix products. */
  readonly flops: number;
  /** Share of the machine's peak at which such products usually run. */
  readonly efficiency: number;
  /** Memory at its peak besides what the process needs anyway, in bytes. */
  readonly bytes: number;
}

export type StageName = 'sft' | 'sample' | 'label' | 'reward' | 'ppo' | 'evaluate' | 'export';

export interface Stage {
  readonly name: StageName;
  /** One line, for the plan and the progress. */
  readonly title: string;
  /** Raised when the stage makes something else from the same inputs: what older versions made is made anew. */
  readonly version: number;
  /** Whether it comes again in every round. */
  readonly everyRound: boolean;
  /** The part of the run's configuration that decides what it makes; null where the run does without it. */
  config(run: RunConfig): unknown;
  /** Files outside the run whose contents decide what it makes. */
  files(run: RunConfig): readonly string[];
  /** Earlier stages that it reads from, in this round and before; those that the run does without are left out by the planner. */
  inputs(round: number): readonly string[];
  estimate(run: RunConfig, facts: ModelFacts): Estimate;
  /** Its metrics in a few words, for the line that ends it. */
  summary(metrics: Readonly<Record<string, number>>): string;
  execute(context: StageContext): Promise<StageResult>;
}

/** What estimates need to know of a model. */
export interface ModelFacts {
  readonly parameters: number;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  /** Of one weight as it will be held in memory. */
  readonly bytesPerWeight: number;
}

/** `round1/x` is plain `x`: most runs have one round. */
export function stageId(name: string, round: number): string {
  return round === 1 ? name : `round${round}/${name}`;
}
