/**
 * Hugging Face's `config.json`: what every model has in common, and reading it with errors that name the field.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NudgeError } from '../errors.ts';
import { type DType, isDType } from '../tensor/index.ts';
import { ioFailed, quote } from './files/index.ts';

/** What `config.json` holds, as parsed: unknown keys are kept and written back. */
export type ConfigJson = Readonly<Record<string, unknown>>;

/** What every family's configuration says. */
export interface ModelConfig {
  /** `model_type`, the key of `MODEL_FAMILIES`. */
  readonly modelType: string;
  readonly vocabSize: number;
  /** D, the width of the hidden states. */
  readonly hiddenSize: number;
  readonly layers: number;
  /** H, heads of the queries. */
  readonly heads: number;
  /** Hkv, heads of the keys and values; each serves `heads / kvHeads` query heads. */
  readonly kvHeads: number;
  /** Dh, the width of one head. */
  readonly headDim: number;
  /** Tokens in the longest sequence that the model was made for. */
  readonly maxPositions: number;
  /** Whether the language model head is the embedding table. */
  readonly tiedEmbeddings: boolean;
  /** Standard deviation of fresh weights. */
  readonly initializerRange: number;
  /** The precision in which the weights were published; null when the file does not say. */
  readonly dtype: DType | null;
  readonly json: ConfigJson;
}

/** Reads and parses a model directory's `config.json`. @throws NudgeError IO_FAILED or BAD_FILE. */
export async function readConfigJson(directory: string): Promise<ConfigJson> {
  const path = join(directory, 'config.json');
  const text = await readFile(path, 'utf8').catch((error) => {
    throw ioFailed('open', path, error, 'A model directory has a config.json.');
  });
  return parseJsonObject(text, path);
}

/** Parses a JSON object. @param path shown in errors. @throws NudgeError BAD_FILE. */
export function parseJsonObject(text: string, path: string): ConfigJson {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as ConfigJson;
  } catch (cause) {
    throw new NudgeError('BAD_FILE', 'This file is not valid JSON.', {
      path,
      received: (cause as Error).message,
      remedy: 'Download the file again.',
      cause,
    });
  }
  throw new NudgeError('BAD_FILE', 'This file does not hold a configuration.', {
    path,
    expected: 'a JSON object',
    remedy: 'Download the file again.',
  });
}

/** Reads fields one by one; what is missing, of another type or not supported is an error that names the field and the file. */
export class ConfigReader {
  readonly json: ConfigJson;
  /** The file, and the path of the object in it. */
  readonly path: string;

  constructor(json: ConfigJson, path: string) {
    this.json = json;
    this.path = path;
  }

