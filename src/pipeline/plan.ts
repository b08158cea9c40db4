/** From a configuration to the steps of a run: what is there already, what goes on, what must be made. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NudgeError } from '../errors.ts';
import { fileSha256 } from '../setup/files.mjs';
import type { RunConfig } from './config.ts';
import { hashOf } from './hash.ts';
import { type Manifest, missingOutput, readManifest } from './manifest.ts';
import { type Stage, stageId } from './stage.ts';

/** `done`: nothing to do. `resume`: it was begun. `new`: nothing is there, or what was there is damaged. */
export type StepState = 'done' | 'resume' | 'new';

export interface Step {
  readonly id: string;
  readonly stage: Stage;
  readonly round: number;
  readonly key: string;
  readonly directory: string;
  readonly state: StepState;
  /** Why, where that is not plain. */
  readonly reason: string | null;
  readonly manifest: Manifest | null;
  readonly config: unknown;
  readonly seed: number;
  /** Keys of the steps that it reads from. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, string>>;
}

/** Letters of the key in a directory's name: enough that two never meet in one run. */
const SHORT = 10;

/**
 * A step's key is the hash of all that decides what it makes, and names its directory. So a changed setting makes new
 * directories from there on downwards, and what it was before stays: going back costs nothing.
 *
 * @param directory of the run.
 * @throws NudgeError BAD_FILE when a file that the configuration names is missing.
 */
export async function planRun(config: RunConfig, stages: readonly Stage[], directory: string): Promise<Step[]> {
  const steps: Step[] = [];
  const byId = new Map<string, Step>();
  for (let round = 1; round <= config.rounds; round++) {
    for (const stage of stages) {
      const isPlaced = stage.everyRound || round === (isLast(stage) ? config.rounds : 1);
      const own = isPlaced ? stage.config(config) : null;
      if (own === null || own === undefined) continue;
      const id = stage.everyRound ? stageId(stage.name, round) : stage.name;
      const step = await planStep({ id, stage, round, own }, config, byId, directory);
      steps.push(step);
      byId.set(id, step);
    }
  }
  return steps;
}

/** What comes once comes first or last. */
function isLast({ name }: Stage): boolean {
  return name === 'evaluate' || name === 'export';
}

async function planStep(
  { id, stage, round, own }: { id: string; stage: Stage; round: number; own: unknown },
  config: RunConfig,
  earlier: ReadonlyMap<string, Step>,
  directory: string,
): Promise<Step> {
  const read = stage.inputs(round).flatMap((name) => earlier.get(name) ?? []);
  const inputs = Object.fromEntries(read.map((step) => [step.id, step.key]));
  const files = await hashFiles(stage.files(config));
  const seed = Number.parseInt(hashOf([config.seed, id]).slice(0, 12), 16);
  const key = hashOf({
    stage: id,
    version: stage.version,
    config: own,
    model: config.model,
    seed,
    inputs,
    files: Object.values(files),
  });
  const place = join(directory, 'stages', `${id.replace('/', '-')}-${key.slice(0, SHORT)}`);
  const found = stateOf(place, key);
  return { id, stage, round, key, directory: place, config: own, seed, inputs, files, ...found };
}

function stateOf(directory: string, key: string): Pick<Step, 'state' | 'reason' | 'manifest'> {
  if (!existsSync(directory)) return { state: 'new', reason: null, manifest: null };
  const manifest = readManifest(directory);
  if (manifest === null || manifest.key !== key)
    return { state: 'new', reason: 'its manifest cannot be read', manifest: null };
  if (manifest.status === 'running') return { state: 'resume', reason: null, manifest };
  const missing = missingOutput(directory, manifest);
  if (missing === null) return { state: 'done', reason: null, manifest };
  return { state: 'resume', reason: `${missing} is gone or cut`, manifest };
}

async function hashFiles(paths: readonly string[]): Promise<Record<string, string>> {
  const hashes: [string, string][] = [];
  for (const path of paths) {
    try {
      hashes.push([path, await fileSha256(path)]);
    } catch (error) {
      throw new NudgeError('BAD_FILE', 'A file that the configuration names cannot be read.', {
        path,
        received: (error as Error).message,
        remedy: 'Correct its path; relative ones start at the configuration file.',
      });
    }
  }
  return Object.fromEntries(hashes);
}
