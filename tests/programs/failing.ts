/** A worker that dies of an exception in the middle of a scope, with tensors alive and modes entered. */
import { torch } from '../../src/tensor/index.ts';

torch.ones([1000]);
torch.noGrad(() =>
  torch.scope(() => {
    torch.ones([1000]);
    torch.ones([2]).add(torch.ones([3]));
  }),
);
