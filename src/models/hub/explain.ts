/** The hub's refusals, failed connections and pip's complaints, as errors that say what to do. */

import { NudgeError } from '../../errors.ts';
import { SetupError } from '../../setup/failure.mjs';
import { size } from '../../setup/progress.mjs';
import { errorCode, ioFailed, quote } from '../files/index.ts';
import { ConnectionLost, HttpRefusal, isCertificateError } from './http.ts';
import { didYouMean, nearestNames, type Reference } from './names.ts';
import type { Settings } from './settings.ts';

const OFFLINE_WAY = 'or pass the path of a model that is on this machine';

/** What is known when a request fails. */
export interface Circumstances {
  readonly reference: Reference;
  readonly settings: Settings;
  /** Names of the hub's own search, for a model that is not there. */
  readonly similar: readonly string[];
  /** Whether the hub has answered before. */
  readonly reached: boolean;
}

/** An error of http.ts as a NudgeError; any other is returned as it is. */
export function explainHubError(error: unknown, about: Circumstances): unknown {
  if (error instanceof HttpRefusal) return explainRefusal(error, about);
  if (error instanceof ConnectionLost) return explainConnection(error, about);
  // What the library cannot parse: a proxy's login page, an endpoint that is no hub.
  if (error instanceof SyntaxError || error instanceof TypeError) {
    return new NudgeError('HUB_FAILED', 'The hub gave an answer that cannot be read.', {
      path: about.settings.endpoint,
      expected: 'JSON, as the Hugging Face hub answers',
      received: error.message.slice(0, 200),
      remedy: 'Check HF_ENDPOINT and the proxy: something else may be answering in the place of the hub.',
    });
  }
  return error;
}

function explainRefusal(error: HttpRefusal, about: Circumstances): NudgeError {
  const { reference, settings } = about;
  const [path, received] = [`${settings.endpoint}/${reference.id}`, error.message];
  const denied = error.status === 401 || error.status === 403;
  if (error.code === 'GatedRepo' || (denied && (reference.known?.gated || /gated/i.test(error.message)))) {
    return gated(path, received, settings);
  }
  // The hub answers 401 for models that are not there too, so that nobody learns which private ones there are.
  if (error.status === 401 && settings.token !== null && error.code !== 'RepoNotFound') {
    return new NudgeError('HUB_FAILED', 'The hub does not accept the token.', {
      path,
      received,
      remedy: 'Make a new token at https://huggingface.co/settings/tokens and set HF_TOKEN to it, or unset HF_TOKEN.',
    });
  }
  if (error.code === 'RevisionNotFound') {
    return new NudgeError('MODEL_NOT_FOUND', `This model has no revision ${quote(reference.revision ?? 'main')}.`, {
      path,
      received,
      remedy: `Look the revisions up at ${path}/tree/main, or leave the revision out for the newest.`,
    });
  }
  if (error.status === 401 || (error.status === 404 && error.code !== 'EntryNotFound'))
    return notFound(path, received, about);
  return new NudgeError('HUB_FAILED', 'The hub refuses or fails to answer.', {
    path,
    received,
    remedy:
      error.status === 429
        ? `Wait a few minutes: the hub limits how much one address may ask${settings.token === null ? '; with a token (HF_TOKEN) it allows more' : ''}.`
        : `Try again later (https://status.huggingface.co shows what is wrong), ${OFFLINE_WAY}.`,
  });
}

function gated(path: string, received: string, { token }: Settings): NudgeError {
  const accept = `Accept the licence at ${path}`;
  return new NudgeError('MODEL_GATED', 'This model is only for those who have accepted its licence.', {
    path,
    received,
    remedy:
      token === null
        ? `${accept}, make a token at https://huggingface.co/settings/tokens and set HF_TOKEN to it.`
        : `${accept} with the account of your HF_TOKEN, and allow that token to read gated repositories.`,
  });
}

