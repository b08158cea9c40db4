/** Starts other programs, so that none outlives this process and what they said is at hand when they fail. */

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { SetupError } from './failure.mjs';

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {(line: string) => void} [onLine] Called for each line of stdout and stderr.
 * @property {(pid: number) => void} [onStart] Called with the id of the child, which leads a process group of its own.
 */

/**
 * @typedef {object} RunResult
 * @property {number} code Exit code; 127 when the program was not found, 128 + n when signal n ended it.
 * @property {string} output The last 64 Ki characters of stdout and stderr, as they came.
 * @property {boolean} missing The program does not exist.
 */

/** @typedef {(command: string, args: string[], options?: RunOptions) => Promise<RunResult>} Run */

const KEPT_OUTPUT = 64 * 1024;

/** Process groups that must not outlive this process. */
const groups = new Set();
let interrupted = false;

/**
 * Runs a program to its end. A failure is in the result; only an interruption by the user rejects.
 *
 * The child leads its own process group so that its whole tree (npm, pip, make, the compiler) can be ended at once.
 *
 * @type {Run}
 */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    if (child.pid !== undefined) {
      groups.add(child.pid);
      options.onStart?.(child.pid);
    }
    for (const stream of [child.stdout, child.stderr]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (text) => {
        output = (output + text).slice(-KEPT_OUTPUT);
        const lines = (rest + text).split(/\r?\n|\r/);
        rest = lines.pop() ?? '';
        for (const line of lines) options.onLine?.(line);
      });
      stream.on('end', () => {
        if (rest !== '') options.onLine?.(rest);
      });
    }
    child.on('error', (error) => {
      if (child.pid === undefined)
        resolve({ code: 127, output: error.message, missing: 'code' in error && error.code === 'ENOENT' });
    });
    child.on('close', (code, signal) => {
      groups.delete(child.pid);
      if (interrupted) return reject(new SetupError('INTERRUPTED', 'Interrupted.'));
      resolve({ code: code ?? 128 + (signal ? constants.signals[signal] : 0), output, missing: false });
    });
  });
}

/**
 * Makes Ctrl-C, a hang-up and a polite kill end the running child first; the caller's `finally` blocks then clean up.
 * Without a child, or when asked a second time, the process ends at once.
 */
export function endChildrenOnSignals() {
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      if (interrupted || groups.size === 0) process.exit(128 + constants.signals[signal]);
      interrupted = true;
      for (const group of groups) endGroup(group);
    });
  }
}

/**
 * @param {number} group The id of the process that leads the group.
 * @param {NodeJS.Signals} [signal]
 */
export function endGroup(group, signal = 'SIGTERM') {
  try {
    process.kill(-group, signal);
  } catch {
    // It has ended already.
  }
}

/**
 * The last lines that a program printed, for an error message.
 *
 * @param {string} output
 * @param {number} [count]
 */
export function lastLines(output, count = 8) {
  const lines = output.split(/\r?\n/).filter((line) => line.trim() !== '');
  return lines.slice(-count).join('\n            ');
}
