/** From starting a process to the result of its first operator. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { NudgeError } from '../../src/errors.ts';
import { locateEngine } from '../../src/setup/engine.mjs';
import type { Body, Group } from '../case.ts';
import { peerPython } from '../peers/environment.mjs';
import { PEER_REMEDY } from '../peers/peer.ts';

const FIRST_OP = fileURLToPath(new URL('first-op.ts', import.meta.url));
const PYTHON_FIRST_OP = 'import torch; torch.ones(2) + 1; print("ready", flush=True)';
/** libtorch and the addon, without Nudge. */
const BARE = 'require(process.argv[1]); console.log("ready")';

/** Starts a program and takes the time until its first word. */
function starting(program: string, args: readonly string[]): Body {
  return {
    async time(times) {
      let seconds = 0;
      for (let i = 0; i < times; i++) seconds += await startOnce(program, args);
      return seconds;
    },
  };
}

async function startOnce(program: string, args: readonly string[]): Promise<number> {
  const start = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close') as Promise<[code: number]>;
  const seconds = await Promise.race([firstWord(child).then(() => (performance.now() - start) / 1000), ended]);
  const [code] = await ended;
  if (typeof seconds === 'number' && code === 0) return seconds;
  throw new NudgeError('BENCH_FAILED', 'A process that was to be timed failed.', {
    path: [program, ...args].join(' '),
    received: `exit code ${code}`,
    remedy: program === process.execPath ? 'Run `nudge doctor`.' : PEER_REMEDY,
  });
}

async function firstWord(child: ChildProcess): Promise<void> {
  await once(child.stdout!, 'data');
}

export const startup: Group = {
  title: 'Start',
  cases: [
    {
      name: 'start to first operator',
      metric: 'time',
      unit: 'ms',
      better: 'lower',
      value: (seconds) => seconds * 1e3,
      nudge: () => starting(process.execPath, [FIRST_OP]),
      peer: () => starting(peerPython(process.env)!, ['-c', PYTHON_FIRST_OP]),
      limit: {
        body: () => starting(process.execPath, ['-e', BARE, locateEngine().addon]),
        value: (seconds) => seconds * 1e3,
      },
    },
  ],
};
