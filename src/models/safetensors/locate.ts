/**
 * From what the user passes (a file, an index, a model's directory) to the files that hold the tensors.
 *
 * A large model comes in shards with an index beside them, `model.safetensors.index.json`, as `transformers` writes it:
 * `{"metadata": {"total_size": ...}, "weight_map": {"<tensor>": "<shard>"}}`.
 */

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { bytes, errorCode, FileSource, ioFailed, quote, quoteSome, readBytes } from '../files/index.ts';
import { MAX_HEADER_BYTES } from './format.ts';
import { tensorPath } from './header.ts';
import { parseStrictJson, StrictJsonError } from './json.ts';

/** The names under which a model's directory holds its weights. */
export const SINGLE_FILE = 'model.safetensors';
export const INDEX_SUFFIX = '.index.json';

/** One file with every tensor it holds, or shards with the tensors that the index assigns to them. */
export interface Location {
  /** The file or index that was found, for errors. */
  readonly path: string;
  /** Full path of each file -> names of the tensors to take from it; null for all of them. */
  readonly files: ReadonlyMap<string, readonly string[] | null>;
}

/**
 * Finds the files behind a path: a `.safetensors` file, an index (`*.json`), or a directory that holds either under its
 * usual name. Where a directory holds both, the single file is taken, as `transformers` does.
 *
 * @throws NudgeError IO_FAILED when nothing is there, BAD_FILE when the index is not valid.
 */
export async function locate(path: string): Promise<Location> {
  const found = await stat(path).catch((error) => {
    throw ioFailed('open', path, error);
  });
  const file = found.isDirectory() ? await findInDirectory(path) : path;
  if (!file.endsWith('.json')) return { path: file, files: new Map([[file, null]]) };
  const files = new Map<string, string[]>();
  for (const [tensor, shard] of parseIndex(await readIndex(file), file)) {
    const shardPath = join(dirname(file), shard);
    const names = files.get(shardPath);
    if (names === undefined) files.set(shardPath, [tensor]);
    else names.push(tensor);
  }
  return { path: file, files };
}

async function findInDirectory(directory: string): Promise<string> {
  const present = await readdir(directory).catch((error) => {
    throw ioFailed('list', directory, error);
  });
  const name = [SINGLE_FILE, SINGLE_FILE + INDEX_SUFFIX].find((candidate) => present.includes(candidate));
  if (name !== undefined) return join(directory, name);
  const others = present.filter((entry) => entry.endsWith('.safetensors') || entry.endsWith('.bin')).sort();
  throw new NudgeError('BAD_FILE', 'This directory holds no safetensors model.', {
    path: directory,
    expected: `${SINGLE_FILE} or ${SINGLE_FILE}${INDEX_SUFFIX}`,
    received: others.length > 0 ? quoteSome(others) : 'neither, nor any other weights',
    remedy: others.some((entry) => entry.endsWith('.safetensors'))
      ? 'Pass the path of the .safetensors file itself.'
      : 'Check the path, or download the model again with its safetensors files.',
  });
}

async function readIndex(file: string): Promise<Uint8Array> {
  await using source = await FileSource.open(file);
  if (source.size > MAX_HEADER_BYTES) {
    throw new NudgeError('BAD_FILE', 'This index is too large.', {
      path: file,
      expected: `at most ${bytes(MAX_HEADER_BYTES)}`,
      received: bytes(source.size),
      remedy: 'Pass the index of a sharded safetensors model.',
    });
  }
  return await readBytes(source, 0, source.size);
}

/**
 * Parses an index: tensor name -> name of the shard, in the index's order.
 *
 * Only `weight_map` counts. `metadata.total_size` is not checked: published indexes have it as a float, wrong or not at all.
 *
 * @param file shown in errors.
 * @throws NudgeError BAD_FILE, also for a shard outside the index's own directory: an index comes from the network and must
 * not make us read `../../.ssh/id_rsa`. (A shard may be a symbolic link: Hugging Face's cache is made of them.)
 */
export function parseIndex(json: Uint8Array, file: string): ReadonlyMap<string, string> {
  const fail = (path: string, expected: string, received: string, cause?: unknown) =>
    new NudgeError('BAD_FILE', 'The index of this sharded model is not valid.', {
      path,
      expected,
      received,
      remedy: 'Download the index again from the same revision as the shards.',
      cause,
    });
  const root = parseIndexJson(json, (received, cause) =>
    fail(file, 'JSON in which no key is repeated', received, cause),
  );
  const weightMap = root instanceof Map ? root.get('weight_map') : undefined;
  if (!(weightMap instanceof Map)) throw fail(file, 'an object with the object "weight_map"', 'none');
  const shards = new Map<string, string>();
  for (const [tensor, shard] of weightMap) {
    const path = tensorPath(file, tensor);
    if (typeof shard !== 'string') throw fail(path, "a shard's file name", 'something else than a string');
    if (!isPlainFileName(shard)) throw fail(path, 'a .safetensors file name without a directory', quote(shard));
    shards.set(tensor, shard);
  }
  return shards;
}

function parseIndexJson(json: Uint8Array, fail: (received: string, cause: unknown) => NudgeError) {
  try {
    return parseStrictJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json));
  } catch (cause) {
    if (cause instanceof StrictJsonError) throw fail(cause.message, cause);
    if (cause instanceof TypeError) throw fail('bytes that are not UTF-8', cause);
    throw cause;
  }
}

// Separators and drive letters of every system, whichever we run on: a file that is safe here must be safe elsewhere.
function isPlainFileName(name: string): boolean {
  return name.endsWith('.safetensors') && !/[/\\:\0]/.test(name) && basename(name) === name;
}

/** Opens a shard; that it is missing is the fault of the download, not of the caller's path. */
export async function openShard(file: string, index: string): Promise<FileSource> {
  try {
    return await FileSource.open(file);
  } catch (cause) {
    if (!(cause instanceof NudgeError) || errorCode(cause.cause) !== 'ENOENT') throw cause;
    throw new NudgeError('BAD_FILE', 'A shard of this model is missing.', {
      path: index,
      expected: `the file ${quote(basename(file))} beside the index`,
      received: 'no such file',
      remedy: 'Download the missing shard; the model is incomplete without it.',
      cause,
    });
  }
}
