import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { GenerateEvent, GenerateRequest } from '../index.ts';
import { ServerSampler, type ServerSamplerOptions } from './sampler.ts';

type Handler = (
  request: { path: string; body: Record<string, unknown>; headers: IncomingMessage['headers'] },
  response: ServerResponse,
) => void;

const KEY = 'sk-very-secret';
let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A server that answers each request with the next handler; the last one stays. */
async function serve(...handlers: Handler[]): Promise<{ url: string; requests: Parameters<Handler>[0][] }> {
  const requests: Parameters<Handler>[0][] = [];
  server = createServer(async (incoming, response) => {
    let text = '';
    for await (const chunk of incoming) text += chunk;
    const request = {
      path: incoming.url!,
      body: JSON.parse(text) as Record<string, unknown>,
      headers: incoming.headers,
    };
    requests.push(request);
    (handlers[Math.min(requests.length, handlers.length) - 1] as Handler)(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, requests };
}

const json =
  (value: unknown, status = 200, headers: Record<string, string> = {}): Handler =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
  };
const events =
  (...values: unknown[]): Handler =>
  (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const value of values)
      response.write(`data: ${typeof value === 'string' ? value : JSON.stringify(value)}\r\n\r\n`);
    response.end();
  };
const breakOff: Handler = (_, response) => void response.destroy();
const never: Handler = () => {};
const done = json({ choices: [{ text: 'fine', finish_reason: 'stop' }] });

const sampler = (url: string, options: Partial<ServerSamplerOptions> = {}) =>
  new ServerSampler({ baseUrl: url, model: 'm', apiKey: KEY, retryPauseMs: 1, ...options });

async function failure(run: Promise<unknown>): Promise<string> {
  const error = await run.then(
    () => expect.unreachable(),
    (error: Error) => error,
  );
  const text = `${error.message} ${error.stack} ${JSON.stringify(error)}`;
  expect(text).not.toContain(KEY);
  return text;
}

