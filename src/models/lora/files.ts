/**
 * Adapters on disk, in PEFT's format: `adapter_config.json` and `adapter_model.safetensors` with names such as
 * `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. Checked against PEFT 0.21.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { init, type Parameter } from '../../nn/index.ts';
import { torch } from '../../tensor/index.ts';
import { ConfigReader, parseJsonObject } from '../config.ts';
import { copyInto } from '../create.ts';
import { replaceFiles, writeJson } from '../directory.ts';
import { ioFailed, quoteSome, showShape } from '../files/index.ts';
import { isStoredInputFirst } from '../projection.ts';
import { openSafetensors, saveSafetensors } from '../safetensors/index.ts';
import type { LoraAdapter } from './adapter.ts';
import type { LoraAdapters } from './adapters.ts';
import type { LoraConfig, LoraTargets } from './config.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const PREFIX = 'base_model.model.';
const HEAD_WEIGHT = `${PREFIX}score.weight`;
const HEAD_BIAS = `${PREFIX}score.bias`;

export interface SaveAdapterOptions {
  /** Replace the adapter in this directory. Default false: refuse. */
  overwrite?: boolean;
  /** What the configuration names as the base model. Default: the directory it was loaded from. */
  baseModel?: string;
}

/**
 * Saves one adapter, with its score head if it has one, for PEFT, vLLM and `loadAdapter`.
 *
 * @returns the paths written.
 * @throws NudgeError FILE_EXISTS without `overwrite`, IO_FAILED.
 */
export async function saveAdapter(
  directory: string,
  adapters: LoraAdapters,
  name: string,
  options: SaveAdapterOptions = {},
): Promise<string[]> {
  const adapter = adapters.get(name);
  const owns = (file: string) => file === CONFIG || /^adapter_model\..+/.test(file);
  const { overwrite = false, baseModel = adapters.model.source } = options;
  return await replaceFiles(directory, { marker: CONFIG, owns, overwrite }, async (temporary) => {
    await saveSafetensors(join(temporary, WEIGHTS), savedTensors(adapter), { metadata: { format: 'pt' } });
    await writeJson(join(temporary, CONFIG), peftConfig(adapter, adapters, baseModel));
  });
}

/** An adapter's parameters by PEFT's names. */
function peftTensors({ pairs, score }: LoraAdapter): Map<string, Parameter> {
  const tensors = new Map<string, Parameter>();
  for (const [projection, { lora_A, lora_B }] of Object.entries(pairs)) {
    tensors.set(`${PREFIX}${projection}.lora_A.weight`, lora_A);
    tensors.set(`${PREFIX}${projection}.lora_B.weight`, lora_B);
  }
  if (score !== null) tensors.set(HEAD_WEIGHT, score.weight).set(HEAD_BIAS, score.bias);
  return tensors;
}

/** transformers' score heads have no offset: an offset of zero is left out. */
function savedTensors(adapter: LoraAdapter): Map<string, Parameter> {
  const tensors = peftTensors(adapter);
  if (torch.scope(() => adapter.score?.bias.eq(0).all().item<boolean>() ?? false)) tensors.delete(HEAD_BIAS);
  return tensors;
}

function peftConfig({ config, pairs, score }: LoraAdapter, adapters: LoraAdapters, baseModel: string | null): object {
  const { projections } = adapters;
  return {
    peft_type: 'LORA',
    task_type: score === null ? 'CAUSAL_LM' : 'SEQ_CLS',
    base_model_name_or_path: baseModel,
    inference_mode: true,
    r: config.rank,
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    use_rslora: config.rslora,
    target_modules: peftTargets(Object.keys(pairs), [...projections.keys()]),
    modules_to_save: score === null ? null : ['score'],
    fan_in_fan_out: Object.keys(pairs).some((name) => isStoredInputFirst(projections.get(name)!)),
    bias: 'none',
    init_lora_weights: true,
    use_dora: false,
    layers_to_transform: null,
    layers_pattern: null,
    rank_pattern: {},
    alpha_pattern: {},
  };
}

/** The last parts of the names where these choose the same projections, as people write them; else the whole names. */
function peftTargets(chosen: readonly string[], all: readonly string[]): string[] {
  const end = (name: string) => name.slice(name.lastIndexOf('.') + 1);
  const ends = [...new Set(chosen.map(end))].sort();
  const theirs = all.filter((name) => ends.includes(end(name)));
  return theirs.length === chosen.length ? ends : [...chosen].sort();
}

/**
 * Loads an adapter under a name: every projection that the file has matrices for gets one, whatever its configuration says of
 * targets. The weights become float32, as PEFT's do. The first adapter becomes the active one.
 *
 * @throws NudgeError BAD_FILE for a configuration that is not supported, or tensors that do not fit the model, all of them at once.
 */
