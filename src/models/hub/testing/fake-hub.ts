/**
 * A hub on this machine, for tests: real HTTP, the API's paths, answers and headers as the real one has them, two hosts (large
 * files are redirected to another), and faults on demand.
 */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FakeRepository {
  /** Path -> content; what is over 1 kB counts as LFS. */
  files: Record<string, Buffer>;
  commit: string;
  /** Branches and tags besides `main`. */
  refs?: Record<string, string>;
  gated?: boolean;
  /** Answered as the hub answers for a repository that one may not know of. */
  private?: boolean;
  /** More lines of the listing, for what no repository should hold. */
  extra?: object[];
  /** Sends those who list its files to another host for the next page. */
  pagesElsewhere?: boolean;
  /** Lists a file with these fields in place of its own. */
  listed?: Record<string, object>;
}

/** What happens to one request in place of a good answer. */
export interface Fault {
  status?: number;
  headers?: Record<string, string>;
  /** Send this much of the body, and `cut` it there. */
  after?: number;
  /** Break the connection, end it as if that were all, or say nothing more. */
  cut?: 'reset' | 'end' | 'stall';
  /** Break it only when this is so: a reset also destroys what is still on its way. */
  until?: () => boolean;
  /** Change the first byte. */
  corrupt?: boolean;
  /** Answer a range with the whole. */
  ignoreRange?: boolean;
  /** Milliseconds before the answer. */
  delay?: number;
  /** Milliseconds between pieces of 16 kB. */
  slow?: number;
  /** In place of the body. */
  body?: string;
}

export interface Seen {
  readonly host: 'hub' | 'cdn';
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

const LFS_FROM = 1024;
const TOKEN = 'hf_a_token_that_is_accepted';

export class FakeHub implements AsyncDisposable {
  readonly repositories = new Map<string, FakeRepository>();
  readonly seen: Seen[] = [];
  /** Asked about each request; the index counts the requests for this path, from 0. */
  fault: (request: Seen, index: number) => Fault | undefined = () => undefined;
  readonly #servers: Server[] = [];
  endpoint = '';
  #cdn = '';

  static readonly token = TOKEN;

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    hub.endpoint = await hub.#listen('hub');
    hub.#cdn = await hub.#listen('cdn');
    return hub;
  }

  /** How often a path that ends so was asked for. */
  requests(suffix: string): Seen[] {
    return this.seen.filter(({ path }) => path.endsWith(suffix));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#servers.map((server) => {
        server.closeAllConnections();
        return new Promise((resolve) => server.close(resolve));
      }),
    );
  }

  async #listen(host: Seen['host']): Promise<string> {
    const server = createServer((request, response) => {
      this.#answer(host, request, response).catch(() => response.destroy());
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async #answer(host: Seen['host'], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://hub');
    const { range, authorization } = request.headers;
    const seen: Seen = { host, path: decodeURIComponent(url.pathname), range, authorization };
    const index = this.seen.filter((other) => other.path === seen.path && other.host === host).length;
    this.seen.push(seen);
    const fault = this.fault(seen, index) ?? {};
    if (fault.delay !== undefined) await sleep(fault.delay);
    if (fault.status !== undefined) {
      response.writeHead(fault.status, fault.headers).end(fault.body ?? '{}');
      return;
    }
    if (fault.body !== undefined) response.writeHead(200, { 'content-type': 'text/html' }).end(fault.body);
    else if (seen.path === '/api/models') this.#search(url, response);
    else if (seen.path.startsWith('/api/models/')) this.#describe(seen, url, response);
    else if (host === 'cdn') await this.#sendLarge(seen, fault, response);
    else await this.#resolve(seen, fault, response);
  }

  /** The part of the API that says what there is. */
  #describe(seen: Seen, url: URL, response: ServerResponse): void {
    const [, id = '', what = '', revision = ''] =
      /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree)\/(.+)$/.exec(seen.path) ?? [];
    const repository = this.#find(id, seen, response);
    if (repository === null) return;
    const commit = commitOf(repository, revision);
    if (commit === undefined) {
      refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
      return;
    }
    if (what === 'revision') {
      const gated = repository.gated ? 'manual' : false;
      json(response, {
        _id: 'x',
        id,
        sha: commit,
        gated,
        private: false,
        downloads: 1,
        likes: 1,
        lastModified: 0,
      });
      return;
    }
    const entries = [
      ...Object.keys(repository.files).map((path) => listing(repository, path)),
      ...(repository.extra ?? []),
    ];
    // Pages of four, to see that all are fetched.
    const cursor = Number(url.searchParams.get('cursor') ?? 0);
    url.searchParams.set('cursor', String(cursor + 4));
    const next = `${repository.pagesElsewhere ? this.#cdn : this.endpoint}${url.pathname}${url.search}`;
    const more = cursor + 4 < entries.length;
    json(response, entries.slice(cursor, cursor + 4), more ? { link: `<${next}>; rel="next"` } : {});
  }

  #search(url: URL, response: ServerResponse): void {
    const query = (url.searchParams.get('search') ?? '').toLowerCase();
    const found = [...this.repositories.keys()].filter((id) => id.toLowerCase().includes(query));
    json(
      response,
      found.map((id) => ({ _id: 'x', id, downloads: 1, likes: 1, lastModified: 0, gated: false })),
    );
  }

  /** A file: small ones are sent, large ones are redirected to another host with a signature. */
  async #resolve(seen: Seen, fault: Fault, response: ServerResponse): Promise<void> {
    const [, id = '', commit = '', path = ''] = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(seen.path) ?? [];
    const repository = this.#find(id, seen, response);
    if (repository === null) return;
    const content = repository.files[path];
    if (repository.gated && seen.authorization !== `Bearer ${TOKEN}`) {
      const status = seen.authorization === undefined ? 401 : 403;
      refuse(response, status, 'GatedRepo', `Access to model ${id} is restricted.`);
      return;
    }
    if (content === undefined || commit !== repository.commit) {
      refuse(response, 404, 'EntryNotFound', 'Entry not found');
      return;
    }
    const headers = { 'x-repo-commit': commit, 'accept-ranges': 'bytes' };
    if (content.length < LFS_FROM) {
      await send(response, content, seen.range, fault, { ...headers, etag: `"${gitSha1(content)}"` });
      return;
    }
    response
      .writeHead(302, {
        ...headers,
        location: `${this.#cdn}/${id}/${path}?signature=abc`,
        'x-linked-size': content.length,
        'x-linked-etag': `"${sha256(content)}"`,
      })
      .end();
  }

  async #sendLarge(seen: Seen, fault: Fault, response: ServerResponse): Promise<void> {
    const [, id = '', path = ''] = /^\/([^/]+\/[^/]+)\/(.+)$/.exec(seen.path) ?? [];
    const content = this.repositories.get(id)?.files[path];
    if (content === undefined) response.writeHead(404).end();
    else await send(response, content, seen.range, fault, { etag: '"of the other host"' });
  }

  #find(id: string, { authorization }: Seen, response: ServerResponse): FakeRepository | null {
    if (authorization !== undefined && authorization !== `Bearer ${TOKEN}`) {
      refuse(response, 401, '', 'Invalid credentials in Authorization header');
      return null;
    }
    const repository = this.repositories.get(id);
    if (repository !== undefined && (!repository.private || authorization !== undefined)) return repository;
    // The hub's answer to those who are not signed in is 401, to the others 404.
    if (authorization === undefined) refuse(response, 401, '', 'Invalid username or password.');
    else refuse(response, 404, 'RepoNotFound', 'Repository not found');
    return null;
  }
}

