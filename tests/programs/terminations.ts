/** Terminates workers in the middle of their work, as many rounds of two as told. Prints what memory is left. */
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { torch } from '../../src/tensor/index.ts';

const rounds = Number(process.argv[2]);
const kinds = [
  'matmul',
  'backward',
  'scopes',
  'errors',
  'item',
  'tolist',
  'lists',
  'map',
  'print',
  'modes',
  'generator',
  'loose',
];
const before = torch.memory();

for (let round = 0; round < rounds; round++) {
  const workers = [0, 1].map(
    (i) => new Worker(new URL('./busy.ts', import.meta.url), { workerData: kinds[(2 * round + i) % kinds.length] }),
  );
  if (round % 5 === 4) {
    // While it starts: anywhere between loading Node and loading libtorch.
    await setTimeout(Math.random() * 300);
  } else {
    await Promise.all(
      workers.map(
        (worker) => new Promise((resolve, reject) => void worker.once('message', resolve).once('error', reject)),
      ),
    );
    await setTimeout(Math.random() * 30);
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
}
console.log(JSON.stringify({ before, after: torch.memory() }));
