/** Which files of a repository a model needs: its configuration, its tokenizer, its weights in safetensors, each once. */

import { NudgeError } from '../../errors.ts';
import { quote, quoteSome } from '../files/index.ts';

export const CONFIG = 'config.json';
export const WEIGHTS = 'model.safetensors';
export const WEIGHTS_INDEX = 'model.safetensors.index.json';

const SMALL_FILES: ReadonlySet<string> = new Set([
  CONFIG,
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'chat_template.json',
]);
const SHARD = /^model-\d{5}-of-\d{5}\.safetensors$/;

/**
 * Chooses among a repository's files: never weights in other formats, nor the same weights twice (`consolidated.safetensors`
 * beside the shards).
 *
 * @param where shown in errors.
 * @throws NudgeError BAD_FILE when there is no model that Nudge can read.
 */
export function selectFiles<F extends { readonly path: string }>(files: readonly F[], where: string): F[] {
  const names = new Set(files.map(({ path }) => path));
  const isWeights = names.has(WEIGHTS)
    ? (path: string) => path === WEIGHTS
    : (path: string) => path === WEIGHTS_INDEX || (names.has(WEIGHTS_INDEX) && SHARD.test(path));
  const weights = files.filter(({ path }) => isWeights(path));
  if (!names.has(CONFIG) || weights.length === 0) throw noModel([...names], where);
  return [...files.filter(({ path }) => SMALL_FILES.has(path)), ...weights];
}

/** The files that an index of shards names. @throws NudgeError BAD_FILE when it is not an index. */
export function shardsOf(index: string, where: string): string[] {
  let map: unknown;
  try {
    map = (JSON.parse(index) as { weight_map?: unknown } | null)?.weight_map;
  } catch {
    // Said below.
  }
  const names = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : [];
  if (names.length > 0 && names.every((name) => typeof name === 'string' && SHARD.test(name))) return names as string[];
  throw new NudgeError('BAD_FILE', 'The index of this sharded model is not valid.', {
    path: where,
    expected: 'a weight_map to files such as model-00001-of-00002.safetensors',
    received: names.length > 0 ? quoteSome(names.map(String)) : 'none',
    remedy: 'Choose another revision, or tell the owner of the repository.',
  });
}

function noModel(names: readonly string[], where: string): NudgeError {
  const expected = `${CONFIG} and ${WEIGHTS}, or its index ${WEIGHTS_INDEX} with the shards`;
  const find = (pattern: RegExp) => names.find((name) => pattern.test(name));
  const gguf = find(/\.gguf$/);
  const pickle = find(/\.(bin|pt|pth|h5|msgpack|ckpt)$/);
  const adapter = find(/^adapter_(config|model)\./);
  const [received, remedy] =
    gguf !== undefined
      ? [`GGUF files, such as ${quote(gguf)}`, 'Download the .gguf file that you want, and pass its path.']
      : adapter !== undefined
        ? [`an adapter (${quote(adapter)})`, 'Name the base model; its adapter_config.json says which it is.']
        : pickle !== undefined
          ? [`weights in another format, such as ${quote(pickle)}`, 'Look for a revision or a copy with safetensors.']
          : [names.length === 0 ? 'no files' : quoteSome([...names].sort()), 'Check that this is a language model.'];
  return new NudgeError('BAD_FILE', 'This repository holds no model in safetensors.', {
    path: where,
    expected,
    received,
    remedy,
  });
}
