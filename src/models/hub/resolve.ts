/** From what a user calls a model to where it lies on this machine, fetched first when it must be. */

import { NudgeError } from '../../errors.ts';
import { SetupError } from '../../setup/failure.mjs';
import { quote } from '../files/index.ts';
import { type CacheEntry, findCached, type ModelKind, readCache } from './cache.ts';
import { type Attempt, type ModelSource, sourceName } from './events.ts';
import { findSnapshot } from './hf-cache.ts';
import type { PypiSource } from './known-models.ts';
import { findLocal } from './local.ts';
import { looksLikePath, parseReference, type Reference } from './names.ts';
import { type Pulled, pullFromHub } from './pull.ts';
import { pullFromPypi, requirement } from './pypi.ts';
import { type ResolveOptions, readSettings, type Settings } from './settings.ts';

export interface ResolvedModel {
  readonly kind: ModelKind;
  /** Absolute: a directory, or a .gguf file. */
  readonly path: string;
  readonly source: ModelSource;
  /** As it was asked for. */
  readonly name: string;
  /** `owner/name` on the hub; null for a path. */
  readonly id: string | null;
  /** The commit, or the package and its version; null for a path. */
  readonly revision: string | null;
  /** The sources that were tried before, and why they could not help. */
  readonly tried: readonly Attempt[];
  /** One line: where it came from and what should be known about that. */
  readonly explanation: string;
}

/**
 * Finds a model: an existing path, then the caches on this machine, then the hub, then the package that carries it.
 *
 *     const { kind, path, explanation } = await resolveModel('smollm2-135m-instruct');
 *
 * A copy in the cache is used without asking the hub whether there is a newer one; `pullModel` asks.
 *
 * @param nameOrPath a directory or .gguf file, a short name (`KNOWN_MODELS`), `owner/name` or `hf:owner/name`; names may end
 * in `@revision`.
 * @throws NudgeError BAD_ARGUMENT, MODEL_NOT_FOUND, MODEL_GATED, OFFLINE, MODEL_UNAVAILABLE (no source could help), and
 * what a download ends in: HUB_UNREACHABLE, HUB_FAILED, DOWNLOAD_FAILED, CHECKSUM, DISK_FULL, IO_FAILED, BAD_FILE.
 */
export async function resolveModel(nameOrPath: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  const settings = readSettings(options);
  const search = new Search(nameOrPath, settings);
  const local = search.local();
  if (local !== null) return local;
  const reference = search.reference(options.revision);
  return search.inCaches(reference) ?? (await search.fromSources(reference, false));
}

/**
 * Fetches the newest of a model's revision, though a copy of an older one may be here. When no source can be reached, the
 * copy that is here will do.
 *
 * @throws NudgeError as `resolveModel` does; BAD_ARGUMENT for a path.
 */
export async function pullModel(
  name: string,
  options: ResolveOptions & { fresh?: boolean } = {},
): Promise<ResolvedModel> {
  const settings = readSettings(options);
  const search = new Search(name, settings);
  return await search.fromSources(search.reference(options.revision), options.fresh ?? false, true);
}

class Search {
  readonly #name: string;
  readonly #settings: Settings;
  readonly #tried: Attempt[] = [];
  readonly #errors: NudgeError[] = [];

  constructor(name: string, settings: Settings) {
    this.#name = name;
    this.#settings = settings;
  }

