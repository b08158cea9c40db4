/** The main thread never loads libtorch; workers do, one after another, ended or terminated. Then the main thread does too. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

for (let i = 0; i < 3; i++) {
  const worker = new Worker(new URL('./busy.ts', import.meta.url), { workerData: 'backward' });
  await once(worker, 'message');
  await worker.terminate();
}
/** The code of the error that a worker ends with. */
const endOf = (worker: Worker): Promise<string> =>
  new Promise((resolve) => {
    let code = 'none';
    worker.on('error', (error: Error & { code: string }) => {
      code = error.code;
    });
    worker.on('exit', () => resolve(code));
  });

const error = await endOf(new Worker(new URL('./failing.ts', import.meta.url)));
const outOfMemory = await endOf(
  new Worker(new URL('./hungry.ts', import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: 30 } }),
);

const { torch } = await import('../../src/tensor/index.ts');
const memory = torch.memory();
const sum = torch.scope(() => torch.ones([3]).sum().item());
console.log(JSON.stringify({ error, outOfMemory, memory, sum }));