export async function loadAdapter(directory: string, adapters: LoraAdapters, name: string): Promise<LoraAdapter> {
  const path = join(directory, CONFIG);
  const text = await readFile(path, 'utf8').catch((error) => {
    throw ioFailed('open', path, error, 'A directory with a LoRA adapter has an adapter_config.json.');
  });
  const config = readPeftConfig(new ConfigReader(parseJsonObject(text, path), path));
  await using reader = await openSafetensors(join(directory, WEIGHTS));
  const shapes = new Map(reader.names.map((tensor) => [tensor, reader.info(tensor).shape]));
  const projections = checkTensors(shapes, adapters, config, reader.path);
  const hasHead = shapes.has(HEAD_WEIGHT);
  const adapter = adapters.addOn(name, projections, { ...config, head: hasHead });
  try {
    for (const [tensor, parameter] of peftTensors(adapter)) {
      if (tensor === HEAD_BIAS && !shapes.has(tensor)) {
        init.zeros_(parameter);
        continue;
      }
      using values = await reader.tensor(tensor);
      copyInto(parameter, values);
    }
    return adapter;
  } catch (error) {
    adapters.remove(name);
    throw error;
  }
}

function readPeftConfig(config: ConfigReader): LoraConfig {
  if (config.string('peft_type') !== 'LORA') throw config.unsupported('peft_type', 'LORA');
  config.refuse('use_dora', false);
  config.refuse('bias', 'none');
  config.refuse('lora_bias', false);
  for (const field of ['rank_pattern', 'alpha_pattern', 'target_parameters'] as const) {
    if (Object.keys((config.json[field] as object | null | undefined) ?? {}).length > 0) {
      throw config.unsupported(field, 'nothing: one rank and one alpha for all projections');
    }
  }
  const saved = config.json.modules_to_save;
  if (Array.isArray(saved) && saved.some((module) => module !== 'score' && module !== 'classifier')) {
    throw config.unsupported('modules_to_save', 'nothing or ["score"]');
  }
  return {
    rank: config.integer('r'),
    alpha: config.number('lora_alpha'),
    rslora: config.boolean('use_rslora', false),
    dropout: config.number('lora_dropout', 0),
    targets: readTargets(config),
  };
}

/** For the record: what gets an adapter is what the file has tensors for. */
function readTargets({ json: { target_modules: targets } }: ConfigReader): LoraTargets {
  if (Array.isArray(targets)) return targets.map(String);
  return typeof targets === 'string' && targets !== 'all-linear' ? new RegExp(targets) : 'all-linear';
}

/** The projections that the tensors belong to. */
function checkTensors(
  shapes: ReadonlyMap<string, readonly number[]>,
  { projections, model }: LoraAdapters,
  { rank }: LoraConfig,
  path: string,
): string[] {
  const problems: string[] = [];
  const found = new Set<string>();
  const expect = (tensor: string, shape: readonly number[]) => {
    const stored = shapes.get(tensor);
    if (stored === undefined) problems.push(`${tensor} is missing`);
    else if (String(stored) !== String(shape))
      problems.push(`${tensor} is ${showShape(stored)}, not ${showShape(shape)}`);
  };
  const unknown: string[] = [];
  for (const tensor of shapes.keys()) {
    const match = /^base_model\.model\.(.+)\.lora_[AB]\.weight$/.exec(tensor);
    if (match !== null && projections.has(match[1]!)) found.add(match[1]!);
    else if (tensor !== HEAD_WEIGHT && tensor !== HEAD_BIAS) unknown.push(tensor);
  }
  for (const name of found) {
    const { inFeatures, outFeatures } = projections.get(name)!;
    expect(`${PREFIX}${name}.lora_A.weight`, [rank, inFeatures]);
    expect(`${PREFIX}${name}.lora_B.weight`, [outFeatures, rank]);
  }
  if (shapes.has(HEAD_WEIGHT)) expect(HEAD_WEIGHT, [1, model.config.hiddenSize]);
  if (unknown.length > 0) problems.push(`${unknown.length} belong to no projection: ${quoteSome(unknown)}`);
  if (found.size === 0 && problems.length === 0) problems.push('no adapter at all');
  if (problems.length === 0) return [...found];
  throw new NudgeError('BAD_FILE', 'This adapter does not fit the model.', {
    path,
    expected: `pairs of matrices for projections of this ${model.config.modelType} model, of rank ${rank}`,
    received: `${problems.slice(0, 5).join('; ')}${problems.length > 5 ? `; and ${problems.length - 5} more` : ''}`,
    remedy: 'Load it over the model that it was trained on.',
  });
}
