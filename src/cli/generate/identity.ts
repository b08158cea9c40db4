/** What makes two runs the same: the weights, the parameters and the prompts, each by its contents. */
import { createHash } from 'node:crypto';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Pretrained } from '../../pretrained/index.ts';
import { fileSha256 } from '../../setup/files.mjs';
import type { RunIdentity } from './output.ts';

/** The rows' `run`, `model` and `parameters`. */
export async function identify(
  { resolved, model }: Pretrained,
  adapter: string | undefined,
  prompts: string,
  parameters: Readonly<Record<string, unknown>>,
): Promise<RunIdentity> {
  const described = {
    name: resolved.id ?? resolved.path,
    ...(resolved.revision === null ? {} : { revision: resolved.revision }),
    weights: await sampledHash(await weightFiles(resolved)),
    dtype: model.dtype,
    ...(adapter === undefined ? {} : { adapter, adapterWeights: await sampledHash(await filesOf(adapter, WEIGHTS)) }),
  };
  const whole = JSON.stringify({ model: described, parameters, prompts: await fileSha256(prompts) });
  return { run: createHash('sha256').update(whole).digest('hex').slice(0, 16), model: described, parameters };
}

const WEIGHTS = /\.(safetensors|gguf)$|config\.json$/;

async function weightFiles({ kind, path }: Pretrained['resolved']): Promise<string[]> {
  if (kind === 'hf-directory') return await filesOf(path, WEIGHTS);
  const stem = /^(.+)-\d{5}-of-\d{5}\.gguf$/.exec(basename(path))?.[1];
  if (stem === undefined) return [path];
  return (await filesOf(dirname(path), WEIGHTS)).filter((file) => basename(file).startsWith(`${stem}-`));
}

async function filesOf(directory: string, pattern: RegExp): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => pattern.test(name)).sort();
  return names.map((name) => join(directory, name));
}

const PIECE = 4096;
const PIECES = 256;

/** SHA-256 of the files' sizes and of pieces all over them: training changes every weight, and gigabytes are not read for that. */
export async function sampledHash(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(PIECE);
  for (const path of paths) {
    const { size } = await stat(path);
    hash.update(`${basename(path)} ${size}\n`);
    const handle = await open(path, 'r');
    try {
      const step = Math.max(PIECE, Math.floor(size / PIECES));
      for (let at = 0; at < size; at += step) {
        const { bytesRead } = await handle.read(piece, 0, PIECE, at);
        hash.update(piece.subarray(0, bytesRead));
      }
    } finally {
      await handle.close();
    }
  }
  return hash.digest('hex').slice(0, 16);
}
