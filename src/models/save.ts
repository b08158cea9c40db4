/** From a model to a Hugging Face directory that transformers loads. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Tensor, torch } from '../tensor/index.ts';
import type { ConfigJson } from './config.ts';
import { replaceFiles, writeJson, writeWhole } from './directory.ts';
import { MODEL_FAMILIES } from './families/index.ts';
import { ioFailed } from './files/index.ts';
import type { CausalModel } from './model.ts';
import { saveSafetensors } from './safetensors/index.ts';

export interface SaveModelOptions {
  /** Replace the model in this directory. Default false: refuse. */
  overwrite?: boolean;
  /** Split the weights into files of at most so many bytes. Default: one file. */
  maxShardBytes?: number;
  /**
   * The directory whose tokenizer, generation settings and licence go along. Default: where the model was loaded from; null for
   * none.
   */
  source?: string | null;
  /** Further files by name, such as a tokenizer's; they come before those of `source`. */
  files?: ReadonlyMap<string, string | Uint8Array>;
}

/** What belongs to a model besides its weights and configuration, in all the shapes that tokenizers have on the hub. */
const COMPANIONS =
  /^(generation_config\.json|tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|chat_template\..+|.+\.tiktoken)$/;
const LICENCE = /^(LICENSE|NOTICE)(\..+)?$/;
const WEIGHTS = /^((model|pytorch_model)([.-].+)?\.(safetensors|bin)|(model|pytorch_model)\..+\.index\.json)$/;

/**
 * Saves a model as `config.json`, `model.safetensors` (or shards) and its companions. Adapters stay out, unless they are merged.
 *
 * A crash leaves the old model or the new one; while one takes the other's place, for a moment, a directory without
 * `config.json`, which nothing loads.
 *
 * @returns the paths written.
 * @throws NudgeError FILE_EXISTS when a model is there and `overwrite` is false; IO_FAILED.
 */
export async function saveModel(
  directory: string,
  model: CausalModel,
  options: SaveModelOptions = {},
): Promise<string[]> {
  const { overwrite = false, maxShardBytes, source = model.source, files = new Map() } = options;
  const owns = (name: string) =>
    name === 'config.json' || WEIGHTS.test(name) || COMPANIONS.test(name) || files.has(name);
  return await replaceFiles(directory, { marker: 'config.json', owns, overwrite }, async (temporary) => {
    for (const [name, contents] of files) await writeWhole(join(temporary, basename(name)), contents);
    if (source !== null) await copyCompanions(source, temporary, new Set(files.keys()));
    await saveSafetensors(join(temporary, 'model.safetensors'), savedTensors(model), {
      metadata: { format: 'pt' },
      ...(maxShardBytes === undefined ? {} : { maxShardBytes }),
    });
    await writeJson(join(temporary, 'config.json'), savedConfig(model));
  });
}

/** The parameters by name. transformers' score heads have no offset: an offset of zero is left out. */
export function savedTensors(model: CausalModel): ReadonlyMap<string, Tensor> {
  const tensors = new Map<string, Tensor>(model.namedParameters());
  const isZero = torch.scope(() => model.score?.bias.eq(0).all().item<boolean>() ?? false);
  if (isZero) tensors.delete('score.bias');
  return tensors;
}

/** What was read, with the class and the precision that are saved now. */
function savedConfig(model: CausalModel): ConfigJson {
  const { json, modelType } = model.config;
  const { languageModel, scorer } = MODEL_FAMILIES[modelType]!.classNames;
  const dtypeKey = 'torch_dtype' in json && !('dtype' in json) ? 'torch_dtype' : 'dtype';
  const saved = { ...json, [dtypeKey]: model.dtype };
  if (model.score === null) return { ...saved, architectures: [languageModel] };
  // One label: transformers takes two where nothing is said.
  return { ...saved, architectures: [scorer], id2label: { 0: 'LABEL_0' }, label2id: { LABEL_0: 0 } };
}

async function copyCompanions(source: string, into: string, taken: ReadonlySet<string>): Promise<void> {
  const present = await readdir(source).catch((error) => {
    throw ioFailed(
      'list',
      source,
      error,
      'It holds the tokenizer that belongs to this model; pass `source` for another.',
    );
  });
  for (const name of present) {
    if (taken.has(name) || !(COMPANIONS.test(name) || LICENCE.test(name))) continue;
    const contents = await readFile(join(source, name)).catch((error) => {
      throw ioFailed('read', join(source, name), error);
    });
    await writeWhole(join(into, name), contents);
  }
}
