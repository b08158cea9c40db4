/** A worker that computes until it is terminated. `workerData` names what it does most; it says so when it has begun. */
import { parentPort, workerData } from 'node:worker_threads';
import { type Tensor, torch } from '../../src/tensor/index.ts';

const square = (size: number, requiresGrad = false): Tensor => torch.randn([size, size], { requiresGrad });

/** One round of each kind of work; a termination lands somewhere in the middle of one. */
const WORK = {
  matmul: () => torch.scope(() => square(128).matmul(square(128)).sum().item()),
  backward: () => torch.scope(() => square(64, true).matmul(square(64)).tanh().matmul(square(64)).sum().backward()),
  scopes: () =>
    torch.scope(() => {
      for (let i = 0; i < 50; i++) torch.scope(() => torch.scope(() => [square(4), square(4)]).map((x) => x.add(1)));
    }),
  errors: () =>
    torch.scope(() => {
      for (let i = 0; i < 20; i++) {
        try {
          torch.scope(() => {
            square(4);
            return square(4).add(torch.ones([7]));
          });
        } catch {}
      }
    }),
  item: () => torch.scope(() => square(8).sum().item()),
  tolist: () => torch.scope(() => square(64).tolist()),
  lists: () => torch.scope(() => torch.cat(Array.from({ length: 200 }, () => torch.ones([1])))),
  map: () => torch.scope(() => (square(64).map() as Float32Array).fill(1)),
  print: () => torch.scope(() => String(square(40))),
  modes: () =>
    torch.inferenceMode(() =>
      torch.autocast({}, () => torch.noGrad(() => torch.scope(() => square(64).matmul(square(64))))),
    ),
  generator: () => torch.scope(() => torch.rand([64], { generator: new torch.Generator({ seed: 1 }) })),
  loose: () => void square(16).add(1),
} satisfies Record<string, () => unknown>;

export type Work = keyof typeof WORK;

torch.setNumThreads(1);
const work = WORK[workerData as Work];
work();
parentPort?.postMessage('begun');
for (;;) work();
