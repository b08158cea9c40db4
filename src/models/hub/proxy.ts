/**
 * Node's fetch ignores HTTPS_PROXY unless it is told otherwise when it starts. While something is fetched, we tell it.
 */

import * as http from 'node:http';

// Node 24.14 and newer; its types may be older.
const setGlobalProxyFromEnv: unknown = Reflect.get(http, 'setGlobalProxyFromEnv');

let users = 0;
let restore: (() => void) | null = null;

/** Runs `work` with the proxy that the environment names, if it names one. It holds for the whole process meanwhile. */
export async function withProxy<T>(env: NodeJS.ProcessEnv, work: () => Promise<T>): Promise<T> {
  const named = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'].some((variable) => env[variable]);
  // With NODE_USE_ENV_PROXY Node has done it itself.
  if (!named || env.NODE_USE_ENV_PROXY === '1' || typeof setGlobalProxyFromEnv !== 'function') return await work();
  users++;
  restore ??= setGlobalProxyFromEnv(env) as () => void;
  try {
    return await work();
  } finally {
    users--;
    if (users === 0) {
      restore();
      restore = null;
    }
  }
}
