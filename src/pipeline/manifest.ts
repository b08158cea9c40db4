/** What a stage was, is, and came to: `manifest.json` in its directory. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { fileSha256, readJsonOrNull, writeFileAtomic } from '../setup/files.mjs';

const FILE = 'manifest.json';

const outputSchema = z.strictObject({ bytes: z.number(), sha256: z.string() });

const manifestSchema = z.strictObject({
  format: z.literal(1),
  /** Such as `reward`; from the second round on `round2/reward`. */
  stage: z.string(),
  /** Hash of everything that decides what the stage makes: its configuration, seed, files and the keys of its inputs. */
  key: z.string(),
  status: z.enum(['running', 'done']),
  /** ISO 8601. */
  startedAt: z.string(),
  finishedAt: z.string().nullable(),
  /** All attempts together, up to the last one that ended or was seen alive. */
  seconds: z.number(),
  attempts: z.number(),
  config: z.unknown(),
  seed: z.number(),
  /** Keys of the stages that it read from, by name. */
  inputs: z.record(z.string(), z.string()),
  /** SHA-256 of the files that it read from outside the run, by path. */
  files: z.record(z.string(), z.string()),
  versions: z.record(z.string(), z.string().nullable()),
  /** Largest resident memory of the process until the stage ended, in bytes. */
  peakRssBytes: z.number(),
  metrics: z.record(z.string(), z.number()),
  outputs: z.record(z.string(), outputSchema),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** @returns null where there is none, or none that can be read: then the stage starts anew. */
export function readManifest(directory: string): Manifest | null {
  const result = manifestSchema.safeParse(readJsonOrNull(join(directory, FILE)));
  return result.success ? result.data : null;
}

export function writeManifest(directory: string, manifest: Manifest): void {
  writeFileAtomic(join(directory, FILE), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Sizes and hashes of a stage's files, by path inside its directory. */
export async function describeOutputs(directory: string, files: readonly string[]): Promise<Manifest['outputs']> {
  const described = await Promise.all(
    files.map(async (file) => {
      const path = join(directory, file);
      return [file, { bytes: statSync(path).size, sha256: await fileSha256(path) }] as const;
    }),
  );
  return Object.fromEntries(described);
}

/** Whether a stage is done and what it made still lies there; the first file that does not is named. */
export function missingOutput(directory: string, manifest: Manifest): string | null {
  for (const [file, { bytes }] of Object.entries(manifest.outputs)) {
    const path = join(directory, file);
    if (!existsSync(path) || statSync(path).size !== bytes) return file;
  }
  return null;
}
