/** Writing a model, in one file or in shards, so that a crash at any moment leaves the old one, the new one, or a loud error. */

import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { bytes, fileExists, ioFailed, quote, syncDirectory, TemporaryFile } from '../files/index.ts';
import {
  indexJson,
  type Layout,
  layOut,
  type PlannedTensor,
  planTensors,
  type RawTensor,
  splitIntoShards,
} from './layout.ts';
import { INDEX_SUFFIX } from './locate.ts';

export interface SaveOptions {
  /** Free text for the header of every file, such as `{ format: 'pt' }`, which `transformers` likes to see. Default: none. */
  metadata?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
  /** Replace the model at this path, be it one file or shards. Default: false, refuse. */
  overwrite?: boolean;
  /**
   * Split the tensors, in the order given, into files of at most so many bytes of data, with an index beside them. A single
   * larger tensor gets a file of its own. When everything fits, one file without an index is written. Default: one file.
   */
  maxShardBytes?: number;
}

const EXTENSION = '.safetensors';

/**
 * Writes tensors given as bytes. See {@link saveSafetensors} for the promises it keeps; this one runs without libtorch.
 *
 * @returns the paths written, the index last.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, RawTensor]>,
  options: SaveOptions = {},
): Promise<string[]> {
  const { overwrite = false } = options;
  const family = new ModelFiles(path);
  const files = planFiles(family, planTensors(tensors), options);
  const existing = await family.existing();
  if (existing.length > 0 && !overwrite) throw fileExists(existing);

  await using temporaries = new AsyncDisposableStack();
  const written: TemporaryFile[] = [];
  for (const { destination, layout } of files) {
    const file = temporaries.use(await TemporaryFile.create(destination));
    await writeLayout(file, layout);
    written.push(file);
  }
  if (files.length > 1) {
    const index = temporaries.use(await TemporaryFile.create(family.index));
    await index.write(
      indexJson(files.map(({ destination, layout }) => ({ file: basename(destination), tensors: layout.tensors }))),
    );
    await index.seal();
    await publishShards(family, written, index, overwrite);
    written.push(index);
  } else {
    await publish(written, overwrite);
  }
  await syncDirectory(family.directory);
  for (const file of written) file.release();

  const paths = files.map(({ destination }) => destination);
  if (files.length > 1) paths.push(family.index);
  // What is left of the model that was replaced. The index goes first: without it nobody looks at its shards.
  for (const stale of existing) if (!paths.includes(stale)) await remove(stale);
  return paths;
}

/** All temporaries are complete now; what happens between the two names of a sharded model must never look valid. */
async function publishShards(
  family: ModelFiles,
  shards: readonly TemporaryFile[],
  index: TemporaryFile,
  overwrite: boolean,
): Promise<void> {
  if (overwrite) {
    // An old index over a mixture of old and new shards would load without a word. No index at all is an error.
    await remove(family.index);
    await syncDirectory(family.directory);
  }
  await publish(shards, overwrite);
  await syncDirectory(family.directory);
  await index.publish(overwrite);
}

async function publish(files: readonly TemporaryFile[], overwrite: boolean): Promise<void> {
  for (const file of files) await file.publish(overwrite);
}

async function writeLayout(file: TemporaryFile, layout: Layout): Promise<void> {
  await file.write(layout.header);
  for (const { name, tensor, size } of layout.tensors) {
    const data = typeof tensor.bytes === 'function' ? await tensor.bytes() : tensor.bytes;
    if (data.length !== size) {
      throw new NudgeError('BAD_ARGUMENT', 'The data of this tensor does not fit its shape.', {
        path: quote(name),
        expected: `${bytes(size)} for ${tensor.dtype} of shape [${tensor.shape.join(', ')}]`,
        received: bytes(data.length),
        remedy: 'Pass the bytes of every element, once.',
      });
    }
    await file.write(data);
  }
  await file.seal();
}

interface PlannedFile {
  readonly destination: string;
  readonly layout: Layout;
}

function planFiles(family: ModelFiles, tensors: PlannedTensor[], options: SaveOptions): PlannedFile[] {
  const { maxShardBytes } = options;
  if (maxShardBytes !== undefined && !(Number.isSafeInteger(maxShardBytes) && maxShardBytes > 0)) {
    throw new NudgeError('BAD_ARGUMENT', 'The size of a shard is not valid.', {
      path: 'maxShardBytes',
      expected: 'a positive integer, in bytes',
      received: String(maxShardBytes),
      remedy: 'Pass for example 5e9 for shards of 5 GB.',
    });
  }
  const metadata = metadataMap(options.metadata);
  const shards = maxShardBytes === undefined ? [tensors] : splitIntoShards(tensors, maxShardBytes);
  return shards.map((shard, i) => ({
    destination: shards.length === 1 ? family.single : family.shard(i, shards.length),
    layout: layOut(shard, metadata),
  }));
}

function metadataMap(metadata: SaveOptions['metadata']): ReadonlyMap<string, string> | null {
  if (metadata === undefined) return null;
  return metadata instanceof Map ? metadata : new Map(Object.entries(metadata));
}

/** The names that one model can have on disk. */
class ModelFiles {
  readonly directory: string;
  readonly single: string;
  readonly index: string;
  readonly #stem: string;

  constructor(path: string) {
    if (!path.endsWith(EXTENSION) || basename(path) === EXTENSION) {
      throw new NudgeError('BAD_ARGUMENT', 'This is not a path for a safetensors file.', {
        path,
        expected: `a file name that ends in ${EXTENSION}`,
        received: quote(basename(path)),
        remedy: `Save to for example ${join(path, `model${EXTENSION}`)}.`,
      });
    }
    this.directory = dirname(path);
    this.single = path;
    this.index = path + INDEX_SUFFIX;
    this.#stem = basename(path, EXTENSION);
  }

  /** The path of shard `i` of `count`, numbered from 1 in the name. */
  shard(i: number, count: number): string {
    const number = (n: number) => String(n).padStart(5, '0');
    return join(this.directory, `${this.#stem}-${number(i + 1)}-of-${number(count)}${EXTENSION}`);
  }

  /** Which of them exist: the index first, then the single file, then shards of any count. */
  async existing(): Promise<string[]> {
    const present = await readdir(this.directory).catch((error) => {
      throw ioFailed('write', this.single, error);
    });
    const prefix = `${this.#stem}-`;
    const isShard = (name: string) =>
      name.startsWith(prefix) && /^\d{5,}-of-\d{5,}\.safetensors$/.test(name.slice(prefix.length));
    const named = [this.index, this.single].filter((path) => present.includes(basename(path)));
    const found = [...named, ...present.filter(isShard).map((name) => join(this.directory, name))];
    for (const path of found) await refuseDirectory(path);
    return found;
  }
}

async function refuseDirectory(path: string): Promise<void> {
  // A dangling link is no directory.
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory() !== true) return;
  throw new NudgeError('FILE_EXISTS', 'A directory is where the file should go.', {
    path,
    expected: 'a file or nothing',
    received: 'a directory',
    remedy: 'Choose another path or move the directory away.',
  });
}

async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch((error) => {
    throw ioFailed('remove', path, error);
  });
}
