/**
 * Requests to the hub: with limits in time, without the token for anyone else, tried again when that can help.
 *
 * Everything that goes wrong is one of three: the hub refused (`HttpRefusal`), the connection failed (`ConnectionLost`), or
 * it is an error of ours. explain.ts turns the first two into what a user reads.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Patience, Settings } from './settings.ts';

/** The hub answered, and not with what was asked for. */
export class HttpRefusal extends Error {
  readonly status: number;
  /** `X-Error-Code`, such as `GatedRepo`; empty when there is none. */
  readonly code: string;
  /** How long the server asks us to wait, in milliseconds. */
  readonly retryAfter: number | null;

  constructor(response: Response) {
    const said = response.headers.get('x-error-message') ?? '';
    super(`HTTP ${response.status}${said === '' ? ` ${response.statusText}` : `: ${said}`}`.trim().slice(0, 300));
    this.status = response.status;
    this.code = response.headers.get('x-error-code') ?? '';
    this.retryAfter = readRetryAfter(response.headers.get('retry-after'));
  }
}

/** No answer, or one that broke off. */
export class ConnectionLost extends Error {
  /** Of the operating system, TLS or the HTTP client, such as `ECONNREFUSED`; `TIMEOUT` for ours. */
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }

  static from(error: unknown): ConnectionLost {
    if (error instanceof ConnectionLost) return error;
    // fetch says "fetch failed"; what happened is in its cause, several of them when a name has several addresses.
    let cause = error;
    while (cause instanceof Error) {
      const inner = cause instanceof AggregateError ? cause.errors[0] : cause.cause;
      if (!(inner instanceof Error)) break;
      cause = inner;
    }
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    return new ConnectionLost(cause instanceof Error ? cause.message : String(cause), code);
  }
}

export interface RequestOptions {
  headers?: Record<string, string>;
  /** For the beginning of the answer, in milliseconds. */
  patience: number;
  /** Ends the request from outside. */
  signal?: AbortSignal;
}

/** A response whose body is read piece by piece, each within the time allowed. */
export interface Streamed {
  readonly status: number;
  readonly headers: Headers;
  readonly body: AsyncIterable<Uint8Array>;
  /** Closes the connection; for those who do not read the body. */
  readonly cancel: () => void;
}

// The largest answer of the API that can be meant: a repository of 1,000 files takes about 300 kB.
const MAX_API_BYTES = 32 * 1024 * 1024;

/** Sends a request and returns when the answer begins. @throws HttpRefusal, ConnectionLost */
export async function send(url: string | URL, settings: Settings, options: RequestOptions): Promise<Streamed> {
  const abort = new AbortController();
  const expire = (what: string, ms: number) =>
    setTimeout(() => abort.abort(new ConnectionLost(`${what} for ${ms / 1000} s`, 'TIMEOUT')), ms);
  const timer = expire('no answer', options.patience);
  const signal = options.signal === undefined ? abort.signal : AbortSignal.any([abort.signal, options.signal]);
  let response: Response;
  try {
    response = await fetch(url, { headers: headersFor(url, settings, options.headers), signal });
  } catch (error) {
    throw ConnectionLost.from(abort.signal.aborted ? abort.signal.reason : error);
  } finally {
    clearTimeout(timer);
  }
  if (!response.ok) {
    // What an error's body holds is not needed; without this the connection stays open until it is collected.
    abort.abort();
    throw new HttpRefusal(response);
  }
  const body = pieces(response, abort, expire, settings.patience.idle);
  return { status: response.status, headers: response.headers, body, cancel: () => abort.abort() };
}

async function* pieces(
  response: Response,
  abort: AbortController,
  expire: (what: string, ms: number) => NodeJS.Timeout,
  idle: number,
): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  let timer = expire('no more data', idle);
  try {
    for await (const piece of response.body) {
      clearTimeout(timer);
      yield piece;
      timer = expire('no more data', idle);
    }
  } catch (error) {
    throw ConnectionLost.from(abort.signal.aborted ? abort.signal.reason : error);
  } finally {
    clearTimeout(timer);
    // A reader that stops early has no use for the rest.
    abort.abort();
  }
}

/** Sends a request and reads all of a small answer. @throws HttpRefusal, ConnectionLost */
export async function sendForAll(url: string | URL, settings: Settings, options: RequestOptions): Promise<Response> {
  const { status, headers, body } = await send(url, settings, options);
  const read: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    read.push(piece);
    length += piece.length;
    if (length > MAX_API_BYTES) throw new ConnectionLost(`an answer of more than ${MAX_API_BYTES} bytes`, 'TOO_LARGE');
  }
  return new Response(Buffer.concat(read), { status, headers });
}

/** fetch drops the token when it is redirected to another host; it must not be sent there in the first place either. */
function headersFor(url: string | URL, { endpoint, token }: Settings, headers: Record<string, string> = {}) {
  const all: Record<string, string> = { 'user-agent': 'nudge-rlhf', ...headers };
  if (token !== null && new URL(url).origin === new URL(endpoint).origin) all.authorization = `Bearer ${token}`;
  return all;
}

/** Seconds or a date. */
function readRetryAfter(text: string | null): number | null {
  if (text === null || text.trim() === '') return null;
  const ms = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

const WORTH_A_RETRY = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Whether the same request may succeed in a moment. */
export function isTransient(error: unknown): boolean {
  if (error instanceof HttpRefusal) return WORTH_A_RETRY.has(error.status);
  return error instanceof ConnectionLost && error.code !== 'TOO_LARGE' && !isCertificateError(error.code);
}

export function isCertificateError(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|ERR_TLS/.test(code);
}

/**
 * The pause before the next try; null when there should be none.
 *
 * @param failures how many tries have failed since there was progress, from 1.
 */
export function pauseBefore(error: unknown, failures: number, patience: Patience): number | null {
  if (!isTransient(error) || failures > patience.retries) return null;
  const asked = error instanceof HttpRefusal ? error.retryAfter : null;
  if (asked !== null) return asked <= patience.longestPause ? asked : null;
  // Half of it by chance, so that those who failed together do not return together.
  const pause = Math.min(patience.backoff * 2 ** (failures - 1), patience.longestPause);
  return pause * (0.5 + Math.random() / 2);
}

/** Runs a request, and again while that can help. */
export async function withRetries<T>(work: () => Promise<T>, settings: Settings, what: string): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await work();
    } catch (error) {
      await pauseOrThrow(error, failures, settings, what);
    }
  }
}

/** Waits before the next try, and says so; throws the error when there is to be none. */
export async function pauseOrThrow(
  error: unknown,
  failures: number,
  settings: Settings,
  what: string,
  signal?: AbortSignal,
): Promise<void> {
  const pause = pauseBefore(error, failures, settings.patience);
  if (pause === null) throw error;
  const reason = error instanceof Error ? error.message : String(error);
  settings.report({ type: 'note', text: `${what}: ${reason}; trying again in ${(pause / 1000).toFixed(1)} s` });
  await sleep(pause, undefined, signal === undefined ? {} : { signal });
}
