/**
 * Every error that a user can meet.
 *
 * One shape for all of them: what went wrong, where, what was expected, what was received and what to do about it.
 * `code` is stable and meant for programs; the message is meant for people. An `InvariantError` is different in kind:
 * it says that Nudge itself has a bug.
 */

/** Stable identifiers. Add one here before you throw it; never reuse a code for another meaning. */
export type ErrorCode =
  | 'ENGINE_NOT_SET_UP'
  | 'ENGINE_LOAD_FAILED'
  | 'OPERATOR_FAILED'
  | 'OPERATOR_ARGUMENT'
  | 'STALE_TENSOR'
  | 'SHAPE_MISMATCH'
  | 'DTYPE_MISMATCH'
  | 'BAD_ARGUMENT'
  | 'BAD_FILE'
  | 'FILE_EXISTS'
  | 'IO_FAILED'
  | 'DISK_FULL'
  | 'CHECKSUM'
  | 'OFFLINE'
  | 'HUB_UNREACHABLE'
  | 'HUB_FAILED'
  | 'MODEL_NOT_FOUND'
  | 'MODEL_GATED'
  | 'MODEL_UNAVAILABLE'
  | 'DOWNLOAD_FAILED'
  | 'SERVER_UNREACHABLE'
  | 'SERVER_FAILED'
  | 'TRAINING_DIVERGED'
  | 'NOT_FOUND'
  | 'CONFLICT'
  | 'STORE_BUSY'
  | 'RUN_BUSY'
  | 'BENCH_FAILED';

export interface ErrorDetails {
  /** Where: a file, a tensor's name, an argument, a config path such as `train.lr`. */
  path?: string;
  expected?: string;
  received?: string;
  /** What the user can do now, as an imperative sentence. */
  remedy?: string;
  cause?: unknown;
}

/** An error with a code, the place, what was expected and received, and the remedy. */
export class NudgeError extends Error {
  readonly code: ErrorCode;
  declare readonly path?: string;
  declare readonly expected?: string;
  declare readonly received?: string;
  declare readonly remedy?: string;

  constructor(code: ErrorCode, summary: string, details: ErrorDetails = {}) {
    super(renderMessage(summary, details), details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'NudgeError';
    this.code = code;
    const { cause: _, ...said } = details;
    Object.assign(this, said);
  }

  /** The error as data, for `--json`. */
  toJSON(): Record<string, string | undefined> {
    const { code, message, path, expected, received, remedy } = this;
    return { code, message, path, expected, received, remedy };
  }
}

/** A broken promise inside Nudge. Users should report it; nothing they passed can be at fault. */
export class InvariantError extends Error {
  constructor(message: string) {
    super(`${message}\nThis is a bug in Nudge, not in your input. Please report it with the stack below.`);
    this.name = 'InvariantError';
  }
}

function renderMessage(summary: string, details: ErrorDetails): string {
  const lines = [summary];
  if (details.path !== undefined) lines.push(`  where:    ${details.path}`);
  if (details.expected !== undefined) lines.push(`  expected: ${details.expected}`);
  if (details.received !== undefined) lines.push(`  received: ${details.received}`);
  if (details.remedy !== undefined) lines.push(`  remedy:   ${details.remedy}`);
  return lines.join('\n');
}
