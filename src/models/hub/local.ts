/** A path that the user passes: what kind of model lies there. */

import { readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { quote, quoteSome } from '../files/index.ts';
import type { ModelKind } from './cache.ts';
import { CONFIG } from './select.ts';

export interface LocalModel {
  readonly kind: ModelKind;
  /** Absolute. */
  readonly path: string;
}

// Part of a split GGUF model; the first stands for all.
const SPLIT = /-\d{5}-of-\d{5}\.gguf$/;
const FIRST = /-00001-of-\d{5}\.gguf$/;

/**
 * Looks at a path.
 *
 * @returns null when nothing is there; an error, not thrown, when what is there is no model.
 */
export function findLocal(path: string): LocalModel | NudgeError | null {
  const full = resolve(path.startsWith('~/') ? join(homedir(), path.slice(2)) : path);
  const stat = statSync(full, { throwIfNoEntry: false });
  if (stat === undefined) return null;
  if (stat.isDirectory()) return inDirectory(full);
  if (/\.gguf$/i.test(full)) return { kind: 'gguf', path: full };
  const directory = dirname(full);
  const isPart = /\.(safetensors|json)$/.test(full) && isDirectoryOfModel(directory);
  return new NudgeError('BAD_ARGUMENT', 'This file is not a model.', {
    path: full,
    expected: 'a .gguf file, or a directory with config.json and safetensors',
    received: 'another file',
    remedy: isPart ? `Pass its directory: ${quote(directory)}.` : 'Pass the path of a model.',
  });
}

function inDirectory(path: string): LocalModel | NudgeError {
  const names = readdirSync(path).sort();
  if (names.includes(CONFIG)) return { kind: 'hf-directory', path };
  const gguf = names.filter((name) => /\.gguf$/i.test(name) && (!SPLIT.test(name) || FIRST.test(name)));
  if (gguf.length === 1) return { kind: 'gguf', path: join(path, gguf[0] as string) };
  return new NudgeError('BAD_ARGUMENT', 'There is no model in this directory.', {
    path,
    expected: `${CONFIG} beside safetensors, or one .gguf file`,
    received:
      gguf.length > 1 ? `several .gguf files: ${quoteSome(gguf)}` : names.length === 0 ? 'nothing' : quoteSome(names),
    remedy: gguf.length > 1 ? 'Pass the path of the .gguf file that you want.' : 'Pass the directory of a model.',
  });
}

function isDirectoryOfModel(path: string): boolean {
  return readdirSync(path).includes(CONFIG);
}
