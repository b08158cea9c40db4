/** Facts about the machine, read from the operating system. Nothing here judges them. */

import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { dirname } from 'node:path';

export interface Machine {
  platform: string;
  arch: string;
  cpu: string;
  /** Cores that this process may use. */
  cores: number;
  /** Cores' worth of time that the container may use; null when it is not limited. */
  cpuQuota: number | null;
  /** Of those that matter to speed: AVX2, AVX512, AVX512_BF16, AMX_BF16, NEON, ... */
  instructionSets: string[];
  /** Bytes. */
  memory: { total: number; available: number; limit: number | null };
}

/** Flags of /proc/cpuinfo, x86 and ARM, and what they are called here. */
const FLAGS: readonly (readonly [flag: string, name: string])[] = [
  ['avx2', 'AVX2'],
  ['fma', 'FMA'],
  ['avx512f', 'AVX512'],
  ['avx512_vnni', 'AVX512_VNNI'],
  ['avx512_bf16', 'AVX512_BF16'],
  ['amx_tile', 'AMX'],
  ['amx_bf16', 'AMX_BF16'],
  ['asimd', 'NEON'],
  ['bf16', 'BF16'],
  ['i8mm', 'I8MM'],
  ['sve', 'SVE'],
];

export function readMachine(): Machine {
  return {
    platform: process.platform,
    arch: process.arch,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    cpuQuota: readCpuQuota(),
    instructionSets: instructionSets(readText('/proc/cpuinfo'), process.arch),
    memory: { total: totalmem(), available: availableMemory(readText('/proc/meminfo')), limit: readMemoryLimit() },
  };
}

/**
 * @param cpuinfo Content of /proc/cpuinfo, null where there is none (macOS).
 */
export function instructionSets(cpuinfo: string | null, arch: string): string[] {
  if (cpuinfo === null) return arch === 'arm64' ? ['NEON'] : [];
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? '';
  const flags = new Set(line.split(/\s+/));
  return FLAGS.filter(([flag]) => flags.has(flag)).map(([, name]) => name);
}

/** Bytes that programs can take without swapping: free memory and what caches can give back. */
export function availableMemory(meminfo: string | null): number {
  const kib = /^MemAvailable:\s*(\d+) kB/m.exec(meminfo ?? '')?.[1];
  return kib === undefined ? freemem() : Number(kib) * 1024;
}

/** The container's limit in bytes, where one is set (control groups version 2, then 1). */
function readMemoryLimit(): number | null {
  for (const path of [
    `${ownGroup()}/memory.max`,
    '/sys/fs/cgroup/memory.max',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes',
  ]) {
    const limit = Number(readText(path)?.trim());
    // "max" is not a number; version 1 says "none" with a huge one.
    if (Number.isFinite(limit) && limit > 0 && limit < 2 ** 60) return limit;
  }
  return null;
}

function readCpuQuota(): number | null {
  for (const path of [`${ownGroup()}/cpu.max`, '/sys/fs/cgroup/cpu.max']) {
    const [quota, period] = (readText(path) ?? '').trim().split(' ').map(Number);
    if (quota !== undefined && period !== undefined && quota > 0 && period > 0) return quota / period;
  }
  return null;
}

function ownGroup(): string {
  const group = /^0::(.+)$/m.exec(readText('/proc/self/cgroup') ?? '')?.[1] ?? '';
  return `/sys/fs/cgroup${group.trim()}`;
}

/** Free bytes where `path` is, or will be. */
export function freeDisk(path: string): number | null {
  let folder = path;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return null;
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
