/** Makes tens of thousands of calls that fail, each in its way. Prints what they left behind. */
import { torch } from '../../src/tensor/index.ts';

const collect = globalThis.gc as () => void;
torch.setNumThreads(1);
const x = torch.ones([2, 3]);
const other = torch.ones([7]);
const freed = torch.ones([1]);
freed.dispose();

const failures: Record<string, () => unknown> = {
  shape: () => x.add(other),
  function: () => torch.matmul(x, x),
  list: () => torch.cat([x, other]),
  several: () => x.max(9),
  type: () => x.add('1' as never),
  option: () => x.sum(0, { keepDim: true } as never),
  byName: () => torch.call('aten::add.Tensor', x, other, 2),
  freed: () => x.mul(freed),
  graph: () => torch.grad([x.sum()], [x]),
  item: () => x.item(),
  data: () => torch.fromBytes(new Uint8Array(3), [1], 'float32'),
  scope: () =>
    torch.scope(() => {
      torch.ones([8]);
      throw new Error('inside');
    }),
};

/** What the process holds besides V8's heap, whose size varies by itself. */
const nativeBytes = (): number => {
  collect();
  const { rss, heapTotal } = process.memoryUsage();
  return rss - heapTotal;
};
const round = (times: number): number => {
  let failed = 0;
  for (const fail of Object.values(failures)) {
    for (let i = 0; i < times; i++) {
      try {
        torch.scope(fail);
      } catch {
        failed++;
      }
    }
  }
  return failed;
};

round(300);
const tensors = torch.memory().tensors;
let failed = 0;
// Memory that the allocator takes once and keeps shows in one round; a leak shows in each.
const growth: number[] = [];
for (let i = 0; i < 3; i++) {
  const before = nativeBytes();
  const calls = round(500);
  growth.push((nativeBytes() - before) / calls);
  failed += calls;
}
console.log(JSON.stringify({ failed, tensors: torch.memory().tensors - tensors, bytesPerCall: Math.min(...growth) }));
