/** Where in the user's code a tensor operation was called. */

const FOLDER = new URL('.', import.meta.url).href;

/** `at name (file:///folder/file.ts:1:2)` or `at /folder/file.ts:1:2`; the folder may have parentheses in its name. */
const PLACE = /^\s*at (?:async )?(?:.*? \()?((?:file:\/\/|\/|[A-Za-z]:\\).*?:\d+:\d+)\)?$/;

/** The first place on a stack outside this folder (its tests count as outside). */
export function callerOf(stack: unknown): string | undefined {
  // An Error.prepareStackTrace of somebody else's may make anything of a stack.
  if (typeof stack !== 'string') return undefined;
  for (const line of stack.split('\n').slice(1)) {
    const place = PLACE.exec(line)?.[1];
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
  if (typeof error.stack === 'string') error.stack = error.stack.replace(before, () => error.message);
  return error;
}