function notFound(path: string, received: string, { reference, settings, similar }: Circumstances): NudgeError {
  const names = [...new Set([...similar, ...nearestNames(reference.id)])].filter((name) => name !== reference.id);
  const hidden = settings.token === null ? ' If it is private, set HF_TOKEN to a token that may read it.' : '';
  return new NudgeError('MODEL_NOT_FOUND', `The hub has no model ${quote(reference.id)} that you may read.`, {
    path,
    received,
    remedy: `${didYouMean(names.slice(0, 4))}Check the name.${hidden}`,
  });
}

function explainConnection(error: ConnectionLost, { settings, reached }: Circumstances): NudgeError {
  const { endpoint, patience } = settings;
  const received =
    error.code === '' || error.message.includes(error.code) ? error.message : `${error.message} (${error.code})`;
  if (isCertificateError(error.code)) {
    return new NudgeError('HUB_UNREACHABLE', 'The certificate of the hub is not trusted here.', {
      path: endpoint,
      received,
      remedy: 'Behind a company proxy, set NODE_EXTRA_CA_CERTS to the file of its certificate.',
    });
  }
  if (reached) {
    return new NudgeError('DOWNLOAD_FAILED', 'The connection to the hub breaks off time and again.', {
      path: endpoint,
      received,
      remedy: 'Run the same command again: what has arrived is kept, and the download goes on from there.',
    });
  }
  const slow =
    error.code === 'TIMEOUT' ? `, raise HF_HUB_ETAG_TIMEOUT (now ${patience.first / 1000} s) on a slow connection` : '';
  return new NudgeError('HUB_UNREACHABLE', 'The hub could not be reached.', {
    path: endpoint,
    received,
    remedy: `Check the connection and the proxy (HTTPS_PROXY)${slow}, ${OFFLINE_WAY}.`,
  });
}

// Remedies for this use of pip: set-up's own speak of libtorch.
const PIP_REMEDIES: Readonly<Record<string, string>> = {
  NO_PYTHON: 'Install Python 3 with pip.',
  NO_PIP: 'Install pip: `python3 -m ensurepip`, or the package python3-pip.',
  NO_NETWORK: 'Check the connection, the proxy (HTTPS_PROXY) and pip’s index (`python3 -m pip config list`).',
  NO_WHEEL: 'Check pip’s index (`python3 -m pip config list`): it does not offer this package.',
};

/** Set-up's errors as ours. Anything else is returned as it is. */
export function explainPipError(error: unknown): unknown {
  if (!(error instanceof SetupError) || error.code === 'INTERRUPTED') return error;
  const { remedy = '', expected, ...details } = error.details;
  if (error.code === 'DISK_FULL') return new NudgeError('DISK_FULL', error.summary, error.details);
  return new NudgeError(error.code === 'CHECKSUM' ? 'CHECKSUM' : 'DOWNLOAD_FAILED', error.summary, {
    ...details,
    ...(expected === undefined || error.code === 'NO_PYTHON' ? {} : { expected }),
    remedy: PIP_REMEDIES[error.code] ?? (remedy.includes('NUDGE_TORCH') ? 'Correct what pip complains about.' : remedy),
  });
}

/** An error of the file system as a NudgeError; any other is returned as it is. */
export function explainWriteError(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return diskFull(path, error instanceof Error ? error.message : code);
  }
  if (error instanceof NudgeError || error instanceof HttpRefusal || error instanceof ConnectionLost) return error;
  return code !== undefined && /^E[A-Z]+$/.test(code) ? ioFailed('write', path, error) : error;
}

export function diskFull(path: string, received: string, expected?: number): NudgeError {
  return new NudgeError('DISK_FULL', 'There is not enough free disk space for this model.', {
    path,
    ...(expected === undefined ? {} : { expected: `${size(expected)} free` }),
    received,
    remedy: 'Free some space there, or set NUDGE_CACHE to a folder on another disk; what has arrived is kept.',
  });
}
