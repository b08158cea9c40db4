/** HTTP to an OpenAI-compatible server: time limits, retries with growing pauses, errors that say what to do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { NudgeError } from '../../errors.ts';

export interface ClientOptions {
  /** Up to and including `/v1`. */
  baseUrl: string;
  /** Sent as a bearer token; appears in no error and no log. */
  apiKey?: string;
  /** Until a request that streams nothing new is given up. Default 120,000. */
  timeoutMs?: number;
  /** How often a request that failed before its answer began is tried again. Default 4. */
  retries?: number;
  /** The pause before the first retry; each further one is twice as long, up to 30 s, less a random part. Default 500. */
  retryPauseMs?: number;
}

/** What a server means by "try again": it is busy, starting or restarting. */
const RETRIABLE = new Set([408, 409, 425, 429, 500, 502, 503, 504]);
const LONGEST_PAUSE_MS = 30_000;
const KEPT_BODY = 500;

export class Client {
  readonly baseUrl: string;
  readonly #apiKey: string | undefined;
  readonly #timeoutMs: number;
  readonly #retries: number;
  readonly #retryPauseMs: number;

  constructor({ baseUrl, apiKey, timeoutMs = 120_000, retries = 4, retryPauseMs = 500 }: ClientOptions) {
    this.baseUrl = checkUrl(baseUrl);
    this.#apiKey = apiKey;
    this.#timeoutMs = timeoutMs;
    this.#retries = retries;
    this.#retryPauseMs = retryPauseMs;
  }

  /** The answer as JSON. @throws NudgeError SERVER_FAILED, SERVER_UNREACHABLE; the signal's reason when it aborts. */
  async post(path: string, body: object, signal?: AbortSignal): Promise<unknown> {
    const read = async (limit: Limit) => (await this.#send(path, body, limit.signal)).text();
    const { result, limit } = await this.#retrying(path, signal, read);
    limit.clear();
    return parseJson(result, this.baseUrl + path);
  }

  /** The data of server-sent events, parsed, until `[DONE]`. Only the beginning is retried: what was read is not repeated. */
  async *events(path: string, body: object, signal?: AbortSignal): AsyncGenerator<unknown> {
    const url = this.baseUrl + path;
    const begin = (limit: Limit) => this.#send(path, body, limit.signal);
    const { result: response, limit } = await this.#retrying(path, signal, begin);
    try {
      for await (const data of dataLines(response, () => limit.restart())) {
        if (data === '[DONE]') return;
        yield parseJson(data, url);
      }
    } catch (error) {
      throw this.#explain(error, url, limit, signal);
    } finally {
      limit.clear();
    }
  }

  async #send(path: string, body: object, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (this.#apiKey !== undefined) headers.authorization = `Bearer ${this.#apiKey}`;
    const url = this.baseUrl + path;
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal });
    if (response.ok) return response;
    const text = (await response.text().catch(() => '')).slice(0, KEPT_BODY);
    throw new StatusError(response.status, retryAfter(response), statusError(url, response.status, this.#hide(text)));
  }

  /** Repeats what fails in passing. The limit of the attempt that succeeded goes on. */
  async #retrying<T>(
    path: string,
    signal: AbortSignal | undefined,
    attempt: (limit: Limit) => Promise<T>,
  ): Promise<{ result: T; limit: Limit }> {
    for (let tries = 0; ; tries++) {
      const limit = new Limit(this.#timeoutMs, signal);
      try {
        return { result: await attempt(limit), limit };
      } catch (error) {
        limit.clear();
        if (signal?.aborted || tries >= this.#retries || !isRetriable(error)) {
          throw this.#explain(error, this.baseUrl + path, limit, signal);
        }
        const asked = error instanceof StatusError ? error.retryAfterMs : undefined;
        await sleep(asked ?? this.#pause(tries), undefined, signal === undefined ? {} : { signal });
      }
    }
  }

  /** Between half of it and all of it: clients that failed together do not come back together. */
  #pause(tries: number): number {
    return Math.min(LONGEST_PAUSE_MS, this.#retryPauseMs * 2 ** tries) * (0.5 + Math.random() / 2);
  }

  #explain(error: unknown, url: string, limit: Limit, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    if (error instanceof StatusError) return error.explained;
    if (error instanceof NudgeError) return error;
    if (limit.isOver) {
      return new NudgeError('SERVER_UNREACHABLE', 'The server did not answer in time.', {
        path: url,
        expected: `something within ${this.#timeoutMs} ms`,
        remedy: 'Check that it is not overloaded, or raise timeoutMs.',
        cause: error,
      });
    }
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return new NudgeError('SERVER_UNREACHABLE', 'The server cannot be reached, or it broke off.', {
      path: url,
      received: this.#hide(cause instanceof Error ? cause.message : String(cause)),
      remedy: 'Check that it runs and that baseUrl is right.',
      cause,
    });
  }

  /** Servers repeat what they were sent. */
  #hide(text: string): string {
    return this.#apiKey ? text.replaceAll(this.#apiKey, '***') : text;
  }
}

