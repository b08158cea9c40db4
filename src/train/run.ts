/** What every trainer has around it: a directory, a way to stop it, and somebody who listens. */
import type { Metrics } from './metrics.ts';

export type TrainEvent =
  /** After every optimiser step. */
  | {
      readonly type: 'step';
      /** Steps done, from 1 to `totalSteps`. */
      readonly step: number;
      readonly totalSteps: number;
      readonly metrics: Metrics;
      /** Tokens computed a second in this step, padding never among them. */
      readonly tokensPerSecond: number;
    }
  /** Something the user should know: a warning of the preflight, a damaged checkpoint, where a run goes on. */
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'evaluated'; readonly step: number; readonly metrics: Metrics }
  | { readonly type: 'checkpoint'; readonly step: number; readonly path: string };

/** Where and how a trainer runs. */
export interface TrainRun {
  /**
   * Checkpoints, metrics and results go here. Called again with the same inputs, configuration and directory, a trainer goes on
   * from its last checkpoint and ends as if it had never stopped, whether it was stopped, killed or out of power.
   */
  directory: string;
  /** When aborted, the step under way ends, a checkpoint is saved and the result says `stopped: true`. */
  signal?: AbortSignal;
  onEvent?: (event: TrainEvent) => void;
  /** Stops after this step as an aborted signal does. Steps count from the beginning of the run, not of the call. */
  stopAfter?: number;
}
