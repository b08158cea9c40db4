/** Programs that a test runs in a process of their own: a crash there is a signal that the test sees, not its own end. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

export interface Outcome {
  /** null when a signal ended the process. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface ProgramOptions {
  /** For Node itself, such as `--expose-gc`. */
  flags?: readonly string[];
  args?: readonly string[];
  /** Milliseconds until the process is killed with SIGKILL, which the outcome then shows. Default 60,000. */
  timeout?: number;
}

/** Runs a program of tests/programs/ and waits for its end. */
export function runProgram(name: string, { flags = [], args = [], timeout = 60_000 }: ProgramOptions = {}) {
  const path = join(import.meta.dirname, '../programs', name);
  const child = spawn(process.execPath, [...flags, path, ...args], {
    env: { ...process.env, OMP_NUM_THREADS: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout,
    killSignal: 'SIGKILL',
  });
  const outcome: Outcome = { code: null, signal: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    outcome.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    outcome.stderr += text;
  });
  return new Promise<Outcome>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ ...outcome, code, signal }));
  });
}
