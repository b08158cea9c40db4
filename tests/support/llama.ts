/** llama.cpp's client, in a process of its own: a crash there is an error here. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CLIENT, findPeer } from '../../scripts/peers/packages.mjs';
import {
  type CausalModel,
  ggufTokenizerMetadata,
  type HfConfig,
  type SavedType,
  saveGgufModel,
} from '../../src/models/index.ts';
import { inTemporaryDirectory } from '../../src/models/testing.ts';
import { type Tokenizer, tokenizerFiles } from '../../src/text/index.ts';
import { runProgram } from './program.ts';

export interface ClientRequest {
  /** A GGUF file. */
  readonly model: string;
  /** To be tokenised. */
  readonly texts: readonly string[];
  /** Prompts to go on from, likeliest token by likeliest token. */
  readonly greedy: readonly (readonly number[])[];
  /** How many tokens. */
  readonly tokens: number;
  /** Sequences whose log-probabilities are asked for. */
  readonly score: readonly (readonly number[])[];
}

export interface ClientAnswer {
  readonly ids: number[][];
  readonly greedy: number[][];
  /** Of each token but the first, given those before it. */
  readonly scores: number[][];
}

export const client = findPeer(process.env, CLIENT);

/** @throws Error when llama.cpp does not load a file or crashes over it, with what it said. */
export async function askClient(
  requests: readonly (Partial<ClientRequest> & Pick<ClientRequest, 'model'>)[],
): Promise<ClientAnswer[]> {
  const whole = requests.map((request) => ({ texts: [], greedy: [], tokens: 0, score: [], ...request }));
  return await inTemporaryDirectory(async (directory) => {
    const path = join(directory, 'requests.json');
    await writeFile(path, JSON.stringify(whole));
    const args = [client.folder, path];
    const { code, signal, stdout, stderr } = await runProgram('llama-client.ts', { args, timeout: 170_000 });
    if (code !== 0) throw new Error(`llama.cpp ended with ${signal ?? `code ${code}`}:\n${stderr.slice(-2000)}`);
    return JSON.parse(stdout.trim().split('\n').at(-1)!) as ClientAnswer[];
  });
}

/** Saves a model with its tokenizer for llama.cpp. */
export async function exportGguf(
  path: string,
  model: CausalModel,
  tokenizer: Tokenizer,
  type: SavedType,
): Promise<void> {
  const files = tokenizerFiles(tokenizer);
  const config = model.config.json as HfConfig;
  const chatTemplate = files.get('chat_template.jinja');
  const metadata = ggufTokenizerMetadata(JSON.parse(files.get('tokenizer.json')!), {
    config,
    tokenizerConfig: JSON.parse(files.get('tokenizer_config.json') ?? '{}'),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
  });
  const tensors = new Map(model.namedParameters());
  await saveGgufModel(path, { config, tensors, tokenizer: metadata }, { type });
}
