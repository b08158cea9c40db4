/**
 * `ServerSampler` against `transformers serve`, which knows less than llama.cpp: no ids, no log-probabilities, no topK. Runs where
 * NUDGE_PEER_PYTHON names a Python with `transformers[serving]`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine, ServerSampler, type ServerSamplerOptions } from '../../src/generate/index.ts';
import { sharedData } from '../../src/models/testing.ts';
import { STORY_MODELS } from '../support/realModels.ts';

const PYTHON = process.env.NUDGE_PEER_PYTHON;
const STORIES = STORY_MODELS[0]!;
const MODEL = sharedData(`models/${STORIES.name}`).path;
const REQUEST = { prompt: 'Once upon a time', temperature: 0, maxTokens: 24 };

function reason(): string | null {
  if (PYTHON === undefined) return 'NUDGE_PEER_PYTHON is not set';
  const { status } = spawnSync(PYTHON, ['-c', 'import transformers, fastapi, uvicorn']);
  return status === 0 ? STORIES.missing : `${PYTHON} has no transformers[serving]`;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

const missing = reason();

describe.skipIf(missing)(`transformers serve${missing === null ? '' : ` (skipped: ${missing})`}`, () => {
  let child: ChildProcess;
  let baseUrl: string;
  const sampler = (options: Partial<ServerSamplerOptions> = {}) =>
    new ServerSampler({ baseUrl, model: MODEL, extensions: false, retries: 0, ...options });
  const failure = (run: Promise<unknown>) =>
    run.then(
      () => expect.unreachable(),
      ({ message }: Error) => message,
    );

  beforeAll(async () => {
    const port = await freePort();
    baseUrl = `http://127.0.0.1:${port}/v1`;
    const args = ['serve', MODEL, '--host', '127.0.0.1', '--port', String(port), '--device', 'cpu'];
    const env = { ...process.env, HF_HUB_OFFLINE: '1' };
    child = spawn(join(dirname(PYTHON!), 'transformers'), args, { env, stdio: 'ignore' });
    const isUp = () =>
      fetch(`http://127.0.0.1:${port}/health`).then(
        ({ ok }) => ok,
        () => false,
      );
    while (!(await isUp())) {
      if (child.exitCode !== null) throw new Error(`transformers serve ended with code ${child.exitCode}`);
      await sleep(200);
    }
  }, 180_000);
  afterAll(() => child?.kill());

  it('goes on as the engine does', async () => {
    using real = await STORIES.open();
    using engine = new Engine(real.model, { tokenizer: real.tokenizer });
    const [ours] = await engine.generate(REQUEST);
    const [theirs] = await sampler().generate(REQUEST);
    expect(theirs).toEqual({ ...ours, ids: null });
    let text = '';
    for await (const event of sampler().stream(REQUEST)) if (event.type === 'token') text += event.text;
    expect(text).toBe(ours!.text);
  });

  it('has no log-probabilities, which is an error', async () => {
    const message = await failure(sampler().generate({ ...REQUEST, logprobs: true }));
    expect(message).toMatch(/does not offer log-probabilities[\s\S]*score the completions/);
  });

  it('does not know all parameters, and says so', async () => {
    expect(await failure(sampler({ extensions: true }).generate(REQUEST))).toMatch(/top_k[\s\S]*extensions to false/);
    expect(await failure(sampler().generate({ promptIds: [1], maxTokens: 1 }))).toMatch(/must be a string/);
  });
});