  local(): ResolvedModel | null {
    if (this.#name.startsWith('hf:')) return null;
    const found = findLocal(this.#name);
    if (found instanceof NudgeError) {
      // A folder called gpt2 that holds something else must not stand in the way of the model.
      if (looksLikePath(this.#name) || !isName(this.#name)) throw found;
      this.#failed('local directory', `${found.path} holds no model`);
      return null;
    }
    if (found === null) return null;
    return this.#result(found, 'local directory', { id: null, revision: null, explanation: `from ${found.path}` });
  }

  reference(revision: string | undefined): Reference {
    const reference = parseReference(this.#name, revision);
    if (reference !== null) return reference;
    throw new NudgeError('BAD_ARGUMENT', 'There is nothing at this path.', {
      path: this.#name,
      expected: 'a directory with config.json and safetensors, or a .gguf file',
      received: 'no such file or directory',
      remedy: 'Correct the path, or pass a name: `nudge models list` shows them.',
    });
  }

  inCaches(reference: Reference): ResolvedModel | null {
    const entry = findCached(this.#settings, reference);
    if (entry !== null) return this.#cached(entry, reference);
    const snapshot = findSnapshot(this.#settings, reference);
    if (snapshot !== null && typeof snapshot !== 'string') {
      const explanation = "from Hugging Face's cache";
      const { path, commit, id } = snapshot;
      return this.#result({ kind: 'hf-directory', path }, 'cache', { id, revision: commit, explanation });
    }
    const damaged = readCache(this.#settings, reference.id).damaged[0];
    this.#failed(
      'cache',
      damaged ? `its copy ${damaged.name} is damaged: ${damaged.reason}` : (snapshot ?? 'it is not there'),
    );
    return null;
  }

  /** @param cachedWillDo whether an older copy may take the place of one that cannot be fetched. */
  async fromSources(reference: Reference, fresh: boolean, cachedWillDo = false): Promise<ResolvedModel> {
    const { offline } = this.#settings;
    const { known } = reference;
    const hub = await this.#try('hub', `asking ${new URL(this.#settings.endpoint).host}`, () =>
      pullFromHub(reference, this.#settings, fresh),
    );
    if (hub !== null) return this.#pulled(hub, 'hub', reference);
    const cached = cachedWillDo ? this.inCaches(reference) : null;
    if (cached !== null) return cached;
    const source = known?.pypi;
    if (known !== null && source !== undefined) {
      if (reference.revision !== null) this.#failed('pypi', `${requirement(source)} has no revisions`);
      else {
        const work = () => pullFromPypi(known, source, this.#settings, fresh);
        const pulled = await this.#try('pypi', `asking pip for ${requirement(source)}`, work);
        if (pulled !== null) return this.#pulled(pulled, 'pypi', reference);
      }
    }
    throw this.#nothing(reference, offline);
  }

  /** @returns null when the source cannot help and the next may; an error that any source would end in is thrown. */
  async #try(source: ModelSource, detail: string, work: () => Promise<Pulled>): Promise<Pulled | null> {
    const { offline, report } = this.#settings;
    if (offline !== null) {
      this.#failed(source, `not asked, since ${offline}`);
      return null;
    }
    report({ type: 'trying', source, detail });
    try {
      return await work();
    } catch (error) {
      if (error instanceof SetupError || !(error instanceof NudgeError)) throw error;
      if (error.code === 'DISK_FULL' || error.code === 'IO_FAILED') throw error;
      this.#errors.push(error);
      this.#failed(source, summarise(error));
      return null;
    }
  }

  #failed(source: ModelSource, reason: string): void {
    this.#tried.push({ source, reason });
    // That the cache is empty is no news.
    if (source !== 'cache') this.#settings.report({ type: 'failed', source, reason });
  }

  #pulled({ entry, fetched }: Pulled, source: 'hub' | 'pypi', reference: Reference): ResolvedModel {
    if (!fetched) return this.#cached(entry, reference);
    return this.#entry(entry, source, `from ${describeOrigin(entry, reference.known?.pypi)}${this.#since()}`);
  }

  #cached(entry: CacheEntry, reference: Reference): ResolvedModel {
    const origin = describeOrigin(entry, reference.known?.pypi);
    return this.#entry(entry, 'cache', `from the cache (fetched from ${origin})${this.#since()}`);
  }

  #entry(entry: CacheEntry, source: ModelSource, explanation: string): ResolvedModel {
    const { id, version, kind } = entry.manifest;
    return this.#result({ kind, path: entry.path }, source, { id, revision: version, explanation });
  }

  #since(): string {
    const failed = this.#tried.filter(({ source }) => source === 'hub' || source === 'pypi');
    return failed
      .map(({ source, reason }) => `; not from ${source === 'hub' ? 'the hub' : 'PyPI'}: ${reason}`)
      .join('');
  }

  #result(
    { kind, path }: { kind: ModelKind; path: string },
    source: ModelSource,
    more: Pick<ResolvedModel, 'id' | 'revision' | 'explanation'>,
  ): ResolvedModel {
    return { kind, path, source, name: this.#name, tried: this.#tried, ...more };
  }

  #nothing({ id, known }: Reference, offline: string | null): NudgeError {
    const [first] = this.#errors;
    // One source, one error: its own says it best.
    if (first !== undefined && known?.pypi === undefined) return first;
    const received = this.#tried.map(({ source, reason }) => `${sourceName(source)}: ${reason}`).join('\n            ');
    if (offline !== null) {
      return new NudgeError('OFFLINE', `${quote(id)} is not on this machine, and nothing was to be fetched.`, {
        path: this.#settings.cache,
        received,
        remedy: `Fetch it once with \`nudge models pull ${known?.shortName ?? id}\` where there is a network, or pass the path of a model.`,
      });
    }
    const remedies = [...new Set(this.#errors.map(({ remedy }) => remedy).filter((text) => text !== undefined))];
    return new NudgeError('MODEL_UNAVAILABLE', `${quote(id)} could not be had from any source.`, {
      received,
      remedy: remedies.join('\n            '),
      cause: first,
    });
  }
}

function isName(text: string): boolean {
  try {
    return parseReference(text) !== null;
  } catch {
    return false;
  }
}

function describeOrigin({ manifest }: CacheEntry, pypi: PypiSource | undefined): string {
  if (manifest.source === 'pypi') {
    return pypi === undefined ? manifest.version : `PyPI, ${requirement(pypi)}, ${pypi.note}`;
  }
  return `${new URL(manifest.origin).host}, ${manifest.revisions.at(-1)} at ${manifest.version.slice(0, 7)}`;
}

/** An error in one line. */
function summarise({ message, received }: NudgeError): string {
  const summary = (message.split('\n')[0] ?? '').replace(/\.$/, '');
  const detail = received?.split('\n')[0]?.trim() ?? '';
  const lower = summary.charAt(0).toLowerCase() + summary.slice(1);
  return detail === '' ? lower : `${lower} (${detail})`;
}
