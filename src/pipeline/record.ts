/** `run.json`: which steps a run is made of now. What earlier configurations made lies beside them. */
import { existsSync, readdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import * as z from 'zod';
import { NudgeError } from '../errors.ts';
import { readJsonOrNull, writeFileAtomic } from '../setup/files.mjs';
import type { RunConfig } from './config.ts';
import { type Manifest, readManifest } from './manifest.ts';
import { nearest } from './nearest.ts';
import type { Step } from './plan.ts';

const FILE = 'run.json';

const recordSchema = z.strictObject({
  format: z.literal(1),
  name: z.string(),
  seed: z.number(),
  model: z.string(),
  /** ISO 8601. */
  updatedAt: z.string(),
  config: z.record(z.string(), z.unknown()),
  steps: z.array(z.strictObject({ id: z.string(), key: z.string(), directory: z.string() })),
  /** The page, relative to the run; null until all steps are done. */
  report: z.string().nullable(),
});

export type RunRecord = z.infer<typeof recordSchema>;

/** A run as it lies on disk. */
export interface StoredRun {
  readonly directory: string;
  readonly record: RunRecord;
  /** One a step; null where it has not begun. */
  readonly manifests: readonly (Manifest | null)[];
}

export function writeRecord(directory: string, config: RunConfig, steps: readonly Step[], report: string | null): void {
  const record: RunRecord = {
    format: 1,
    name: config.name,
    seed: config.seed,
    model: config.model.name,
    updatedAt: new Date().toISOString(),
    config,
    steps: steps.map(({ id, key, directory: place }) => ({ id, key, directory: relative(directory, place) })),
    report,
  };
  writeFileAtomic(join(directory, FILE), `${JSON.stringify(record, null, 2)}\n`);
}

/** The runs in a folder, the latest first. Folders that hold something else are passed over. */
export function listRuns(folder: string): StoredRun[] {
  if (!existsSync(folder)) return [];
  const found = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const run = entry.isDirectory() ? openRun(join(folder, entry.name)) : null;
    return run === null ? [] : [run];
  });
  return found.sort((a, b) => b.record.updatedAt.localeCompare(a.record.updatedAt));
}

/**
 * @param name a run's name in the folder, or the path of its directory.
 * @throws NudgeError BAD_ARGUMENT.
 */
export function findRun(folder: string, name: string): StoredRun {
  const run = openRun(join(folder, name)) ?? openRun(resolve(name));
  if (run !== null) return run;
  const names = listRuns(folder).map(({ record }) => record.name);
  const guess = nearest(name, names);
  throw new NudgeError('BAD_ARGUMENT', 'There is no such run.', {
    path: join(folder, name),
    expected: names.length === 0 ? 'a run; there are none here' : `one of ${names.slice(0, 12).join(', ')}`,
    received: JSON.stringify(name),
    remedy: guess === null ? '`nudge runs list` shows them.' : `Did you mean ${guess}?`,
  });
}

function openRun(directory: string): StoredRun | null {
  const parsed = recordSchema.safeParse(readJsonOrNull(join(directory, FILE)));
  if (!parsed.success) return null;
  const manifests = parsed.data.steps.map((step) => {
    const manifest = readManifest(join(directory, step.directory));
    return manifest?.key === step.key ? manifest : null;
  });
  return { directory, record: parsed.data, manifests };
}
