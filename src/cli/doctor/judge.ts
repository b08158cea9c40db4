/** Turns facts into findings: what is right, what is doubtful, what is wrong, and what to do about it. */

import { NODE_MINIMUM } from '../../setup/context.mjs';
import type { Facts } from './examine.ts';
import type { ProbeOutcome } from './probe.ts';

export interface Finding {
  status: 'ok' | 'warning' | 'error';
  name: string;
  detail: string;
  /** What the user can do now; always there unless all is well. */
  remedy?: string;
}

const GB = 1e9;
/** Below this, even the smallest model with its optimiser state does not fit. */
const MEMORY_WANTED = 2 * GB;
const DISK_WANTED = 2 * GB;

/** Signals that native code dies of, and what they usually mean here. */
const CRASHES: Partial<Record<NodeJS.Signals, string>> = {
  SIGILL:
    'this CPU lacks an instruction that libtorch uses: build libtorch for it and set NUDGE_TORCH, or use another machine',
  SIGKILL: 'the system ended the process, most likely for want of memory: free some, or raise the container’s limit',
  SIGBUS: 'a library file is shorter than it should be, or a disk is failing: run the set-up with --fresh',
};

/** Every finding, in the order in which a reader wants them. Pure: the same facts give the same findings. */
export function judge(facts: Facts): Finding[] {
  return [
    judgeNode(facts),
    ...judgeTools(facts),
    judgeEngine(facts),
    ...judgeProbe(facts),
    ...judgeGpu(facts),
    judgeThreads(facts),
    judgeInstructionSets(facts),
    judgeMemory(facts),
    judgeDisk(facts),
  ].filter((finding) => finding !== null);
}

function judgeNode({ versions }: Facts): Finding {
  const detail = `${versions.node} (Node-API ${versions.napi})`;
  if (Number.parseInt(versions.node, 10) >= NODE_MINIMUM) return { status: 'ok', name: 'Node', detail };
  return { status: 'error', name: 'Node', detail, remedy: `use Node ${NODE_MINIMUM} or newer` };
}

/** Once the engine is there, nothing needs these until libtorch or the sources change. */
function judgeTools({ versions, engine, commands }: Facts): Finding[] {
  const tools: [name: string, version: string | null, apt: string][] = [
    ['Python', versions.python, 'python3'],
    ['pip', versions.pip, 'python3-pip'],
    ['C++ compiler', versions.compiler, 'g++'],
    ['make', versions.make, 'make'],
  ];
  return tools.map(([name, version, apt]) => {
    if (version !== null) return { status: 'ok', name, detail: version };
    const detail = `not found${engine === null ? '' : `; only \`${commands.setup}\` needs it`}`;
    const remedy = `install it (Debian, Ubuntu: \`sudo apt-get install ${apt}\`; macOS: \`xcode-select --install\`)`;
    return { status: engine === null ? 'error' : 'warning', name, detail, remedy };
  });
}

function judgeEngine({ engine, engineError, commands }: Facts): Finding {
  const name = 'libtorch';
  if (engine !== null) {
    return { status: 'ok', name, detail: `${engine.torchVersion} (${engine.variant}), from ${engine.source}` };
  }
  return {
    status: 'error',
    name,
    detail: engineError?.message ?? 'not set up',
    remedy: engineError?.remedy ?? `run \`${commands.setup}\``,
  };
}

function judgeProbe({ probe, commands }: Facts): Finding[] {
  if (probe === null) return [];
  const name = 'Computation';
  if (probe.kind !== 'answered') return [{ status: 'error', name, ...explainOutcome(probe, commands) }];
  return probe.probe.devices.map((device) => {
    if (device.computes)
      return { status: 'ok', name, detail: `${device.name}: matmul and backward give the right numbers` };
    const detail = `${device.name}: ${device.error ?? 'matmul and backward give wrong numbers'}`;
    const remedy =
      device.name === 'cpu'
        ? `run \`${commands.fresh}\`; if it stays so, please report it with \`nudge doctor --json\``
        : 'check the driver of this device; NUDGE_DEVICE=cpu avoids it';
    return { status: 'error', name, detail, remedy };
  });
}

function explainOutcome(
  outcome: Exclude<ProbeOutcome, { kind: 'answered' }>,
  commands: Facts['commands'],
): { detail: string; remedy: string } {
  const again = `run \`${commands.fresh}\`; if it stays so, please report it with \`nudge doctor --json\``;
  if (outcome.kind === 'silent') {
    return { detail: `the process that loads libtorch said nothing for ${outcome.seconds} s`, remedy: again };
  }
  const said = lastWords(outcome.output);
  if (outcome.kind === 'crashed') {
    const detail = `the process that loads libtorch was ended by ${outcome.signal}${said === '' ? '' : `: ${said}`}`;
    return { detail, remedy: CRASHES[outcome.signal] ?? again };
  }
  return { detail: `the process that loads libtorch failed (exit code ${outcome.code}): ${said}`, remedy: again };
}

