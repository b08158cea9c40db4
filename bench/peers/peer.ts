/** The Python process that PyTorch's side runs in: one for the whole benchmark, told what to do line by line. */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { NudgeError } from '../../src/errors.ts';
import type { PeerWork } from '../case.ts';
import type { Plan, Side } from '../harness.ts';
import { peerPython } from './environment.mjs';

/** What the process says of itself. */
export interface PeerVersions {
  python: string;
  torch: string;
  threads: number;
  cpuCapability: string;
  /** Versions of what else the benchmark's module uses, by name. */
  packages?: Readonly<Record<string, string>>;
}

export const PEER_REMEDY =
  'Run `node bench/peers/setup.mjs`, or set NUDGE_PEER_PYTHON to a Python that has torch, numpy, transformers and trl with peft; --no-peer leaves PyTorch out.';

const SERVER = fileURLToPath(new URL('server.py', import.meta.url));
const KEPT_STDERR = 4000;

type Waiting = { resolve: (line: string) => void; reject: (error: Error) => void };

export class Peer {
  /** The program, for cases that start a Python of their own. */
  readonly python: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<unknown>;
  #waiting: Waiting | null = null;
  #stderr = '';
  #closed = false;
  #versions: PeerVersions | null = null;

  private constructor(python: string, child: ChildProcessWithoutNullStreams) {
    this.python = python;
    this.#child = child;
    this.#ended = once(child, 'close').catch(() => undefined);
    createInterface({ input: child.stdout }).on('line', (line) => this.#take()?.resolve(line));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_STDERR);
    });
    child.on('error', (error) => this.#take()?.reject(failed(python, error.message)));
    child.on('close', () => {
      this.#closed = true;
      this.#take()?.reject(this.#failure());
    });
    // Writing to a process that has ended is reported by 'close'.
    child.stdin.on('error', () => {});
  }

  /**
   * Starts it.
   *
   * @param module The file in this folder with the work, without `.py`.
   * @returns null where no Python environment was made.
   * @throws NudgeError BENCH_FAILED when the process does not start, lacks torch or fails.
   */
  static async start(module: string, threads: number, env = process.env): Promise<Peer | null> {
    const python = peerPython(env);
    if (python === null) return null;
    const peer = new Peer(python, spawn(python, [SERVER, module, String(threads)], { env }));
    peer.#versions = (await peer.#answer()) as PeerVersions;
    return peer;
  }

  get versions(): PeerVersions {
    return this.#versions!;
  }

  /** Has the process make what some work needs. It holds one work at a time: the last one that was prepared. */
  async prepare({ work, arguments: given = {} }: PeerWork): Promise<Side> {
    await this.#ask({ do: 'prepare', work, arguments: given });
    return {
      warmUp: async (plan: Plan) => {
        await this.#ask({ do: 'warmUp', plan });
      },
      block: async (plan: Plan) => {
        const { seconds } = (await this.#ask({ do: 'block', plan })) as { seconds: number };
        return seconds;
      },
      end: async () => {
        await this.#ask({ do: 'end' });
      },
    };
  }

  /** Lets the process end, and waits until it has. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }

  async #ask(request: object): Promise<unknown> {
    const answer = this.#answer();
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    return answer;
  }

  #answer(): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#waiting = { resolve, reject };
    if (this.#closed) this.#take()?.reject(this.#failure());
    return promise.then((line) => JSON.parse(line));
  }

  #failure(): NudgeError {
    return failed(this.python, this.#stderr.trim() || 'it ended without a word');
  }

  #take(): Waiting | null {
    const waiting = this.#waiting;
    this.#waiting = null;
    return waiting;
  }
}

function failed(python: string, received: string): NudgeError {
  const missing = /No module named '(torch|numpy|transformers|trl|datasets|peft)'|ENOENT/.test(received);
  return new NudgeError('BENCH_FAILED', "PyTorch's side of the benchmark failed.", {
    path: python,
    received: received.split('\n').slice(-6).join('\n            '),
    remedy: missing ? PEER_REMEDY : 'Correct what it complains about, or leave PyTorch out with --no-peer.',
  });
}
