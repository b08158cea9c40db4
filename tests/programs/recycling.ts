/** Makes and frees tensors of many sizes, one at a time. Prints how much memory the process holds on to, in MiB. */
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
console.log(JSON.stringify({ first, afterFailure, emptied }));