/** The line that names the error, or else the last one. */
function lastWords(output: string): string {
  const lines = output.split('\n').map((line) => line.trim());
  const named = lines.find((line) => /^\w*Error\b.*: /.test(line));
  return named ?? lines.filter((line) => line !== '' && !/^(at |Node\.js v|\}$)/.test(line)).pop() ?? '';
}

function judgeGpu({ engine, probe, nvidiaGpu, commands }: Facts): Finding[] {
  if (engine === null || probe?.kind !== 'answered') return [];
  const { devices } = probe.probe;
  const accelerators = devices.filter(({ name }) => name !== 'cpu').map(({ name }) => name);
  if (accelerators.length > 0) return [{ status: 'ok', name: 'Accelerator', detail: accelerators.join(', ') }];
  if (engine.variant === 'cuda') {
    return [
      {
        status: 'warning',
        name: 'Accelerator',
        detail: 'a CUDA build of libtorch, but it sees no CUDA device',
        remedy:
          'check `nvidia-smi`: the driver may be missing or too old for this CUDA, or CUDA_VISIBLE_DEVICES hides the device',
      },
    ];
  }
  if (!nvidiaGpu) return [{ status: 'ok', name: 'Accelerator', detail: 'none; computing on the CPU' }];
  return [
    {
      status: 'warning',
      name: 'Accelerator',
      detail: 'this machine has an NVIDIA GPU, but this is a CPU build of libtorch',
      remedy: `run \`${commands.cuda}\``,
    },
  ];
}

function judgeThreads({ machine, probe }: Facts): Finding | null {
  if (probe?.kind !== 'answered') return null;
  const { threads } = probe.probe;
  const quota = machine.cpuQuota === null ? '' : `, ${round(machine.cpuQuota)} allowed by the container`;
  const detail = `${threads} threads for ${machine.cores} cores${quota}`;
  const usable = Math.max(1, Math.floor(machine.cpuQuota ?? machine.cores));
  if (threads > usable) {
    return {
      status: 'warning',
      name: 'Threads',
      detail,
      remedy: `set OMP_NUM_THREADS=${usable}: more threads than cores wait for each other`,
    };
  }
  if (threads === 1 && usable > 2) {
    return {
      status: 'warning',
      name: 'Threads',
      detail,
      remedy: 'unset OMP_NUM_THREADS and MKL_NUM_THREADS to use every core',
    };
  }
  return { status: 'ok', name: 'Threads', detail };
}

function judgeInstructionSets({ machine, probe }: Facts): Finding {
  const name = 'CPU';
  const chosen = probe?.kind === 'answered' ? `; libtorch uses ${probe.probe.cpuCapability}` : '';
  const detail = `${machine.cpu}: ${machine.instructionSets.join(', ') || 'instruction sets unknown'}${chosen}`;
  if (machine.platform === 'linux' && machine.arch === 'x64' && !machine.instructionSets.includes('AVX2')) {
    return {
      status: 'warning',
      name,
      detail,
      remedy: 'expect it to be slow: use a CPU with AVX2; a virtual machine may hide it (CPU type "host")',
    };
  }
  return { status: 'ok', name, detail };
}

function judgeMemory({ machine }: Facts): Finding {
  const { total, available, limit } = machine.memory;
  const limited = limit !== null && limit < total;
  const usable = limited ? Math.min(available, limit) : available;
  const detail = `${gb(available)} of ${gb(total)} available${limited ? `, the container's limit is ${gb(limit)}` : ''}`;
  if (usable >= MEMORY_WANTED) return { status: 'ok', name: 'Memory', detail };
  return {
    status: 'warning',
    name: 'Memory',
    detail,
    remedy: 'close other programs or raise the limit: even a small model wants 2 GB',
  };
}

function judgeDisk({ cache }: Facts): Finding | null {
  if (cache.folder === null || cache.freeBytes === null) return null;
  const detail = `${gb(cache.freeBytes)} free in ${cache.folder}`;
  if (cache.freeBytes >= DISK_WANTED) return { status: 'ok', name: 'Disk', detail };
  return {
    status: 'warning',
    name: 'Disk',
    detail,
    remedy: 'free some space, or set NUDGE_CACHE to a folder on another disk',
  };
}

function gb(bytes: number): string {
  return `${round(bytes / GB)} GB`;
}

function round(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '');
}