/** Aborts when nothing has happened for a while, or when the caller does. */
class Limit {
  readonly #controller = new AbortController();
  readonly #milliseconds: number;
  #timer: NodeJS.Timeout | undefined;
  isOver = false;
  readonly signal: AbortSignal;

  constructor(milliseconds: number, outer: AbortSignal | undefined) {
    this.#milliseconds = milliseconds;
    this.signal = outer === undefined ? this.#controller.signal : AbortSignal.any([this.#controller.signal, outer]);
    this.restart();
  }

  restart(): void {
    this.clear();
    this.#timer = setTimeout(() => {
      this.isOver = true;
      this.#controller.abort();
    }, this.#milliseconds);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}

class StatusError extends Error {
  readonly status: number;
  readonly retryAfterMs: number | undefined;
  readonly explained: NudgeError;

  constructor(status: number, retryAfterMs: number | undefined, explained: NudgeError) {
    super(explained.message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
    this.explained = explained;
  }
}

function isRetriable(error: unknown): boolean {
  if (error instanceof StatusError) return RETRIABLE.has(error.status);
  return !(error instanceof NudgeError);
}

function retryAfter(response: Response): number | undefined {
  const header = response.headers.get('retry-after');
  if (header === null) return undefined;
  const milliseconds = /^\d+(\.\d+)?$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(milliseconds) ? Math.min(LONGEST_PAUSE_MS, Math.max(0, milliseconds)) : undefined;
}

async function* dataLines(response: Response, onData: () => void): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of response.body ?? []) {
    onData();
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) if (line.startsWith('data:')) yield line.slice(5).trim();
  }
  if (rest.startsWith('data:')) yield rest.slice(5).trim();
}

function checkUrl(baseUrl: string): string {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null;
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '') {
    return baseUrl.replace(/\/+$/, '');
  }
  throw new NudgeError('BAD_ARGUMENT', 'This is no address of a server.', {
    path: 'baseUrl',
    expected: 'http://HOST:PORT/v1 or https://..., without a password in it',
    remedy: 'Pass a key as apiKey.',
  });
}

function parseJson(text: string, url: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw failed(url, text.slice(0, KEPT_BODY), cause);
  }
}

function failed(url: string, received: string, cause?: unknown): NudgeError {
  return new NudgeError('SERVER_FAILED', 'The answer is not what an OpenAI-compatible server gives.', {
    path: url,
    received,
    remedy: 'Check that baseUrl names the API, usually with /v1 at its end.',
    cause,
  });
}

function statusError(url: string, status: number, text: string): NudgeError {
  const unknown = 'Correct what it complains about; set extensions to false where it does not know top_k or min_p.';
  const remedies: Record<number, string> = {
    400: unknown,
    422: unknown,
    401: 'Pass a valid apiKey.',
    403: 'Pass an apiKey that may use this model.',
    404: 'Check baseUrl (usually with /v1 at its end) and the name of the model.',
    429: 'Ask for less at a time, or raise retries.',
  };
  return new NudgeError('SERVER_FAILED', `The server answered with status ${status}.`, {
    path: url,
    received: text,
    ...(remedies[status] === undefined ? {} : { remedy: remedies[status] }),
  });
}
