/** Nudge's library: what `import ... from 'nudge-rlhf'` gives. */

export type { ErrorCode, ErrorDetails } from './errors.ts';
export { InvariantError, NudgeError } from './errors.ts';
export * as nn from './nn/index.ts';
export * from './tensor/index.ts';
