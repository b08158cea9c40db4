/** A worker that fills its JavaScript heap while it computes. */
import { torch } from '../../src/tensor/index.ts';

const held: unknown[] = [];
for (;;) {
  held.push(torch.ones([100]), Array(10_000).fill(Math.random()));
  torch.scope(() => torch.ones([100]).tolist());
}
