/** Where in the user's code a tensor operation was called. */

const FOLDER = new URL('.', import.meta.url).href;

/** The first place on a stack outside this folder (its tests count as outside). */
export function callerOf(stack: string | undefined): string | undefined {
  for (const line of (stack ?? '').split('\n').slice(1)) {
    const place = /\(?((?:file:|\/|[A-Za-z]:\\)[^()]+:\d+:\d+)\)?$/.exec(line)?.[1];
    if (place === undefined) continue;
    const url = place.startsWith('file:') ? place : `file://${place}`;
    if (!url.startsWith(FOLDER) || /\.test\.[cm]?[jt]s:/.test(url)) return place;
  }
  return undefined;
}

/** Adds the caller's line to an error's message. */
export function atCaller<E extends Error>(error: E): E {
  const caller = callerOf(error.stack);
  if (caller === undefined) return error;
  const before = error.message;
  error.message = `${before}\n  called at ${caller}`;
  if (error.stack !== undefined) error.stack = error.stack.replace(before, () => error.message);
  return error;
}
