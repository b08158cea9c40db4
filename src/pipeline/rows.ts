/** Files of rows that a configuration names: where they lie, and how they are read. */
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { type AnyLoaded, type Format, type Loaded, loadRecords } from '../data/index.ts';
import type { RunConfig } from './config.ts';
import type { StageContext } from './stage.ts';

/** How the rows of one file are read. */
export interface Reading {
  readonly map?: Readonly<Record<string, string>> | undefined;
  readonly skipBadRows?: boolean;
}

/**
 * Reads a file of rows. Bad rows, where the configuration goes on without them, are put into the stage's directory and told of.
 *
 * @throws NudgeError BAD_FILE, with the file, line, field and reason of the first 20 bad rows.
 */
export async function readRows<F extends Format>(
  file: string,
  reading: Reading,
  context: Pick<StageContext, 'directory' | 'report'>,
  format: F,
): Promise<Loaded<F>>;
export async function readRows(
  file: string,
  reading: Reading,
  context: Pick<StageContext, 'directory' | 'report'>,
): Promise<AnyLoaded>;
export async function readRows(
  file: string,
  { map, skipBadRows = false }: Reading,
  { directory, report }: Pick<StageContext, 'directory' | 'report'>,
  format?: Format,
): Promise<AnyLoaded> {
  const aside = join(directory, 'bad-rows.jsonl');
  const loaded = await loadRecords(file, {
    ...(format === undefined ? {} : { format }),
    ...(map === undefined ? {} : { map }),
    ...(skipBadRows ? { skipBadRows: { to: aside } } : {}),
  });
  const { badRows } = loaded;
  if (badRows > 0) report({ type: 'note', text: `${badRows} rows of ${file} were left out: ${aside} says why.` });
  return loaded;
}

/** A configuration whose relative paths start at its file. */
export function resolvePaths<C extends RunConfig>(config: C, file: string): C {
  const at = (path: string) => (isAbsolute(path) ? path : resolve(dirname(file), path));
  const { prompts, sft, label, ppo } = config;
  return {
    ...config,
    prompts: { ...prompts, file: at(prompts.file) },
    ...(sft && { sft: { ...sft, data: at(sft.data) } }),
    ...(label?.data !== undefined && { label: { ...label, data: at(label.data) } }),
    ...(ppo && {
      ppo: {
        ...ppo,
        rewards: ppo.rewards.map((term) => ({ ...term, module: at(term.module) })),
        ...(ppo.ptxData === undefined ? {} : { ptxData: at(ppo.ptxData) }),
      },
    }),
  };
}
