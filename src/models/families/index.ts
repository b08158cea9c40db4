/** The known architectures, by `model_type`. To add one: a file beside this one, and an entry here. */
import { NudgeError } from '../../errors.ts';
import { type ConfigJson, ConfigReader, type ModelConfig } from '../config.ts';
import { quote } from '../files/index.ts';
import type { BuildOptions, CausalModel } from '../model.ts';
import { Gpt2, parseGpt2, renameGpt2 } from './gpt2.ts';
import { GptNeoX, parseGptNeoX, renameGptNeoX } from './gptneox.ts';
import { Llama, type LlamaConfig, parseLlama } from './llama.ts';
import { parseMistral } from './mistral.ts';
import { parseQwen2 } from './qwen2.ts';
import { parseQwen3 } from './qwen3.ts';

export interface ModelFamily<Config extends ModelConfig = ModelConfig> {
  /** transformers' classes, for `architectures` in config.json. */
  readonly classNames: { readonly languageModel: string; readonly scorer: string };
  parse(config: ConfigReader): Config;
  /** Makes the model with its memory as it is; see `createModel` and `loadModel`. */
  build(config: Config, options: BuildOptions): CausalModel;
  /** A tensor's name in files of any age -> the parameter's; null for what is not a weight. */
  rename(name: string): string | null;
}

/** Models saved without their head lack the prefix, and old files hold the frequencies. */
function renameLlama(name: string): string | null {
  if (name.endsWith('.rotary_emb.inv_freq')) return null;
  return /^(embed_tokens|layers|norm)\./.test(name) ? `model.${name}` : name;
}

const classNames = (family: string) => ({
  languageModel: `${family}ForCausalLM`,
  scorer: `${family}ForSequenceClassification`,
});

const llamaLike = (name: string, parse: (config: ConfigReader) => LlamaConfig): ModelFamily<LlamaConfig> => ({
  classNames: classNames(name),
  parse,
  build: (config, options) => new Llama(config, options),
  rename: renameLlama,
});

export const MODEL_FAMILIES: Readonly<Record<string, ModelFamily>> = {
  llama: llamaLike('Llama', parseLlama),
  mistral: llamaLike('Mistral', parseMistral),
  qwen2: llamaLike('Qwen2', parseQwen2),
  qwen3: llamaLike('Qwen3', parseQwen3),
  gpt2: {
    classNames: { ...classNames('GPT2'), languageModel: 'GPT2LMHeadModel' },
    parse: parseGpt2,
    build: (config, options) => new Gpt2(config as ReturnType<typeof parseGpt2>, options),
    rename: renameGpt2,
  },
  gpt_neox: {
    classNames: classNames('GPTNeoX'),
    parse: parseGptNeoX,
    build: (config, options) => new GptNeoX(config as ReturnType<typeof parseGptNeoX>, options),
    rename: renameGptNeoX,
  },
};

/**
 * The family that a configuration names, and the configuration as its family reads it.
 *
 * @param path of the file, for errors.
 * @throws NudgeError BAD_FILE for an unknown architecture (with the known ones) or a field that is missing or not supported.
 */
export function parseConfig(json: ConfigJson, path = 'config.json'): { family: ModelFamily; config: ModelConfig } {
  const reader = new ConfigReader(json, path);
  const modelType = reader.string('model_type');
  if (!Object.hasOwn(MODEL_FAMILIES, modelType)) {
    throw new NudgeError('BAD_FILE', `Models of the type ${quote(modelType)} are not supported.`, {
      path: `${path}: model_type`,
      expected: `one of ${Object.keys(MODEL_FAMILIES).join(', ')}`,
      received: quote(modelType),
      remedy: 'Choose a model of one of these architectures.',
    });
  }
  const family = MODEL_FAMILIES[modelType]!;
  reader.refuse('quantization_config');
  return { family, config: family.parse(reader) };
}
