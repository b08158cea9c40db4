/** Gathers the facts and judges them. */

import { createContext } from '../../setup/context.mjs';
import { type Engine, locateEngine } from '../../setup/engine.mjs';
import { SetupError } from '../../setup/failure.mjs';
import { cacheFolder, packageRoot, packageVersion, setupCommand } from '../../setup/paths.mjs';
import { hasNvidiaGpu } from '../../setup/torch-choose.mjs';
import { type Finding, judge } from './judge.ts';
import { freeDisk, type Machine, readMachine } from './machine.ts';
import { type ProbeOutcome, probeEngine } from './probe.ts';
import { readTools, type Tools } from './tools.ts';

/** What `nudge doctor --json` prints. */
export interface DoctorReport {
  /** False when something must be done before Nudge can run. */
  ok: boolean;
  versions: { nudge: string; node: string; napi: string; torch: string | null } & Tools;
  engine: Engine | null;
  /** Why there is no engine. */
  engineError: { message: string; remedy: string | undefined } | null;
  /** What a process that loaded the engine said; null when there was no engine to load. */
  probe: ProbeOutcome | null;
  machine: Machine;
  cache: { folder: string | null; freeBytes: number | null };
  nvidiaGpu: boolean;
  /** The commands that repair most things. */
  commands: { setup: string; fresh: string; cuda: string };
  findings: Finding[];
}

/** The facts, before they are judged. */
export type Facts = Omit<DoctorReport, 'ok' | 'findings'>;

export async function examine(): Promise<DoctorReport> {
  const facts = await gather();
  const findings = judge(facts);
  return { ok: findings.every((finding) => finding.status !== 'error'), ...facts, findings };
}

async function gather(): Promise<Facts> {
  const root = packageRoot();
  const { engine, engineError } = findEngine();
  const [tools, probe] = await Promise.all([readTools(), engine === null ? null : probeEngine()]);
  const cache = findCache();
  return {
    versions: {
      nudge: packageVersion(),
      node: process.versions.node,
      napi: process.versions.napi ?? 'unknown',
      torch: engine?.torchVersion ?? null,
      ...tools,
    },
    engine,
    engineError,
    probe,
    machine: readMachine(),
    cache: { folder: cache, freeBytes: cache === null ? null : freeDisk(cache) },
    nvidiaGpu: cache !== null && hasNvidiaGpu(createContext()),
    commands: {
      setup: setupCommand(root),
      fresh: setupCommand(root, '--fresh'),
      cuda: setupCommand(root, '--cuda'),
    },
  };
}

function findEngine(): Pick<Facts, 'engine' | 'engineError'> {
  try {
    return { engine: locateEngine(), engineError: null };
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    const { path, received, remedy } = error.details;
    const message = [error.summary.replace(/\.$/, ''), received, path].filter(Boolean).join('; ');
    return { engine: null, engineError: { message, remedy } };
  }
}

/** null when NUDGE_CACHE is wrong; the engine's error then says so. */
function findCache(): string | null {
  try {
    return cacheFolder(process.env);
  } catch {
    return null;
  }
}
