import { NudgeError } from '../../errors.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import { Module } from '../module.ts';

/**
 * While training, zeroes each element with probability p and scales the rest by 1 / (1 - p); in evaluation it returns its input.
 * RLHF wants it off everywhere: with dropout the policy that sampled and the policy that is scored differ.
 */
export class Dropout extends Module {
  readonly p: number;

  constructor(p = 0.5) {
    super();
    if (!(p >= 0 && p < 1)) {
      throw new NudgeError('BAD_ARGUMENT', 'A dropout probability must leave something over.', {
        path: 'Dropout.p',
        expected: '0 <= p < 1',
        received: String(p),
      });
    }
    this.p = p;
  }

  forward(x: Tensor): Tensor {
    return this.training && this.p > 0 ? torch.dropout(x, this.p, true) : x; // same shape
  }
}
