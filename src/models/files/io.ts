/** The operating system's refusals as Nudge's errors: what was tried, on which path, and the way out. */

import { NudgeError } from '../../errors.ts';

const REMEDIES: Readonly<Record<string, string>> = {
  ENOENT: 'Check the path; create the directory first when you save.',
  ENOTDIR: 'Check the path: one of its parts is a file, not a directory.',
  EISDIR: 'Pass the path of a file, not of a directory.',
  EACCES: 'Check the permissions of the path and its directories.',
  EPERM: 'Check the permissions of the path and its directories.',
  EROFS: 'Choose a path on a file system that can be written.',
  ENOSPC: 'Free space on the disk or choose a path on another one, then save again.',
  EDQUOT: 'Free some of your disk quota or choose a path on another disk, then save again.',
  EFBIG: 'Save into smaller files with `maxShardBytes`.',
  EMFILE: 'Raise the limit of open files (`ulimit -n`) or close files you no longer need.',
  EIO: 'The disk reports a fault: check its health before you rely on this file.',
};

/**
 * Wraps an error of `node:fs`.
 *
 * @param action as a verb: "open", "read", "write".
 * @param consequence a sentence that follows the summary.
 */
export function ioFailed(action: string, path: string, cause: unknown, consequence = ''): NudgeError {
  const code = errorCode(cause);
  const remedy = code !== undefined && Object.hasOwn(REMEDIES, code) ? REMEDIES[code] : undefined;
  return new NudgeError('IO_FAILED', `Could not ${action} the file. ${consequence}`.trimEnd(), {
    path,
    received: cause instanceof Error ? cause.message : String(cause),
    ...(remedy === undefined ? {} : { remedy }),
    cause,
  });
}

/** The `code` of a system error, such as `ENOENT`. */
export function errorCode(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
