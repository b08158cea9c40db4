/**
 * The hub's API, as far as a download needs it: which commit a revision is, which files it holds, their bytes.
 *
 * `@huggingface/hub` knows the API, and lists; it fetches a file as one Blob from its beginning, without resuming, timeouts,
 * retries or a checksum, so fetching is ours.
 */

import { listFiles, listModels, modelInfo } from '@huggingface/hub';
import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';
import { ConnectionLost, HttpRefusal, type Streamed, send, sendForAll, withRetries } from './http.ts';
import { isCommit } from './names.ts';
import type { Settings } from './settings.ts';

/** A file of a repository at one commit. */
export interface RemoteFile {
  readonly path: string;
  readonly bytes: number;
  /** What the content must hash to: `sha256` for large files, which are in LFS, Git's own `sha1` of a blob for the rest. */
  readonly digest: { readonly algorithm: 'sha256' | 'git-sha1'; readonly hex: string } | null;
}

export interface Repository {
  readonly commit: string;
  readonly gated: boolean;
}

// Far more than any model has; a server that never stops listing must not fill the memory.
const MAX_FILES = 10_000;

export class HubClient {
  readonly #settings: Settings;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /**
   * What a revision of a model is now. The first contact: a hub that cannot be reached fails here, quickly and for good.
   *
   * @throws HttpRefusal, ConnectionLost; NudgeError HUB_FAILED when the answer makes no sense.
   */
  async repository(id: string, revision: string): Promise<Repository> {
    const { endpoint, patience } = this.#settings;
    const ask = () =>
      modelInfo({
        name: id,
        revision,
        hubUrl: endpoint,
        additionalFields: ['sha'],
        fetch: this.#fetch(patience.first),
      });
    const info = await ask().catch((error: unknown) => {
      // Overload passes; no route to the host does not, in the seconds that a user should have to wait.
      if (error instanceof HttpRefusal) return withRetries(ask, this.#settings, 'the hub');
      // A connection kept from an earlier request may have been closed at the other end meanwhile.
      if (error instanceof ConnectionLost && /^(UND_ERR_SOCKET|ECONNRESET|EPIPE)$/.test(error.code)) return ask();
      throw error;
    });
    if (!isCommit(info.sha)) throw this.#nonsense(id, 'the 40 digits of a commit', info.sha);
    return { commit: info.sha, gated: Boolean(info.gated) };
  }

  /**
   * The files in the repository's own folder, without those below it.
   *
   * @throws HttpRefusal, ConnectionLost; NudgeError HUB_FAILED when a file's name would lead out of its folder.
   */
  async files(id: string, commit: string): Promise<RemoteFile[]> {
    const { endpoint, patience } = this.#settings;
    const list = async () => {
      const files: RemoteFile[] = [];
      const repo = { type: 'model', name: id } as const;
      const options = { repo, revision: commit, hubUrl: endpoint, fetch: this.#fetch(patience.answer) };
      for await (const entry of listFiles(options)) {
        this.#checkPath(id, entry.path);
        if (entry.type === 'file') files.push(this.#readEntry(id, entry));
        if (files.length > MAX_FILES) throw this.#nonsense(id, `at most ${MAX_FILES} files`, 'more');
      }
      return files;
    };
    return await withRetries(list, this.#settings, 'the list of files');
  }

  /** A file's bytes from `from` on; a server may begin at 0 nonetheless (status 200). @throws HttpRefusal, ConnectionLost */
  async open(id: string, commit: string, path: string, from: number, signal: AbortSignal): Promise<Streamed> {
    const { endpoint, patience } = this.#settings;
    return await send(`${endpoint}/${id}/resolve/${commit}/${encodeURIComponent(path)}`, this.#settings, {
      patience: patience.answer,
      signal,
      headers: {
        // Compressed, its length would be another one and a range of it something else.
        'accept-encoding': 'identity',
        ...(from > 0 ? { range: `bytes=${from}-` } : {}),
      },
    });
  }

  /** Models on the hub with a name like this one, most used first; none when asking fails. */
  async similar(id: string): Promise<string[]> {
    const { endpoint, patience } = this.#settings;
    try {
      const found: string[] = [];
      const search = { query: id.split('/').at(-1) ?? id };
      const options = {
        search,
        sort: 'downloads',
        limit: 3,
        hubUrl: endpoint,
        fetch: this.#fetch(patience.first),
      } as const;
      for await (const { name } of listModels(options)) found.push(name);
      return found;
    } catch {
      return [];
    }
  }

  #fetch(patience: number): typeof fetch {
    return (input, init) => {
      const headers = Object.fromEntries(new Headers(init?.headers));
      return sendForAll(input as string, this.#settings, { patience, headers });
    };
  }

  #readEntry(
    id: string,
    entry: { path: string; size: number; oid?: string; lfs?: { oid: string; size: number } },
  ): RemoteFile {
    const { path, lfs, oid = '' } = entry;
    const bytes = lfs?.size ?? entry.size;
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw this.#nonsense(id, `a size for ${quote(path)}`, bytes);
    if (lfs !== undefined) {
      if (!/^[0-9a-f]{64}$/.test(lfs.oid)) throw this.#nonsense(id, `a SHA-256 for ${quote(path)}`, lfs.oid);
      return { path, bytes, digest: { algorithm: 'sha256', hex: lfs.oid } };
    }
    return { path, bytes, digest: isCommit(oid) ? { algorithm: 'git-sha1', hex: oid } : null };
  }

  /** Names come from whoever made the repository; they end up as names of files here. */
  #checkPath(id: string, path: unknown): void {
    const parts = typeof path === 'string' ? path.split(/[/\\]/) : [''];
    const safe = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !/[\p{Cc}:]/u.test(part));
    if (safe) return;
    throw new NudgeError('HUB_FAILED', 'The hub lists a file whose name would lead out of its folder.', {
      path: `${this.#settings.endpoint}/${id}`,
      expected: 'names of files within the repository',
      received: quote(String(path)),
      remedy: 'Do not use this repository, and check HF_ENDPOINT if you have set it.',
    });
  }

  #nonsense(id: string, expected: string, received: unknown): NudgeError {
    return new NudgeError('HUB_FAILED', 'The hub gave an answer that makes no sense.', {
      path: `${this.#settings.endpoint}/${id}`,
      expected,
      received: quote(String(received)),
      remedy: 'Check HF_ENDPOINT if you have set it, or try again later.',
    });
  }
}
