/** A trainer's run inside a stage. */
import type { TrainRun } from '../../train/index.ts';
import type { StageContext } from '../stage.ts';

/** The stage's directory is the trainer's: it goes on there after a crash. Its steps are the stage's progress. */
export function trainRun({
  directory,
  signal,
  report,
}: Pick<StageContext, 'directory' | 'signal' | 'report'>): TrainRun {
  return {
    directory,
    signal,
    onEvent(event) {
      if (event.type === 'note') report({ type: 'note', text: event.text });
      if (event.type !== 'step') return;
      const { step, totalSteps, metrics, tokensPerSecond } = event;
      report({ type: 'progress', done: step, total: totalSteps, detail: 'steps', metrics, tokensPerSecond });
    },
  };
}
