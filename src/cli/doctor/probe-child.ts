/** Runs in a process of its own: loads libtorch and computes something whose result is known. */

import type { Probe } from './probe.ts';

const { torch } = await import('../../tensor/index.ts');

/** d/dA sum(A B): every row holds the row sums of B. */
function gradientIsRight(device: string): boolean {
  return torch.scope(() => {
    const a = torch.tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { device: device as 'cpu', requiresGrad: true },
    ); // [2, 2]
    const b = torch.tensor(
      [
        [5, 6],
        [7, 8],
      ],
      { device: device as 'cpu' },
    ); // [2, 2]
    const sum = a.matmul(b).sum(); // []
    sum.backward();
    return sum.item() === 134 && JSON.stringify(a.grad?.tolist()) === '[[11,15],[11,15]]';
  });
}

const { torch: version, cpuCapability, parallelInfo, config, mkldnn, openmp, mkl } = torch.version();
const devices = torch.devices().map((name) => {
  try {
    return { name, computes: gradientIsRight(name), error: null };
  } catch (error) {
    return { name, computes: false, error: error instanceof Error ? error.message : String(error) };
  }
});
const probe: Probe = {
  torch: version,
  cpuCapability,
  parallelInfo,
  config,
  mkldnn,
  openmp,
  mkl,
  threads: torch.getNumThreads(),
  devices,
};
process.send?.(probe, () => process.exit(0));
