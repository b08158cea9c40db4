/** What made a result: the same sources, runtime and libtorch are needed to make it again to the last bit. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../setup/paths.mjs';
import { torch } from '../tensor/index.ts';

export function versions(): Record<string, string | null> {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string };
  return {
    nudge: version,
    node: process.versions.node,
    torch: torch.version().torch,
    threads: String(torch.getNumThreads()),
  };
}
