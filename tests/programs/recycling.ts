/**
 * Makes and frees tensors of many sizes, one at a time, and several at once as steps of different lengths do. Prints how much
 * memory the process holds on to, in MiB, and how many tensors did not hold what was written to them.
 */
import { torch } from '../../src/tensor/index.ts';

const MIB = 2 ** 20;
const start = process.memoryUsage.rss();
const held = (): number => Math.round((process.memoryUsage.rss() - start) / MIB);
/** From 4 to 23 MiB, 270 MiB together. */
const everySize = (): void => {
  for (let i = 0; i < 20; i++) torch.scope(() => void torch.ones([(4 + i) * MIB], { dtype: 'uint8' }));
};

everySize();
const first = held();
try {
  torch.empty([2 ** 45]);
} catch {}
everySize();
const afterFailure = held();
torch.emptyCache();
const emptied = held();

/** Five tensors at once, of 2 to 30 MiB, a fifth longer or shorter than those of the step before. */
let wrong = 0;
const step = (length: number): void =>
  torch.scope(() => {
    const sizes = [2, 5, 9, 17, 30].map((size) => Math.round(size * length * MIB));
    const made = sizes.map((size, i) => torch.full([size], i + 1, { dtype: 'uint8' }));
    for (const [i, x] of made.entries()) if (x.min().item() !== i + 1 || x.max().item() !== i + 1) wrong++;
  });
for (const length of [1, 1.2, 0.9, 1.1, 0.8, 1.3, 1, 1.2, 0.7]) step(length);
const steps = held();
console.log(JSON.stringify({ first, afterFailure, emptied, steps, wrong }));
