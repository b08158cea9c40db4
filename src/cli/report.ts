/** How an error that ends a command is shown: as text for people, as one JSON object for programs. */

import { type ErrorCode, InvariantError, NudgeError } from '../errors.ts';
import { SetupError } from '../setup/failure.mjs';

/** The errors that the input of the command line is to blame for. */
const BAD_INPUT: ReadonlySet<ErrorCode> = new Set(['BAD_ARGUMENT', 'BAD_FILE', 'FILE_EXISTS', 'MODEL_NOT_FOUND']);

/**
 * Prints an error and returns the exit code for it: 2 for bad input, else 1.
 *
 * A NudgeError speaks for itself, so it has no stack unless NUDGE_DEBUG=1. Anything else is a bug and shows its stack.
 */
export function reportError(error: unknown, json: boolean): 1 | 2 {
  if (json) process.stdout.write(`${JSON.stringify({ ok: false, error: errorAsData(error) })}\n`);
  else process.stderr.write(`${errorAsText(error)}\n`);
  if (error instanceof NudgeError) return BAD_INPUT.has(error.code) ? 2 : 1;
  return error instanceof SetupError ? (error.exitCode as 1 | 2) : 1;
}

function errorAsText(error: unknown): string {
  if (!(error instanceof Error)) return `Error: ${String(error)}`;
  const expected = error instanceof NudgeError || error instanceof SetupError;
  if (expected && process.env.NUDGE_DEBUG !== '1') return `Error: ${error.message}`;
  const note =
    expected || error instanceof InvariantError
      ? ''
      : '\nThis is a bug in Nudge. Please report it with the lines above.';
  return `${error.stack ?? error.message}${note}`;
}

function errorAsData(error: unknown): unknown {
  if (error instanceof NudgeError || error instanceof SetupError) return error.toJSON();
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'BUG', message, stack: error instanceof Error ? error.stack : undefined };
}
