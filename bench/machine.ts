/** What a result was measured on: without it a number means nothing. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { type Machine, readMachine } from '../src/cli/doctor/machine.ts';
import { packageRoot } from '../src/setup/paths.mjs';
import { torch } from '../src/tensor/index.ts';
import type { PeerVersions } from './peers/peer.ts';

/** The first line of `--json`. */
export interface Header {
  bench: string;
  date: string;
  machine: Pick<Machine, 'platform' | 'arch' | 'cpu' | 'cores' | 'cpuQuota' | 'instructionSets'> & {
    memoryBytes: number;
    /** How the cores' clock is governed; null where the system does not say (in a virtual machine, on macOS). */
    governor: string | null;
    /** Processes that ran or wanted to, on average over the last minute: what the benchmark had to share the cores with. */
    load: number;
  };
  versions: { nudge: string; node: string; torch: string; peer: PeerVersions | null };
  /** null outside a git repository. */
  commit: string | null;
  /** Whether files differ from the commit. */
  dirty: boolean;
  threads: number;
  rounds: number;
}

export function describeRun(run: Pick<Header, 'bench' | 'threads' | 'rounds'>, peer: PeerVersions | null): Header {
  const { platform, arch, cpu, cores, cpuQuota, instructionSets, memory } = readMachine();
  const root = packageRoot();
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const commit = git(root, 'rev-parse', 'HEAD');
  return {
    bench: run.bench,
    date: new Date().toISOString(),
    machine: {
      platform,
      arch,
      cpu,
      cores,
      cpuQuota,
      instructionSets,
      memoryBytes: memory.limit ?? memory.total,
      governor: readGovernor(),
      load: loadavg()[0]!,
    },
    versions: { nudge: manifest.version, node: process.versions.node, torch: torch.version().torch, peer },
    commit,
    dirty: commit !== null && git(root, 'status', '--porcelain') !== '',
    threads: run.threads,
    rounds: run.rounds,
  };
}

function git(root: string, ...args: string[]): string | null {
  try {
    return execFileSync('git', ['-C', root, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null;
  }
}

function readGovernor(): string | null {
  try {
    return readFileSync('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor', 'utf8').trim();
  } catch {
    return null;
  }
}