describe('ServerSampler', () => {
  it('asks for completions of ids, with all parameters', async () => {
    const { url, requests } = await serve(
      json({
        choices: [{ text: 'ab', token_ids: [5, 6], finish_reason: 'length', logprobs: { token_logprobs: [-1, -0.5] } }],
      }),
    );
    const request: GenerateRequest = {
      promptIds: [1, 2],
      n: 2,
      maxTokens: 2,
      temperature: 1,
      topK: 4,
      topP: 0.9,
      minP: 0.1,
      repetitionPenalty: 1.2,
      stopStrings: ['x'],
      stopIds: [9],
      seed: 7,
      logprobs: true,
    };
    expect(await sampler(url).generate(request)).toEqual(
      [0, 1].map((index) => ({ index, ids: [5, 6], text: 'ab', logprobs: [-1, -0.5], finishReason: 'length' })),
    );
    expect(requests.map(({ body }) => body.seed).sort()).toEqual([7, 8]);
    expect(requests[0]).toMatchObject({
      path: '/v1/completions',
      headers: { authorization: `Bearer ${KEY}` },
      body: {
        model: 'm',
        prompt: [1, 2],
        max_tokens: 2,
        temperature: 1,
        top_k: 4,
        top_p: 0.9,
        min_p: 0.1,
        repetition_penalty: 1.2,
        repeat_penalty: 1.2,
        stop: ['x'],
        stop_token_ids: [9],
        logprobs: 1,
      },
    });
  });

  it('says what it means where it asks for nothing special: servers have defaults of their own', async () => {
    const { url, requests } = await serve(done);
    await sampler(url).generate({ prompt: 'a' });
    await sampler(url, { extensions: false }).generate({ prompt: 'a', temperature: 0.5 });
    expect(requests.map(({ body }) => body)).toMatchObject([
      { temperature: 1, top_p: 1, top_k: -1, min_p: 0, repetition_penalty: 1, repeat_penalty: 1 },
      { temperature: 0.5, top_p: 1 },
    ]);
    expect(Object.keys(requests[1]!.body).sort()).toEqual([
      'max_tokens',
      'model',
      'prompt',
      'seed',
      'temperature',
      'top_p',
    ]);
  });

  it('notices a server that goes on past stopIds', async () => {
    const { url } = await serve(json({ choices: [{ text: 'abc', token_ids: [5, 9, 6], finish_reason: 'length' }] }));
    expect(await failure(sampler(url).generate({ prompt: 'a', stopIds: [9] }))).toMatch(/stopIds[\s\S]*stopStrings/);
  });

  it("refuses log-probabilities at another temperature: servers give the model's own", async () => {
    const request = { prompt: 'a', logprobs: true, temperature: 0.7 };
    expect(await failure(sampler('http://localhost/v1').generate(request))).toMatch(/temperature[\s\S]*0\.7/);
  });

  it('asks for chats, and reads their log-probabilities', async () => {
    const { url, requests } = await serve(
      json({
        choices: [
          {
            message: { content: 'hi' },
            finish_reason: 'stop',
            logprobs: { content: [{ token: 'hi', logprob: -2, id: 3 }] },
          },
        ],
      }),
    );
    const messages = [{ role: 'user', content: 'hello' }];
    const [completion] = await sampler(url).generate({ messages, logprobs: true });
    expect(completion).toEqual({ index: 0, ids: [3], text: 'hi', logprobs: [-2], finishReason: 'stop' });
    expect(requests[0]).toMatchObject({ path: '/v1/chat/completions', body: { messages, logprobs: true } });
  });

  it('streams', async () => {
    const piece = (content: string, finish_reason: string | null = null) => ({
      choices: [{ delta: { content }, finish_reason }],
    });
    const { url } = await serve(
      events({ choices: [{ delta: {} }] }, piece('on'), piece('e'), piece('', 'stop'), { choices: [] }, '[DONE]'),
    );
    const seen: GenerateEvent[] = [];
    for await (const event of sampler(url).stream({ messages: [] })) seen.push(event);
    expect(seen.map((event) => (event.type === 'token' ? event.text : event.completion))).toEqual([
      'on',
      'e',
      { index: 0, ids: null, text: 'one', logprobs: null, finishReason: 'stop' },
    ]);
  });

  it.each([
    ['is busy', json({ error: 'busy' }, 503)],
    ['asks for a pause', json({ error: 'slow down' }, 429, { 'retry-after': '0' })],
    ['breaks the connection', breakOff],
    ['does not answer', never],
  ])('tries again when the server %s', async (_, handler) => {
    const { url, requests } = await serve(handler, handler, done);
    const [completion] = await sampler(url, { timeoutMs: 200 }).generate({ prompt: 'a' });
    expect(completion?.text).toBe('fine');
    expect(requests).toHaveLength(3);
  });

  it('gives up after so many tries, and says why', async () => {
    const { url, requests } = await serve(json({ error: `key ${KEY} is over its quota` }, 429));
    expect(await failure(sampler(url, { retries: 2 }).generate({ prompt: 'a' }))).toMatch(
      /status 429[\s\S]*key \*\*\* is over/,
    );
    expect(requests).toHaveLength(3);
  });

  it.each([
    [401, /apiKey/],
    [404, /name of the model/],
    [400, /status 400/],
  ])('does not repeat what was refused with %i', async (status, message) => {
    const { url, requests } = await serve(json({ error: { message: 'no' } }, status));
    expect(await failure(sampler(url).generate({ prompt: 'a' }))).toMatch(message);
    expect(requests).toHaveLength(1);
  });

  it.each([
    ['no JSON', ((_, response) => void response.end('<html>')) as Handler, /OpenAI-compatible[\s\S]*<html>/],
    ['an error in place of choices', json({ error: { message: 'no such model' } }), /no such model/],
    ['no finish reason', json({ choices: [{ text: 'a' }] }), /finish reason/],
    ['a page that never ends its headers', never, /did not answer in time[\s\S]*100 ms/],
  ])('refuses %s', async (_, handler, message) => {
    const { url } = await serve(handler);
    expect(await failure(sampler(url, { retries: 0, timeoutMs: 100 }).generate({ prompt: 'a' }))).toMatch(message);
  });

  it('says where log-probabilities are not offered', async () => {
    const { url } = await serve(done);
    expect(await failure(sampler(url).generate({ prompt: 'a', logprobs: true }))).toMatch(
      /does not offer log-probabilities[\s\S]*vLLM/,
    );
  });

  it('notices a stream that falls silent or breaks off', async () => {
    const start: Handler = (_, response) => void response.writeHead(200).write('data: {"choices":[{"text":"a"}]}\n\n');
    const cut: Handler = (request, response) => {
      start(request, response);
      setTimeout(() => response.destroy(), 20);
    };
    const read = async (url: string) => {
      for await (const _ of sampler(url, { timeoutMs: 100, retries: 3 }).stream({ prompt: 'a' }));
    };
    const silent = await serve(start);
    expect(await failure(read(silent.url))).toMatch(/in time/);
    expect(silent.requests).toHaveLength(1);
    server?.closeAllConnections();
    expect(await failure(read((await serve(cut)).url))).toMatch(/broke off/);
  });

  it('reports nothing listening', async () => {
    const { url } = await serve(done);
    server!.close();
    server!.closeAllConnections();
    expect(await failure(sampler(url, { retries: 1 }).generate({ prompt: 'a' }))).toMatch(
      /cannot be reached[\s\S]*ECONNREFUSED/,
    );
  });

  it('ends when it is cancelled, while it waits and while it streams', async () => {
    const start: Handler = (_, response) => void response.writeHead(200).write('data: {"choices":[{"text":"a"}]}\n\n');
    const waiting = await serve(never);
    const signal = AbortSignal.timeout(50);
    const completions = await sampler(waiting.url, { concurrency: 1 }).generate({ prompt: 'a', n: 2, signal });
    expect(completions.map(({ finishReason }) => finishReason)).toEqual(['cancelled', 'cancelled']);
    server?.closeAllConnections();
    const { url } = await serve(start);
    let last: GenerateEvent | undefined;
    for await (const event of sampler(url).stream({ prompt: 'a', signal: AbortSignal.timeout(50) })) last = event;
    expect(last).toMatchObject({ completion: { text: 'a', finishReason: 'cancelled' } });
  });

  it('keeps to its concurrency', async () => {
    let running = 0;
    let most = 0;
    const { url } = await serve((request, response) => {
      most = Math.max(most, ++running);
      setTimeout(() => {
        running--;
        done(request, response);
      }, 10);
    });
    await sampler(url, { concurrency: 3 }).generate({ prompt: 'a', n: 10 });
    expect(most).toBe(3);
  });

  it('refuses addresses that are none, and parameters that a strict server does not know', async () => {
    expect(() => sampler('localhost:8000')).toThrow(/http:/);
    expect(() => sampler('http://user:secret@host/v1')).toThrow(/apiKey/);
    const strict = sampler('http://localhost/v1', { extensions: false });
    await expect(strict.generate({ prompt: 'a', topK: 5 })).rejects.toThrow(/top_k/);
    await expect(strict.generate({ prompt: 'a', promptIds: [1] })).rejects.toThrow(/one of promptIds/);
  });
});
