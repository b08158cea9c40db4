/** pip, as far as set-up uses it: fetching a torch wheel and NVIDIA's libraries. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { childEnvironment } from './context.mjs';
import { DISK_FULL, diskFull, SetupError } from './failure.mjs';
import { size } from './progress.mjs';
import { lastLines } from './run.mjs';

/** @import { Context } from './context.mjs' */
/** @import { RunResult } from './run.mjs' */

/**
 * Runs `python3 -m pip` with everything temporary inside `folder` (a small /tmp is then no obstacle), and shows how
 * much has arrived.
 *
 * @param {Context} context
 * @param {string[]} args
 * @param {{ folder: string, what: string, onStart: (pid: number) => void }} options
 * @returns {Promise<RunResult>}
 */
export async function pip(context, args, { folder, what, onStart }) {
  const env = childEnvironment(context, {
    TMPDIR: folder,
    PYTHONUNBUFFERED: '1',
    PIP_DISABLE_PIP_VERSION_CHECK: '1',
    PIP_NO_INPUT: '1',
    PIP_PROGRESS_BAR: 'off',
    // Settings for installing into an environment, which is not what happens here.
    PIP_USER: '0',
    PIP_REQUIRE_VIRTUALENV: '0',
  });
  let expected = 0;
  let before = 0;
  const show = () => {
    const arrived = Math.max(0, bytesBelow(folder) - before);
    if (expected > 0)
      context.progress.update(
        `${what}: ${size(Math.min(arrived, expected))} of ${size(expected)}`,
        Math.min(1, arrived / expected),
      );
    else context.progress.update(what);
  };
  const timer = setInterval(show, 500);
  try {
    return await context.run('python3', ['-m', 'pip', ...args], {
      env,
      cwd: folder,
      onStart,
      onLine(line) {
        const match = /^\s*Downloading \S+.*\(([\d.]+) (kB|MB|GB)\)/.exec(line);
        if (!match) return;
        before = bytesBelow(folder);
        expected = Number(match[1]) * { kB: 1e3, MB: 1e6, GB: 1e9 }[/** @type {'kB' | 'MB' | 'GB'} */ (match[2])];
      },
    });
  } finally {
    clearInterval(timer);
  }
}

/** @param {string} folder */
function bytesBelow(folder) {
  let sum = 0;
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) sum += bytesBelow(path);
      else if (entry.isFile()) sum += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    }
  } catch {
    // pip deletes folders while they are counted.
  }
  return sum;
}

/** What pip says when no wheel fits this Python, which another --python-version can help. */
export const NO_MATCH = /No matching distribution found|Could not find a version that satisfies/;
const NETWORK =
  /NewConnectionError|ConnectTimeout|ReadTimeout|Read timed out|ConnectionReset|Connection refused|Network is unreachable|name resolution|Name or service not known|nodename nor servname|ProxyError|Max retries exceeded|Connection aborted|IncompleteRead|Connection broken/;

/**
 * @param {RunResult} result
 * @param {{ what: string, folder: string, python: string }} about
 * @returns {SetupError}
 */
export function explainPipFailure({ code, output }, { what, folder, python }) {
  if (DISK_FULL.test(output)) return diskFull(folder, `pip: ${lastLines(output, 2)}`);
  const received = lastLines(output);
  if (/CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError/.test(output)) {
    return new SetupError('CERTIFICATE', `pip does not trust the server that it fetches ${what} from.`, {
      received,
      remedy: 'behind a company proxy, point pip to its certificate: `python3 -m pip config set global.cert FILE`',
    });
  }
  if (/HASHES|hashes? .*do(es)? not match|THESE PACKAGES DO NOT MATCH/i.test(output)) {
    return new SetupError(
      'CHECKSUM',
      `What pip fetched of ${what} does not have the checksum that the index promises.`,
      {
        received,
        remedy: 'try again (`python3 -m pip cache purge` first); if it stays so, do not trust the index you use',
      },
    );
  }
  if (NETWORK.test(output)) {
    return new SetupError('NO_NETWORK', `pip cannot reach its index to fetch ${what}.`, {
      received,
      remedy:
        'check the connection, the proxy (HTTPS_PROXY) and pip’s index (`python3 -m pip config list`); without a network set NUDGE_TORCH to the folder of an installed torch',
    });
  }
  if (NO_MATCH.test(output)) {
    return new SetupError('NO_WHEEL', `pip finds no ${what} for this machine.`, {
      path: `Python ${python}`,
      received,
      remedy:
        'update pip (`python3 -m pip install --upgrade pip`), or set NUDGE_TORCH to the folder of an installed torch',
    });
  }
  return new SetupError('DOWNLOAD_FAILED', `pip could not fetch ${what} (exit code ${code}).`, {
    received,
    remedy: 'correct what pip complains about, or set NUDGE_TORCH to the folder of an installed torch',
  });
}
