/** Loads libtorch in a forked process, so that a crash of native code is a finding and not the end of the doctor. */

import { fork } from 'node:child_process';
import { extname } from 'node:path';

/** What a working engine says of itself. */
export interface Probe {
  torch: string;
  cpuCapability: string;
  parallelInfo: string;
  config: string;
  mkldnn: boolean;
  openmp: boolean;
  mkl: boolean;
  threads: number;
  devices: { name: string; computes: boolean; error: string | null }[];
}

export type ProbeOutcome =
  | { kind: 'answered'; probe: Probe }
  | { kind: 'crashed'; signal: NodeJS.Signals; output: string }
  | { kind: 'failed'; code: number; output: string }
  | { kind: 'silent'; seconds: number };

const PATIENCE_MS = 120_000;

/**
 * @param script The module to fork; by default the one that loads libtorch and computes.
 * @param patience Milliseconds until a process that says nothing is ended. Loading libtorch from a cold disk is slow.
 */
export function probeEngine(script: URL = childScript(), patience = PATIENCE_MS): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const child = fork(script, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv: [] });
    let output = '';
    let probe: Probe | null = null;
    let silent = false;
    const keep = (text: Buffer) => {
      output = (output + text.toString()).slice(-4000);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.on('message', (message) => {
      probe = message as Probe;
    });
    const timer = setTimeout(() => {
      silent = true;
      child.kill('SIGKILL');
    }, patience);
    child.on('error', (error) => keep(Buffer.from(error.message)));
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (probe !== null) resolve({ kind: 'answered', probe });
      else if (silent) resolve({ kind: 'silent', seconds: patience / 1000 });
      else if (signal !== null) resolve({ kind: 'crashed', signal, output });
      else resolve({ kind: 'failed', code: code ?? 1, output });
    });
  });
}

/** Beside this file: .ts in a checkout, .js in the published package. */
function childScript(): URL {
  return new URL(`./probe-child${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
}
