/** llama.cpp's server on this machine, in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { findPeer, SERVER } from '../../scripts/peers/packages.mjs';

const PROGRAM = join(import.meta.dirname, '../programs/llama-server.py');

export const server = findPeer(process.env, SERVER);

export class LlamaServer implements AsyncDisposable {
  /** Of the server itself, without `/v1`. */
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** @param port Default: any free one. @throws Error when it ends before it listens, with what it said. */
  static async start(model: string, { port = 0, key }: { port?: number; key?: string } = {}): Promise<LlamaServer> {
    const path = [server.folder, process.env.PYTHONPATH].filter(Boolean).join(delimiter);
    const child = spawn('python3', [PROGRAM, model, String(port), ...(key === undefined ? [] : [key])], {
      env: { ...process.env, PYTHONPATH: path },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4000);
    });
    const failed = once(child, 'close').then(() => {
      throw new Error(`llama.cpp's server ended:\n${said}`);
    });
    const listening = new Promise<string>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.startsWith('LISTENING ')) resolve(line.slice('LISTENING '.length));
      });
    });
    const url = await Promise.race([listening, failed]);
    failed.catch(() => {});
    return new LlamaServer(child, url);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** One of llama.cpp's own requests. */
  async ask(path: string, body: object): Promise<unknown> {
    const response = await fetch(this.url + path, { method: 'POST', body: JSON.stringify(body) });
    return await response.json();
  }

  /** Ends it at once, whatever it is doing, as a crash would. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
