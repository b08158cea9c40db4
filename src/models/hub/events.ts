/** What a search or a download tells its caller, and how it is shown. */

import type { Progress } from '../../setup/progress.mjs';
import { size } from '../../setup/progress.mjs';

/** Where a model came from. A single file counts as a local directory. */
export type ModelSource = 'local directory' | 'cache' | 'hub' | 'pypi';

/** A source that was tried in vain, and why. */
export interface Attempt {
  readonly source: ModelSource;
  /** One line. */
  readonly reason: string;
}

export type ModelEvent =
  /** A source is about to be asked. */
  | { readonly type: 'trying'; readonly source: ModelSource; readonly detail: string }
  /** It could not help; the next one is tried. */
  | { readonly type: 'failed'; readonly source: ModelSource; readonly reason: string }
  /** A download gets on. `done` counts what was there before it began too, `before` only that. In bytes. */
  | {
      readonly type: 'progress';
      readonly source: ModelSource;
      readonly detail: string;
      readonly done: number;
      readonly total: number;
      readonly before: number;
    }
  /** Worth a line: a retry, a wait for another process. */
  | { readonly type: 'note'; readonly text: string };

export type OnEvent = (event: ModelEvent) => void;

/** Shows events on the progress line that set-up uses too: the caller begins and ends it. */
export function showOn(progress: Progress): OnEvent {
  return (event) => {
    if (event.type === 'trying') progress.update(event.detail);
    else if (event.type === 'failed') progress.note(`  ${sourceName(event.source)}: ${event.reason}`);
    else if (event.type === 'note') progress.note(`  ${event.text}`);
    else {
      const { detail, done, total, before } = event;
      // The time that is left follows from what was fetched now, not from what lay there.
      const share = total > before ? (done - before) / (total - before) : 0;
      progress.update(`${detail}, ${size(done)} of ${size(total)}`, share);
    }
  };
}

export function sourceName(source: ModelSource): string {
  return { 'local directory': 'local path', cache: 'cache', hub: 'hub', pypi: 'PyPI' }[source];
}
