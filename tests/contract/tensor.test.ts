/** Runs the contract of the tensor library on every device at hand. */
import { describe, it } from 'vitest';
import { torch } from '../../src/tensor/index.ts';
import { tensorContract } from './tensor.ts';

tensorContract('cpu');

for (const [kind, device] of [
  ['cuda', 'cuda:0'],
  ['mps', 'mps'],
] as const) {
  if (torch.isAvailable(kind)) tensorContract(device);
  else
    describe.skip(`tensors on ${device}: skipped, this machine or this build of libtorch has no ${kind} device`, () =>
      it('runs'));
}
