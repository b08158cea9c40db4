/** Tokenizers from disk: a Hugging Face directory, or one file of SentencePiece, tiktoken or tokenizer.json. */

import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { NudgeError } from '../errors.ts';
import { definitionFromGpt2Files } from './formats/gpt2.ts';
import { definitionFromSentencePiece } from './formats/sentencepiece.ts';
import { definitionFromTiktoken, type TiktokenOptions } from './formats/tiktoken.ts';
import { TOKENIZER_FILES, Tokenizer, type TokenizerOptions } from './tokenizer.ts';

export interface LoadTokenizerOptions extends TokenizerOptions {
  /** What a tiktoken file does not say: its pattern and its special tokens. Default: Llama 3's pattern, no special tokens. */
  tiktoken?: TiktokenOptions;
}

/** Beside the tokenizer's own files: they say which ids end a text. */
const CONFIGS = ['generation_config.json', 'config.json'];

/**
 * The tokenizer of a model directory, or of one file: tokenizer.json, SentencePiece's or tiktoken's `.model`, or
 * vocab.json with merges.txt beside it.
 */
export async function loadTokenizer(path: string, options: LoadTokenizerOptions = {}): Promise<Tokenizer> {
  const isDirectory = await isFolder(path);
  const folder = isDirectory ? path : dirname(path);
  if (
    !isDirectory &&
    !basename(path).startsWith('tokenizer') &&
    path.endsWith('.json') &&
    basename(path) !== 'vocab.json'
  ) {
    return Tokenizer.fromFiles(new Map([['tokenizer.json', await read(path)]]), path, options);
  }
  if (!isDirectory && path.endsWith('.model')) return loadModelFile(path, await readConfigs(folder), options);
  const files = await readConfigs(folder);
  const text = await readIfThere(join(folder, 'tokenizer.json'));
  if (text !== undefined && basename(path) !== 'vocab.json') {
    files.set('tokenizer.json', text);
    return Tokenizer.fromFiles(files, folder, options);
  }
  const vocab = await readIfThere(join(folder, 'vocab.json'));
  const merges = await readIfThere(join(folder, 'merges.txt'));
  if (vocab !== undefined && merges !== undefined) {
    files.set('tokenizer.json', JSON.stringify(definitionFromGpt2Files(vocab, merges, folder)));
    return Tokenizer.fromFiles(files, folder, options);
  }
  if (await isFile(join(folder, 'tokenizer.model'))) {
    return loadModelFile(join(folder, 'tokenizer.model'), files, options);
  }
  throw new NudgeError('BAD_FILE', 'There is no tokenizer here.', {
    path: folder,
    expected: 'tokenizer.json, tokenizer.model, or vocab.json with merges.txt',
    remedy: "Give a model's directory, or fetch the tokenizer's files into it.",
  });
}

async function loadModelFile(
  path: string,
  files: Map<string, string>,
  options: LoadTokenizerOptions,
): Promise<Tokenizer> {
  const bytes = await readFile(path);
  const made = looksLikeTiktoken(bytes)
    ? definitionFromTiktoken(bytes.toString('latin1'), path, options.tiktoken)
    : definitionFromSentencePiece(bytes, path);
  files.set('tokenizer.json', JSON.stringify(made.tokenizerJson));
  if (!files.has('tokenizer_config.json')) files.set('tokenizer_config.json', JSON.stringify(made.tokenizerConfig));
  return Tokenizer.fromFiles(files, path, { ...options, ...made.readOptions });
}

/** Lines of base64, a space and a number; SentencePiece's files are binary from the first byte on. */
function looksLikeTiktoken(bytes: Buffer): boolean {
  return /^[A-Za-z0-9+/]+={0,2} \d+\r?\n/.test(bytes.toString('latin1', 0, 400));
}

async function readConfigs(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const name of [...TOKENIZER_FILES.filter((file) => file !== 'tokenizer.json'), ...CONFIGS]) {
    const text = await readIfThere(join(folder, name));
    if (text !== undefined) files.set(name, text);
  }
  return files;
}

async function readIfThere(path: string): Promise<string | undefined> {
  return (await isFile(path)) ? read(path) : undefined;
}

async function read(path: string): Promise<string> {
  const bytes = await readFile(path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new NudgeError('BAD_FILE', 'This file is not UTF-8.', { path, remedy: 'Fetch the file again.', cause });
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined) return found.isDirectory();
  throw new NudgeError('IO_FAILED', 'There is no such file or directory.', {
    path,
    remedy: "Give a model's directory, or a tokenizer's file.",
  });
}