async function send(
  response: ServerResponse,
  content: Buffer,
  range: string | undefined,
  fault: Fault,
  headers: Record<string, string>,
): Promise<void> {
  const from = fault.ignoreRange ? 0 : Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
  if (from >= content.length && from > 0) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
    return;
  }
  let body = content.subarray(from);
  if (fault.corrupt) body = Buffer.concat([Buffer.from([(body[0] ?? 0) ^ 1]), body.subarray(1)]);
  const partial = from > 0 ? { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` } : {};
  // Without a length the end of a body is wherever the server says: only the size in the listing tells that it is too early.
  const length = fault.cut === 'end' ? {} : { 'content-length': body.length };
  response.writeHead(from > 0 ? 206 : 200, { ...headers, ...partial, ...length });
  response.flushHeaders();
  const sent = fault.after === undefined ? body : body.subarray(0, fault.after);
  for (let at = 0; at < sent.length && !response.destroyed; at += 16_384) {
    const piece = sent.subarray(at, at + 16_384);
    if (!response.write(piece))
      await new Promise<void>((resolve) => response.once('drain', resolve).once('close', resolve));
    if (fault.slow !== undefined) await sleep(fault.slow);
  }
  for (let i = 0; i < 2000 && fault.until?.() === false; i++) await sleep(5);
  if (fault.cut === 'reset') response.socket?.resetAndDestroy();
  else if (fault.cut !== 'stall') response.end();
}

function listing({ files, listed }: FakeRepository, path: string): object {
  const content = files[path] as Buffer;
  const large = content.length >= LFS_FROM;
  return {
    type: 'file',
    path,
    size: content.length,
    oid: gitSha1(large ? Buffer.from(`a pointer to ${path}`) : content),
    ...(large ? { lfs: { oid: sha256(content), size: content.length, pointerSize: 134 } } : {}),
    ...listed?.[path],
  };
}

function commitOf(repository: FakeRepository, revision: string): string | undefined {
  if (revision === 'main' || revision === repository.commit) return repository.commit;
  return repository.refs?.[revision];
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  const headers = { ...(code === '' ? {} : { 'x-error-code': code }), 'x-error-message': message };
  response
    .writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(JSON.stringify({ error: message }));
}

function json(response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
}

export const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
export const gitSha1 = (content: Buffer): string =>
  createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
