import { NudgeError } from '../../errors.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import type { Parameter } from '../parameter.ts';

export interface ClipOptions {
  /** Throws where the norm is NaN or infinite, before any gradient is touched. Default false: gradients become NaN or 0, as in PyTorch. */
  errorIfNonFinite?: boolean;
}

/**
 * Scales all gradients by min(1, maxNorm / (‖g‖ + 1e-6)), where ‖g‖ is the 2-norm of all gradients as one vector
 * (Pascanu et al., arXiv 1211.5063, algorithm 1). Parameters without a gradient do not count.
 *
 * Same numbers as torch.nn.utils.clip_grad_norm_, except that norms of 16-bit gradients are taken in float32. Waits for the
 * device once.
 *
 * @returns ‖g‖ before clipping; 0 where there is no gradient.
 * @throws NudgeError BAD_ARGUMENT where maxNorm is not positive, or the norm not finite and `errorIfNonFinite` set.
 */
export function clipGradNorm(parameters: Iterable<Parameter>, maxNorm: number, options: ClipOptions = {}): number {
  if (!(maxNorm > 0)) {
    throw new NudgeError('BAD_ARGUMENT', 'Gradients can be clipped to a positive norm only.', {
      path: 'clipGradNorm.maxNorm',
      expected: 'a number > 0',
      received: String(maxNorm),
    });
  }
  return torch.scope(() =>
    torch.noGrad(() => {
      const byDevice = gradientsByDevice(parameters);
      const total = totalNorm(byDevice); // []
      if (total === null) return 0;
      const norm = Number(total.item());
      if (options.errorIfNonFinite && !Number.isFinite(norm)) throw nonFinite(norm);
      // In tensor arithmetic, as PyTorch does it: the last bit must agree.
      const coefficient = total.add(1e-6).reciprocal().mul(maxNorm).clampMax(1); // []
      if (coefficient.item() === 1) return norm;
      for (const [device, gradients] of byDevice) torch._foreachMul_(gradients, coefficient.to(device));
      return norm;
    }),
  );
}

/** The 2-norm of all gradients as one vector; 0 where there is none. */
export function gradNorm(parameters: Iterable<Parameter>): number {
  return torch.scope(() => torch.noGrad(() => Number(totalNorm(gradientsByDevice(parameters))?.item() ?? 0)));
}

function gradientsByDevice(parameters: Iterable<Parameter>): Map<Tensor['device'], Tensor[]> {
  const groups = new Map<Tensor['device'], Tensor[]>();
  for (const { grad } of parameters) {
    if (grad === null) continue;
    const group = groups.get(grad.device);
    if (group === undefined) groups.set(grad.device, [grad]);
    else group.push(grad);
  }
  return groups;
}

function totalNorm(byDevice: ReadonlyMap<string, Tensor[]>): Tensor | null {
  const norms: Tensor[] = []; // each []
  for (const gradients of byDevice.values()) {
    // A norm in bfloat16 would have 8 bits.
    const dtype = gradients.some((gradient) => gradient.dtype === 'float64') ? 'float64' : 'float32';
    norms.push(...torch._foreachNorm(gradients, 2, dtype));
  }
  const first = norms[0];
  if (first === undefined) return null;
  return torch.linalgVectorNorm(
    torch.stack(norms.map((norm) => norm.to({ device: first.device, dtype: first.dtype }))),
    2,
  ); // []
}

function nonFinite(norm: number): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'The norm of the gradients is not finite; nothing was clipped.', {
    path: 'clipGradNorm',
    expected: 'a finite norm',
    received: String(norm),
    remedy: 'Skip this step, lower the learning rate, or look for the first non-finite loss.',
  });
}