  /** A positive integer. Without a default the field must be there; null counts as absent. */
  integer(field: string, fallback?: number): number {
    return this.#read(
      field,
      fallback,
      'a positive integer',
      (value) => Number.isSafeInteger(value) && Number(value) > 0,
    );
  }

  number(field: string, fallback?: number): number {
    return this.#read(field, fallback, 'a number', (value) => typeof value === 'number' && Number.isFinite(value));
  }

  boolean(field: string, fallback?: boolean): boolean {
    return this.#read(field, fallback, 'true or false', (value) => typeof value === 'boolean');
  }

  string(field: string, fallback?: string): string {
    return this.#read(field, fallback, 'a string', (value) => typeof value === 'string');
  }

  /** One of the keys of `choices`, and what it stands for. */
  choice<T>(field: string, choices: Readonly<Record<string, T>>, fallback?: string): T {
    const value = this.string(field, fallback);
    if (Object.hasOwn(choices, value)) return choices[value] as T;
    throw this.unsupported(field, `one of ${Object.keys(choices).join(', ')}`);
  }

  /** An object within the configuration; null when it is absent. */
  object(field: string): ConfigReader | null {
    const value = this.json[field];
    if (value === undefined || value === null) return null;
    if (typeof value !== 'object' || Array.isArray(value)) throw this.#invalid(field, 'an object');
    return new ConfigReader(value as ConfigJson, `${this.path}: ${field}`);
  }

  has(field: string): boolean {
    return this.json[field] !== undefined && this.json[field] !== null;
  }

  /** The error for a value that is valid, and that this program does not support. */
  unsupported(field: string, expected: string, remedy?: string): NudgeError {
    return new NudgeError('BAD_FILE', `This model's ${field} is not supported.`, {
      path: `${this.path}: ${field}`,
      expected,
      received: show(this.json[field]),
      remedy: remedy ?? 'Choose a model without it.',
    });
  }

  /** Refuses a field that would change the model's results: it must be absent or one of `harmless`. */
  refuse(field: string, ...harmless: readonly unknown[]): void {
    if (!this.has(field) || harmless.includes(this.json[field])) return;
    throw this.unsupported(field, ['nothing', ...harmless.map(show)].join(' or '));
  }

  #read<T>(field: string, fallback: T | undefined, expected: string, isValid: (value: unknown) => boolean): T {
    const value = this.json[field] ?? fallback;
    if (isValid(value)) return value as T;
    throw this.#invalid(field, expected);
  }

  #invalid(field: string, expected: string): NudgeError {
    const missing = this.json[field] === undefined;
    return new NudgeError('BAD_FILE', `The configuration's ${field} is ${missing ? 'missing' : 'not valid'}.`, {
      path: `${this.path}: ${field}`,
      expected,
      received: missing ? 'nothing' : show(this.json[field]),
      remedy: 'Download config.json again, or write the value that belongs to these weights.',
    });
  }
}

/** The fields that all families of today's transformers name alike. */
export function readCommon(config: ConfigReader, options: { tied: boolean }): Omit<ModelConfig, 'headDim' | 'kvHeads'> {
  return {
    modelType: config.string('model_type'),
    vocabSize: config.integer('vocab_size'),
    hiddenSize: config.integer('hidden_size'),
    layers: config.integer('num_hidden_layers'),
    heads: config.integer('num_attention_heads'),
    maxPositions: config.integer('max_position_embeddings'),
    tiedEmbeddings: config.boolean('tie_word_embeddings', options.tied),
    initializerRange: config.number('initializer_range', 0.02),
    dtype: readDtype(config),
    json: config.json,
  };
}

/** `dtype` (transformers 4.56 and newer) or `torch_dtype`. */
export function readDtype(config: ConfigReader): DType | null {
  const field = config.has('dtype') ? 'dtype' : 'torch_dtype';
  if (!config.has(field) || config.json[field] === 'auto') return null;
  const name = config.string(field).replace(/^torch\./, '');
  if (isDType(name) && /^b?float(16|32|64)$/.test(name)) return name;
  throw config.unsupported(field, 'bfloat16, float16, float32 or float64', 'Pass the dtype to load in.');
}

/**
 * Heads that share out the width, or a stated width of one; keys and values may have fewer heads.
 *
 * @param defaults what the family's code assumes where the file does not say.
 */
export function readHeads(
  config: ConfigReader,
  defaults: { kvHeads?: number; headDim?: number } = {},
): { heads: number; kvHeads: number; headDim: number } {
  const [width, heads] = [config.integer('hidden_size'), config.integer('num_attention_heads')];
  const headDim = config.integer('head_dim', defaults.headDim ?? width / heads);
  const kvHeads = config.integer('num_key_value_heads', defaults.kvHeads ?? heads);
  if (heads % kvHeads === 0) return { heads, kvHeads, headDim };
  throw config.unsupported('num_key_value_heads', `a divisor of num_attention_heads (${heads})`);
}

function show(value: unknown): string {
  return typeof value === 'string' ? quote(value) : (JSON.stringify(value) ?? 'nothing').slice(0, 120);
}
