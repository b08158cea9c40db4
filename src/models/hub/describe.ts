/** What a model on this machine is: architecture, size, context, chat template. Reads headers, never the weights. */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ggufCount, ggufString, openGguf } from '../gguf/index.ts';
import { openSafetensors } from '../safetensors/index.ts';
import { type ModelKind, sizeOf } from './cache.ts';
import { CONFIG } from './select.ts';

export interface ModelDescription {
  /** For example "LlamaForCausalLM"; GGUF files name the family alone, "llama". */
  readonly architecture: string | null;
  /** As stored: tied weights count once. */
  readonly parameters: number;
  /** Of most of the parameters, such as "bfloat16" or "Q4_1". */
  readonly dtype: string | null;
  readonly layers: number | null;
  readonly hiddenSize: number | null;
  readonly vocabulary: number | null;
  /** Tokens. */
  readonly contextLength: number | null;
  readonly chatTemplate: boolean;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
}

/** @throws NudgeError BAD_FILE or IO_FAILED when its files cannot be read. */
export async function describeModel({ kind, path }: { kind: ModelKind; path: string }): Promise<ModelDescription> {
  return kind === 'gguf' ? await describeGguf(path) : await describeDirectory(path);
}

async function describeGguf(path: string): Promise<ModelDescription> {
  await using model = await openGguf(path);
  const { metadata } = model;
  const architecture = ggufString(metadata, 'general.architecture') ?? null;
  const count = (key: string) => ggufCount(metadata, `${architecture}.${key}`) ?? null;
  const tokens = metadata.get('tokenizer.ggml.tokens');
  return {
    architecture,
    ...countParameters([...model.tensors.values()].map(({ shape, type }) => ({ shape, dtype: type }))),
    layers: count('block_count'),
    hiddenSize: count('embedding_length'),
    vocabulary: tokens?.type === 'array' ? tokens.value.length : count('vocab_size'),
    contextLength: count('context_length'),
    chatTemplate: metadata.has('tokenizer.chat_template'),
    files: partsOf(path).map((name) => ({ path: name, bytes: sizeOf(join(dirname(path), name)) ?? 0 })),
  };
}

/** The names of the files of a GGUF model: one, or those of a split one. */
function partsOf(path: string): string[] {
  const name = basename(path);
  const stem = /^(.+)-\d{5}-of-\d{5}\.gguf$/.exec(name)?.[1];
  if (stem === undefined) return [name];
  const isPart = (other: string) =>
    other.startsWith(`${stem}-`) && /^-\d{5}-of-\d{5}\.gguf$/.test(other.slice(stem.length));
  return readdirSync(dirname(path)).filter(isPart).sort();
}

async function describeDirectory(path: string): Promise<ModelDescription> {
  const config = readJsonObject(join(path, CONFIG));
  await using model = await openSafetensors(path);
  const names = readdirSync(path).sort();
  // The names that GPT-2 has for the same things come second.
  const number = (...fields: string[]) =>
    fields.map((field) => config[field]).find((value) => typeof value === 'number');
  const architecture = Array.isArray(config.architectures) ? config.architectures[0] : config.model_type;
  return {
    architecture: typeof architecture === 'string' ? architecture : null,
    ...countParameters(model.names.map((name) => model.info(name))),
    layers: number('num_hidden_layers', 'n_layer') ?? null,
    hiddenSize: number('hidden_size', 'n_embd') ?? null,
    vocabulary: number('vocab_size') ?? null,
    contextLength: number('max_position_embeddings', 'n_positions') ?? null,
    chatTemplate: hasChatTemplate(path, names),
    files: names
      .filter((name) => sizeOf(join(path, name)) !== null)
      .map((name) => ({ path: name, bytes: sizeOf(join(path, name)) ?? 0 })),
  };
}

function hasChatTemplate(path: string, names: readonly string[]): boolean {
  if (names.includes('chat_template.jinja') || names.includes('chat_template.json')) return true;
  return readJsonObject(join(path, 'tokenizer_config.json')).chat_template !== undefined;
}

function countParameters(tensors: readonly { readonly shape: readonly number[]; readonly dtype: string }[]) {
  const byDtype = new Map<string, number>();
  for (const { shape, dtype } of tensors) {
    byDtype.set(dtype, (byDtype.get(dtype) ?? 0) + shape.reduce((product, size) => product * size, 1));
  }
  const [most] = [...byDtype].sort(([, a], [, b]) => b - a);
  return { parameters: [...byDtype.values()].reduce((sum, count) => sum + count, 0), dtype: most?.[0] ?? null };
}

/** Empty where there is none: what this tells is worth having without it too. */
function readJsonObject(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
