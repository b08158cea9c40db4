/**
 * The one error of set-up. It has the shape of `NudgeError` (src/errors.ts), which plain JavaScript that must run on an
 * old Node with nothing installed cannot import: what went wrong, where, expected, received, remedy.
 */

/**
 * Stable identifiers of what can go wrong in set-up.
 *
 * @typedef {'BAD_OPTION' | 'BAD_CONFIG' | 'BAD_TORCH' | 'TORCH_TOO_OLD' | 'TORCH_TOO_NEW' | 'UNSUPPORTED_PLATFORM'
 *   | 'NODE_TOO_OLD' | 'NO_PYTHON' | 'NO_PIP' | 'NO_MAKE' | 'NO_COMPILER' | 'COMPILER_TOO_OLD' | 'NO_NPM'
 *   | 'NO_NETWORK' | 'NO_WHEEL' | 'NO_CUDA_WHEEL' | 'CERTIFICATE' | 'CHECKSUM' | 'DISK_FULL' | 'CACHE_NOT_WRITABLE'
 *   | 'PACKAGES_FAILED' | 'DOWNLOAD_FAILED' | 'UNPACK_FAILED' | 'BUILD_FAILED' | 'OUT_OF_MEMORY' | 'ADDON_UNLOADABLE'
 *   | 'ENGINE_NOT_SET_UP' | 'INTERRUPTED' | 'LOCKED'} SetupErrorCode
 */

/**
 * @typedef {object} SetupErrorDetails
 * @property {string} [path] Where: a file, a variable, an option.
 * @property {string} [expected]
 * @property {string} [received]
 * @property {string} [remedy] What the user can do now, as an imperative sentence.
 * @property {unknown} [cause]
 */

export class SetupError extends Error {
  /**
   * @param {SetupErrorCode} code
   * @param {string} summary One sentence: what went wrong.
   * @param {SetupErrorDetails} [details]
   * @param {1 | 2} [exitCode] 2 when the user's input is at fault.
   */
  constructor(code, summary, details = {}, exitCode = 1) {
    super(render(summary, details), details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'SetupError';
    this.code = code;
    this.summary = summary;
    this.details = details;
    this.exitCode = exitCode;
  }

  /** The error as data, for `--json`. */
  toJSON() {
    const { path, expected, received, remedy } = this.details;
    return { code: this.code, message: this.message, path, expected, received, remedy };
  }
}

/**
 * @param {string} summary
 * @param {SetupErrorDetails} details
 */
function render(summary, details) {
  const lines = [summary];
  if (details.path !== undefined) lines.push(`  where:    ${details.path}`);
  if (details.expected !== undefined) lines.push(`  expected: ${details.expected}`);
  if (details.received !== undefined) lines.push(`  received: ${details.received}`);
  if (details.remedy !== undefined) lines.push(`  remedy:   ${details.remedy}`);
  return lines.join('\n');
}

/** Matches what npm, pip, the compiler and the operating system say when a disk or a quota is full. */
export const DISK_FULL = /No space left on device|ENOSPC|Errno 28|EDQUOT|[Dd]isk quota exceeded/;

/**
 * @param {string} path The folder that could not take more.
 * @param {string} [received]
 */
export function diskFull(path, received) {
  return new SetupError('DISK_FULL', 'The disk is full.', {
    path,
    ...(received === undefined ? {} : { received }),
    remedy: 'free some space there, or set NUDGE_CACHE to a folder on another disk, and run the same command again',
  });
}

/**
 * Turns an error of the file system into a SetupError where its meaning is known; anything else is returned as it is.
 *
 * @param {unknown} error
 * @param {string} path
 */
export function explainFileError(error, path) {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(path);
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new SetupError('CACHE_NOT_WRITABLE', 'Nudge cannot write to its cache folder.', {
      path,
      received: error instanceof Error ? error.message : String(error),
      remedy: 'make the folder writable, or set NUDGE_CACHE to a folder that is',
      cause: error,
    });
  }
  return error;
}
