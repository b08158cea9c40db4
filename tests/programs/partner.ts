/** A worker that does with tensors what it is asked to, by message. */
import { parentPort, type TransferListItem } from 'node:worker_threads';
import { type Tensor, torch } from '../../src/tensor/index.ts';

torch.setNumThreads(1);
const held: Tensor[] = [];

const DEEDS = {
  /** Takes a tensor over, doubles it in place and gives it back. */
  double: (ticket: number) => torch.adopt(ticket).mul_(2).release(),
  /** Takes a tensor over and holds it. */
  hold: (ticket: number) => held.push(torch.adopt(ticket)),
  adoptError: (ticket: number) => {
    try {
      torch.adopt(ticket);
      return null;
    } catch (error) {
      return (error as { code?: string }).code;
    }
  },
  /** Differentiates a loss that the other thread computed. */
  backward: (ticket: number) => {
    using loss = torch.adopt(ticket);
    loss.backward();
  },
  /** A sum that only comes out right when nobody else writes to this thread's scratch memory. */
  compute: (rounds: number) => {
    let total = 0;
    for (let i = 0; i < rounds; i++) {
      total += torch.scope(() => torch.ones([3, 4]).permute([1, 0]).reshape([2, 6]).sum([0, 1]).item());
      torch.scope(() => torch.cat(Array.from({ length: 20 }, () => torch.zeros([2]))));
    }
    return total;
  },
  state: () => ({ gradEnabled: torch.isGradEnabled(), threads: torch.getNumThreads(), live: held.length }),
  setThreads: (threads: number) => torch.setNumThreads(threads),
  random: (seed: number) => {
    using generator = {
      numbers: torch.rand([4], { generator: new torch.Generator({ seed }) }),
      [Symbol.dispose]() {
        this.numbers.dispose();
      },
    };
    return generator.numbers.tolist();
  },
};

export type Deeds = typeof DEEDS;

parentPort?.on('message', ([deed, argument]: [keyof Deeds, never]) => {
  parentPort?.postMessage(DEEDS[deed](argument), [] as TransferListItem[]);
});
