/** Models that may not be had, or are not there, and hubs that cannot be reached: what a user is told, and how soon. */

import { createServer, type Server } from 'node:net';
import { describe, expect, test } from 'vitest';
import { nudgeError } from '../files/testing.ts';
import { pullFromHub } from './pull.ts';
import { readSettings } from './settings.ts';
import { FakeHub } from './testing/fake-hub.ts';
import { ID, tinyRepository, World } from './testing/world.ts';

const pull = (world: World, name = ID) => nudgeError(pullFromHub(world.reference(name), world.settings()));

describe('a gated model', () => {
  test('without a token: the licence page, and how to get one', async () => {
    await using world = await World.create(tinyRepository({ gated: true }));
    const error = await pull(world);
    expect(error.code).toBe('MODEL_GATED');
    const page = `${world.hub.endpoint}/${ID}`;
    expect(error.message).toBe(
      'This model is only for those who have accepted its licence.\n' +
        `  where:    ${page}\n` +
        `  received: HTTP 401: Access to model ${ID} is restricted.\n` +
        `  remedy:   Accept the licence at ${page}, make a token at https://huggingface.co/settings/tokens and set HF_TOKEN to it.`,
    );
  });

  test('with the token of somebody who has not accepted: accept first', async () => {
    await using world = await World.create();
    world.env.HF_TOKEN = FakeHub.token;
    world.hub.fault = ({ path }) =>
      path.includes('/resolve/') ? { status: 403, headers: { 'x-error-code': 'GatedRepo' } } : undefined;
    const error = await pull(world);
    expect(error).toMatchObject({
      code: 'MODEL_GATED',
      remedy: expect.stringContaining('the account of your HF_TOKEN'),
    });
    expect(error.message).not.toContain(FakeHub.token);
  });

  test('with the right token it is fetched', async () => {
    await using world = await World.create(tinyRepository({ gated: true }));
    world.env.HF_TOKEN = FakeHub.token;
    expect(await pullFromHub(world.reference(), world.settings())).toMatchObject({ fetched: true });
  });
});

describe('a model that is not there', () => {
  test('the nearest names, from the hub and from the short names, and that it may be private', async () => {
    await using world = await World.create();
    const error = await pull(world, 'other/model');
    expect(error).toMatchObject({ code: 'MODEL_NOT_FOUND', received: 'HTTP 401: Invalid username or password.' });
    expect(error.remedy).toMatch(/^Did you mean tiny\/model\? .*If it is private, set HF_TOKEN/);
    expect((await pull(world, 'huggingface/SmolLM2-135M-Instruct')).remedy).toContain(
      'HuggingFaceTB/SmolLM2-135M-Instruct',
    );
  });

  test('a private one is found with a token, and looks like none without', async () => {
    await using world = await World.create(tinyRepository({ private: true }));
    expect((await pull(world)).code).toBe('MODEL_NOT_FOUND');
    world.env.HF_TOKEN = FakeHub.token;
    expect(await pullFromHub(world.reference(), world.settings())).toMatchObject({ fetched: true });
    expect(await pull(world, 'tiny/none')).toMatchObject({
      code: 'MODEL_NOT_FOUND',
      received: 'HTTP 404: Repository not found',
    });
  });

  test('a revision that is not there', async () => {
    await using world = await World.create();
    expect(await pull(world, `${ID}@v9`)).toMatchObject({
      code: 'MODEL_NOT_FOUND',
      message: expect.stringContaining('This model has no revision "v9".'),
    });
  });

  test.each([
    ['GGUF only', { 'm.Q4_K_M.gguf': Buffer.from('x') }, 'GGUF files, such as "m.Q4_K_M.gguf"', /pass its path/],
    [
      'pickles only',
      { 'config.json': Buffer.from('{}'), 'pytorch_model.bin': Buffer.from('x') },
      /another format/,
      /safetensors/,
    ],
    ['an adapter', { 'adapter_config.json': Buffer.from('{}') }, /an adapter/, /base model/],
    ['nothing', {}, 'no files', /language model/],
  ])('a repository with %s', async (_, files, received, remedy) => {
    await using world = await World.create(tinyRepository({ files, extra: [] }));
    expect(await pull(world)).toMatchObject({
      code: 'BAD_FILE',
      received: expect.stringMatching(received),
      remedy: expect.stringMatching(remedy),
    });
  });
});

test('a token that the hub does not know', async () => {
  await using world = await World.create();
  world.env.HF_TOKEN = 'hf_expired';
  const error = await pull(world);
  expect(error).toMatchObject({ code: 'HUB_FAILED', message: expect.stringContaining('does not accept the token') });
  expect(error.message).not.toContain('hf_expired');
});

describe('a hub that cannot be reached', () => {
  test('fails without a second try when nobody listens', async () => {
    await using world = await World.create();
    await world.hub[Symbol.asyncDispose]();
    const error = await pull(world);
    expect(world.notes).toEqual([]);
    expect(error).toMatchObject({ code: 'HUB_UNREACHABLE', received: expect.stringContaining('ECONNREFUSED') });
    expect(error.remedy).toMatch(/HTTPS_PROXY/);
  });

  test('fails after the time allowed when it says nothing, and names the variable that allows more', async () => {
    await using world = await World.create();
    world.env.HF_HUB_ETAG_TIMEOUT = '0.2';
    const silent = await listen(createServer(() => {}));
    world.env.HF_ENDPOINT = `http://127.0.0.1:${silent.port}`;
    try {
      const { patience } = readSettings({ env: world.env });
      const error = await nudgeError(pullFromHub(world.reference(), world.settings({ first: patience.first })));
      expect(world.notes).toEqual([]);
      expect(error).toMatchObject({
        code: 'HUB_UNREACHABLE',
        received: 'no answer for 0.2 s (TIMEOUT)',
        remedy: expect.stringContaining('raise HF_HUB_ETAG_TIMEOUT (now 0.2 s)'),
      });
    } finally {
      await silent.close();
    }
  });

  test('the name of a host that does not exist', async () => {
    await using world = await World.create();
    world.env.HF_ENDPOINT = 'http://no-such-host.invalid';
    expect(await pull(world)).toMatchObject({
      code: 'HUB_UNREACHABLE',
      received: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/),
    });
  });

  test('is reached through the proxy that the environment names', async () => {
    await using world = await World.create();
    const { port } = new URL(world.hub.endpoint);
    const lines: string[] = [];
    const proxy = await listen(
      createServer((client) => {
        client.once('data', (head) => {
          lines.push(head.toString().split('\r\n')[0] ?? '');
          client.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n');
        });
        client.on('error', () => {});
      }),
    );
    try {
      await pullFromHub(world.reference(), world.settings());
      world.env.HTTP_PROXY = `http://127.0.0.1:${proxy.port}`;
      await nudgeError(pullFromHub(world.reference(), world.settings({ retries: 0 })));
      expect(lines[0]).toContain(`127.0.0.1:${port}`);
      // Afterwards everything is as it was.
      expect((await fetch(`${world.hub.endpoint}/api/models?search=tiny`)).status).toBe(200);
    } finally {
      await proxy.close();
    }
  });
});

async function listen(server: Server): Promise<{ port: number; close: () => Promise<void> }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const sockets = new Set<{ destroy: () => unknown }>();
  server.on('connection', (socket) => sockets.add(socket));
  return {
    port: (server.address() as { port: number }).port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
