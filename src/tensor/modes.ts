/** Thread-local modes. All synchronous, all restored when the function throws. */

import { NudgeError } from '../errors.ts';
import { type DType, dtypeCode } from './dtype.ts';
import { native } from './native.ts';
import { checkOptions } from './options.ts';
import { refusePromise } from './scope.ts';

/** A mode that outlived its function through a Promise would leak into whatever runs meanwhile. */
function synchronous<T>(result: T, name: string): T {
  const problem = `torch.${name}() got an async function: the mode ends at its first await`;
  return refusePromise(result, problem, 'Enter the mode inside, around the synchronous part.');
}

function withGrad<T>(enabled: boolean, name: string, fn: () => T): T {
  const before = native.setGradEnabled(enabled);
  try {
    return synchronous(fn(), name);
  } finally {
    native.setGradEnabled(before);
  }
}

/** Runs `fn` without recording for autograd. */
export function noGrad<T>(fn: () => T): T {
  return withGrad(false, 'noGrad', fn);
}

/** Records again inside `noGrad`. */
export function enableGrad<T>(fn: () => T): T {
  return withGrad(true, 'enableGrad', fn);
}

export function isGradEnabled(): boolean {
  return native.isGradEnabled();
}

/** `noGrad` without even version counters: faster still, but what is made inside can never take part in autograd. */
export function inferenceMode<T>(fn: () => T): T {
  native.pushInferenceMode(true);
  try {
    return synchronous(fn(), 'inferenceMode');
  } finally {
    native.popInferenceMode();
  }
}

export interface AutocastOptions {
  /** `'cpu'` or `'cuda'`. Default `'cpu'`. */
  device?: string;
  /** `'bfloat16'` or `'float16'`. Default bfloat16 on the CPU, float16 on CUDA, as in torch. */
  dtype?: DType;
  /** False switches an enclosing autocast off. Default true. */
  enabled?: boolean;
}

/** The autocasts around the running code, the innermost last. */
const autocasts: AutocastOptions[] = [];

/** Runs matrix products and the like in the lower precision, and what needs the range in float32. */
export function autocast<T>(options: AutocastOptions, fn: () => T): T {
  checkOptions(options, ['device', 'dtype', 'enabled'], 'torch.autocast');
  const { device = 'cpu', dtype, enabled = true } = options;
  if (dtype !== undefined && dtype !== 'bfloat16' && dtype !== 'float16') {
    throw new NudgeError('BAD_ARGUMENT', 'autocast computes in a 16-bit float', {
      expected: "'bfloat16' or 'float16'",
      received: JSON.stringify(dtype),
    });
  }
  native.pushAutocast(device, enabled, dtype === undefined ? undefined : dtypeCode(dtype));
  autocasts.push(options);
  try {
    return synchronous(fn(), 'autocast');
  } finally {
    autocasts.pop();
    native.popAutocast();
  }
}

/** The autocasts around the running code, the outermost first: what a later recomputation must enter again. */
export function autocastState(): readonly AutocastOptions[] {
  return [...autocasts];
}
