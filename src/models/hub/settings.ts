/** What a download depends on besides the name: the environment's variables and the caller's options, read once. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { SetupError } from '../../setup/failure.mjs';
import { freeBytes } from '../../setup/files.mjs';
import { cacheFolder } from '../../setup/paths.mjs';
import { quote } from '../files/index.ts';
import type { OnEvent } from './events.ts';

export interface ResolveOptions {
  /** A branch, tag or commit. Default: `main`. */
  revision?: string | undefined;
  /** A token of the hub, for gated and private models. Default: the variable HF_TOKEN. It is sent to the hub only. */
  token?: string | undefined;
  /** Use only what is on this machine. Default: whether NUDGE_OFFLINE or HF_HUB_OFFLINE is set. */
  offline?: boolean | undefined;
  /** Told what happens: which sources are tried, how a download gets on. Default: nobody. */
  onProgress?: OnEvent | undefined;
  /** Default: `process.env`. */
  env?: NodeJS.ProcessEnv | undefined;
}

/** How long the hub is waited for, in milliseconds. */
export interface Patience {
  /** For the first answer: a hub that cannot be reached must not cost minutes. */
  readonly first: number;
  /** For the beginning of every later answer. */
  readonly answer: number;
  /** For the next bytes of an answer. */
  readonly idle: number;
  /** How often to try again in a row without progress. */
  readonly retries: number;
  /** Before the first retry; it doubles from one to the next. */
  readonly backoff: number;
  /** The longest pause; a server that asks for more gets an error in its place. */
  readonly longestPause: number;
}

export interface Settings {
  readonly env: NodeJS.ProcessEnv;
  /** Nudge's cache. */
  readonly cache: string;
  /** The cache of Hugging Face's own libraries, which is only read. */
  readonly hfCache: string;
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | null;
  /** Why nothing may be fetched; null when it may. */
  readonly offline: string | null;
  readonly patience: Patience;
  readonly report: OnEvent;
  /** Bytes that can still be written below a folder; null where the system does not say. */
  readonly freeBytes: (folder: string) => number | null;
}

const ENDPOINT = 'https://huggingface.co';
const PATIENCE: Patience = {
  first: 5_000,
  answer: 20_000,
  idle: 30_000,
  retries: 5,
  backoff: 500,
  longestPause: 60_000,
};

/** @throws NudgeError BAD_ARGUMENT when a variable or the token cannot be what it should be. */
export function readSettings(options: ResolveOptions = {}): Settings {
  const env = options.env ?? process.env;
  return {
    env,
    cache: readCacheFolder(env),
    hfCache: hfCacheFolder(env),
    endpoint: readEndpoint(env),
    token: readToken(options.token ?? env.HF_TOKEN),
    offline: readOffline(options.offline, env),
    patience: {
      ...PATIENCE,
      first: readSeconds(env, 'HF_HUB_ETAG_TIMEOUT') ?? PATIENCE.first,
      idle: readSeconds(env, 'HF_HUB_DOWNLOAD_TIMEOUT') ?? PATIENCE.idle,
    },
    report: options.onProgress ?? (() => {}),
    freeBytes,
  };
}

function readCacheFolder(env: NodeJS.ProcessEnv): string {
  try {
    return cacheFolder(env);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    throw new NudgeError('BAD_ARGUMENT', error.summary, error.details);
  }
}

/** Where Hugging Face's libraries keep what they fetch, by their own variables in their own order. */
function hfCacheFolder(env: NodeJS.ProcessEnv): string {
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'huggingface');
  return env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, 'hub');
}

function readEndpoint(env: NodeJS.ProcessEnv): string {
  const endpoint = env.HF_ENDPOINT || ENDPOINT;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.username === '' &&
    url.password === '' &&
    url.search === ''
  ) {
    return endpoint.replace(/\/+$/, '');
  }
  throw new NudgeError('BAD_ARGUMENT', 'HF_ENDPOINT is not the address of a hub.', {
    path: 'environment variable HF_ENDPOINT',
    expected: 'an address such as https://huggingface.co, without a user name or a query',
    // Not shown when it may hold a password.
    ...(endpoint.includes('@') ? {} : { received: quote(endpoint) }),
    remedy: 'Correct it, or unset it to use https://huggingface.co.',
  });
}

function readToken(token: string | undefined): string | null {
  const trimmed = token?.trim() ?? '';
  if (trimmed === '') return null;
  if (/^[\x21-\x7e]+$/.test(trimmed)) return trimmed;
  throw new NudgeError('BAD_ARGUMENT', 'The token for the hub is not one.', {
    path: 'HF_TOKEN, or the option `token`',
    expected: 'letters, digits and underscores, as in hf_...',
    received: 'spaces or characters that no token has',
    remedy: 'Copy the token again from https://huggingface.co/settings/tokens.',
  });
}

function readOffline(option: boolean | undefined, env: NodeJS.ProcessEnv): string | null {
  if (option !== undefined) return option ? 'offline was asked for' : null;
  const name = ['NUDGE_OFFLINE', 'HF_HUB_OFFLINE'].find((variable) => isTrue(env[variable]));
  return name === undefined ? null : `${name} is set`;
}

const isTrue = (text: string | undefined): boolean => /^(1|true|yes|on)$/i.test(text ?? '');

function readSeconds(env: NodeJS.ProcessEnv, name: string): number | null {
  const seconds = Number(env[name] || Number.NaN);
  return seconds > 0 && seconds <= 86_400 ? seconds * 1000 : null;
}
