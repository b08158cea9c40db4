/** Ends the process while workers and the main thread compute: by process.exit, by an uncaught exception, by running out. */
import { Worker } from 'node:worker_threads';
import { torch } from '../../src/tensor/index.ts';

const how = process.argv[2];
torch.setNumThreads(1);
const workers = ['backward', 'map'].map(
  (workerData) => new Worker(new URL('./busy.ts', import.meta.url), { workerData }),
);
await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));

const held = [torch.randn([64, 64], { requiresGrad: true })];
for (let i = 0; i < 20; i++) held.push((held.at(-1) as (typeof held)[0]).matmul(torch.randn([64, 64])).tanh());
torch.inferenceMode(() =>
  torch.scope(() => {
    torch.ones([4]).map();
    if (how === 'exit') process.exit(7);
    if (how === 'throw') throw new Error('uncaught on purpose');
    if (how === 'reject') void Promise.reject(new Error('unhandled on purpose'));
  }),
);
for (const worker of workers) worker.unref();
