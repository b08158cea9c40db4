/** Writing an open model, with its tokenizer, in the formats that other programs read. */
import { mkdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { NudgeError } from '../errors.ts';
import {
  type GgufMetadata,
  ggufString,
  ggufTokenizerMetadata,
  openGguf,
  type SavedType,
  saveGgufModel,
  saveModel,
} from '../models/index.ts';
import { tokenizerFiles } from '../text/index.ts';
import type { Pretrained } from './open.ts';

/** Disposing of it is not needed to save it. */
export type Saveable = Pick<Pretrained, 'model' | 'tokenizer' | 'resolved'>;

/**
 * What belongs beside the weights of a model from a GGUF file, by name: pass it to `saveModel` as `files`. Empty for a model from
 * a directory, whose files `saveModel` copies by itself.
 */
export function companionFiles({ tokenizer, resolved }: Omit<Saveable, 'model'>): Map<string, string> {
  if (resolved.kind !== 'gguf') return new Map();
  const files = tokenizerFiles(tokenizer);
  const generation = tokenizer.files.get('generation_config.json');
  return generation === undefined ? files : files.set('generation_config.json', generation);
}

/**
 * Saves a directory that transformers, vLLM and `openPretrained` load, whatever the model came from.
 *
 * @returns the paths written.
 * @throws NudgeError as `saveModel`.
 */
export async function savePretrained(
  directory: string,
  pretrained: Saveable,
  { overwrite = false }: { overwrite?: boolean } = {},
): Promise<string[]> {
  return await saveModel(directory, pretrained.model, { overwrite, files: companionFiles(pretrained) });
}

/**
 * Saves a file that llama.cpp and `openPretrained` load. Directories above it are made.
 *
 * @param options.type of the matrices. Default F16.
 * @throws NudgeError BAD_ARGUMENT for a reward model; as `saveGgufModel` and `ggufTokenizerMetadata`.
 */
export async function savePretrainedGguf(
  path: string,
  pretrained: Saveable,
  { type = 'F16', overwrite = false }: { type?: SavedType; overwrite?: boolean } = {},
): Promise<void> {
  const { model, resolved } = pretrained;
  if (model.score !== null) {
    throw new NudgeError(
      'BAD_ARGUMENT',
      'A reward model cannot be saved as GGUF: the format has no place for its head.',
      {
        path: resolved.name,
        remedy: 'Save it as a Hugging Face directory.',
      },
    );
  }
  const tokenizer = await tokenizerMetadata(pretrained);
  const name = resolved.id ?? ggufString(tokenizer, 'general.name') ?? basename(resolved.path);
  await mkdir(dirname(path), { recursive: true });
  const tensors = new Map(model.namedParameters());
  await saveGgufModel(path, { config: model.config.json, tensors, tokenizer, name }, { type, overwrite });
}

/** From the GGUF file itself where the model comes from one: nothing of it is lost. */
async function tokenizerMetadata({ resolved, tokenizer, model }: Saveable): Promise<GgufMetadata> {
  if (resolved.kind === 'gguf') {
    await using file = await openGguf(resolved.path);
    return file.metadata;
  }
  const { files, chatTemplate } = tokenizer;
  const parsed = (name: string) => JSON.parse(files.get(name) ?? '{}') as Record<string, unknown>;
  return ggufTokenizerMetadata(parsed('tokenizer.json'), {
    config: model.config.json,
    tokenizerConfig: parsed('tokenizer_config.json'),
    ...(chatTemplate === undefined ? {} : { chatTemplate: chatTemplate.text }),
  });
}
