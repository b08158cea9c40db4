/** What made a result: the same sources, runtime and libtorch are needed to make it again to the last bit. */
import { packageVersion } from '../setup/paths.mjs';
import { torch } from '../tensor/index.ts';

export function versions(): Record<string, string | null> {
  return {
    nudge: packageVersion(),
    node: process.versions.node,
    torch: torch.version().torch,
    threads: String(torch.getNumThreads()),
  };
}
