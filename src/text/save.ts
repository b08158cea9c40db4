/** Writes a tokenizer's files as they were read. */

import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NudgeError } from '../errors.ts';
import { TOKENIZER_FILES, type Tokenizer } from './tokenizer.ts';

export interface SaveTokenizerOptions {
  /** Write over files that are there. Default: false. */
  force?: boolean;
}

/** The files to be written, by name: byte for byte those that were read, or made from GGUF or SentencePiece. */
export function tokenizerFiles(tokenizer: Tokenizer): Map<string, string> {
  return new Map(
    TOKENIZER_FILES.flatMap((name) => {
      const text = tokenizer.files.get(name);
      return text === undefined ? [] : [[name, text] as const];
    }),
  );
}

/** Saves tokenizer.json and the files beside it that transformers reads. Each file appears whole or not at all. */
export async function saveTokenizer(
  tokenizer: Tokenizer,
  folder: string,
  options: SaveTokenizerOptions = {},
): Promise<void> {
  const files = tokenizerFiles(tokenizer);
  await mkdir(folder, { recursive: true });
  for (const name of files.keys()) {
    const path = join(folder, name);
    if (options.force || (await stat(path).catch(() => undefined)) === undefined) continue;
    throw new NudgeError('FILE_EXISTS', 'There is a tokenizer already.', {
      path,
      remedy: 'Choose another folder, or pass { force: true } to write over it.',
    });
  }
  for (const [name, text] of files) {
    const path = join(folder, name);
    const partial = `${path}.${process.pid}.partial`;
    await writeFile(partial, text);
    await rename(partial, path);
  }
}
