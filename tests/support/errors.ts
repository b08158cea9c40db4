/** Errors as tests look at them. */
import { basename } from 'node:path';
import { expect } from 'vitest';
import { NudgeError } from '../../src/errors.ts';

/** The NudgeError that `fn` throws. Fails the test where it throws nothing, or something that a user could not act on. */
export function errorOf(fn: () => unknown): NudgeError {
  let result: unknown;
  try {
    result = fn();
  } catch (error) {
    expect(error).toBeInstanceOf(NudgeError);
    return error as NudgeError;
  }
  throw new Error(`expected a NudgeError, but the call returned ${String(result)}`);
}

/** Its message, with the caller's place cut down to `file:<line>`. */
export function messageOf(fn: () => unknown): string {
  return errorOf(fn).message.replace(
    /called at (.*):\d+:\d+$/gm,
    (_, path: string) => `called at ${basename(path)}:<line>`,
  );
}
