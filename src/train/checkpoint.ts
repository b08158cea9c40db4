/**
 * Checkpoints of a run: tensors, optimisers and a little state, from which the run goes on bit for bit.
 *
 *     checkpoints/step-00000200/   policy.safetensors, optimizer.policy.safetensors, state.json, checkpoint.json
 *
 * A checkpoint is filled under another name, brought to the disk and then renamed, so that it is there whole or not at all.
 * `checkpoint.json` holds the size and CRC-32 of every file: one that is damaged nevertheless (a failing disk, a curious hand)
 * is passed over with a note, and the one before it serves.
 */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { NudgeError } from '../errors.ts';
import { errorCode, ioFailed, syncDirectory, TemporaryFile } from '../models/files/index.ts';
import { loadSafetensors, saveSafetensors } from '../models/index.ts';
import type { Optimizer, OptimizerState } from '../nn/index.ts';
import { type Tensor, torch } from '../tensor/index.ts';

/** What JSON holds exactly: numbers must be finite. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

type NamedTensors = Iterable<readonly [name: string, tensor: Tensor]>;

export interface CheckpointContents {
  /** By group: the weights that are trained, such as an adapter's `namedParameters()`. */
  tensors: Readonly<Record<string, NamedTensors>>;
  optimizers?: Readonly<Record<string, Optimizer>>;
  state: Json;
}

export interface CheckpointOptions {
  /** How many of the latest to keep. Default 2: the one before serves where the last is damaged. */
  keep?: number;
  /** Which score is best; the best one is kept besides. Default `min`. */
  best?: 'min' | 'max';
  /** Is told of checkpoints that are passed over, and why. */
  onNote?: (text: string) => void;
}

interface Manifest {
  readonly version: 1;
  readonly step: number;
  /** By which the best is chosen; null where it was not evaluated. */
  readonly score: number | null;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly crc32: number }>>;
}

const MANIFEST = 'checkpoint.json';
const STATE = 'state.json';
const NAME = /^step-(\d{8,})$/;
const TEMPORARY = /^\.(saving|removing)-/;

/** The checkpoints in one directory. One process writes to it at a time. */
export class Checkpoints {
  readonly directory: string;
  readonly #keep: number;
  readonly #best: 'min' | 'max';
  readonly #onNote: (text: string) => void;

  constructor(directory: string, options: CheckpointOptions = {}) {
    this.directory = directory;
    this.#keep = options.keep ?? 2;
    this.#best = options.best ?? 'min';
    this.#onNote = options.onNote ?? (() => {});
  }

  /**
   * Saves a checkpoint, then removes those that are no longer kept. Do not change the tensors until the promise settles.
   *
   * @param score what the run is judged by, such as the evaluation loss.
   * @throws NudgeError DISK_FULL or IO_FAILED; the checkpoints before are untouched then.
   */
  async save(step: number, contents: CheckpointContents, score: number | null = null): Promise<string> {
    const destination = join(this.directory, nameOf(step));
    const temporary = join(this.directory, `.saving-${process.pid}-${randomBytes(6).toString('hex')}`);
    try {
      await mkdir(temporary, { recursive: true });
      await write(temporary, contents);
      const files = await fingerprints(temporary);
      const finite = score !== null && Number.isFinite(score) ? score : null;
      await writeJson(join(temporary, MANIFEST), { version: 1, step, score: finite, files } satisfies Manifest);
      await syncDirectory(temporary);
      // One of this step is there when it was damaged, or the run was stopped and went on without a step.
      await this.#remove(nameOf(step));
      await rename(temporary, destination);
      await syncDirectory(this.directory);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true }).catch(() => {});
      throw saveFailed(error, destination);
    }
    await this.#prune(step);
    return destination;
  }

  /** The latest whole checkpoint; null where there is none. Also clears away what a killed process left half-written. */
  async latest(): Promise<Checkpoint | null> {
    for (const name of await this.#names()) if (TEMPORARY.test(name)) await this.#discard(name);
    for (const step of (await this.#steps()).reverse()) {
      const checkpoint = await this.#open(step);
      if (checkpoint !== null) return checkpoint;
    }
    return null;
  }

  /** The one with the best score; null where none has a score. */
  async best(): Promise<Checkpoint | null> {
    const step = this.#bestOf(await this.#scores());
    return step === null ? null : await this.#open(step);
  }

  async #open(step: number): Promise<Checkpoint | null> {
    const path = join(this.directory, nameOf(step));
    const problem = await problemOf(path, step);
    if (problem === null) return await Checkpoint.open(path);
    this.#onNote(`The checkpoint ${path} is passed over: ${problem}.`);
    return null;
  }

  /** Keeps the latest and the best. Those of later steps are damaged: a run goes on from the last whole one. */
  async #prune(current: number): Promise<void> {
    const steps = await this.#steps();
    const latest = steps.filter((step) => step <= current).slice(-this.#keep);
    const best = this.#bestOf(await this.#scores());
    for (const step of steps) if (!latest.includes(step) && step !== best) await this.#remove(nameOf(step));
  }

  #bestOf(scores: ReadonlyMap<number, number>): number | null {
    const sign = this.#best === 'min' ? 1 : -1;
    let best: number | null = null;
    // Of equals the first: what came later gained nothing.
    for (const [step, score] of scores) if (best === null || sign * score < sign * scores.get(best)!) best = step;
    return best;
  }

  async #scores(): Promise<Map<number, number>> {
    const scores = new Map<number, number>();
    for (const step of await this.#steps()) {
      const manifest = await readManifest(join(this.directory, nameOf(step)));
      if (typeof manifest !== 'string' && manifest.score !== null) scores.set(step, manifest.score);
    }
    return scores;
  }

  async #steps(): Promise<number[]> {
    const steps = (await this.#names()).flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number);
    return steps.sort((a, b) => a - b);
  }

  async #names(): Promise<string[]> {
    return await readdir(this.directory).catch((error) => {
      if (errorCode(error) === 'ENOENT') return [];
      throw ioFailed('list', this.directory, error);
    });
  }

  /** Renamed first: half of a checkpoint must not carry a checkpoint's name. */
  async #remove(name: string): Promise<void> {
    const removing = `.removing-${name}-${randomBytes(6).toString('hex')}`;
    try {
      await rename(join(this.directory, name), join(this.directory, removing));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return;
      throw ioFailed('remove', join(this.directory, name), error);
    }
    await this.#discard(removing);
  }

  async #discard(name: string): Promise<void> {
    await rm(join(this.directory, name), { recursive: true, force: true });
  }
}

/** A checkpoint that was found whole. */
export class Checkpoint {
  readonly path: string;
  readonly step: number;
  readonly score: number | null;
  readonly state: Json;
  readonly #optimizers: Readonly<Record<string, Omit<OptimizerState, 'tensors'>>>;

  private constructor(path: string, { step, score }: Manifest, saved: SavedState) {
    this.path = path;
    this.step = step;
    this.score = score;
    this.state = saved.state;
    this.#optimizers = saved.optimizers;
  }

  /** @internal */
  static async open(path: string): Promise<Checkpoint> {
    const manifest = (await readManifest(path)) as Manifest;
    return new Checkpoint(path, manifest, JSON.parse(await readFile(join(path, STATE), 'utf8')) as SavedState);
  }

  /**
   * Puts the values back, bit for bit, into tensors and optimisers made as when they were saved. A group or an optimiser that
   * is not named stays on the disk.
   *
   * @throws NudgeError BAD_ARGUMENT or SHAPE_MISMATCH where names, shapes or dtypes are not those that were saved.
   */
  async restore(into: Partial<Omit<CheckpointContents, 'state'>>): Promise<void> {
    for (const [group, tensors] of Object.entries(into.tensors ?? {})) {
      await usingTensors(join(this.path, `${group}.safetensors`), (saved) => copyAll(tensors, saved, group));
    }
    for (const [name, optimizer] of Object.entries(into.optimizers ?? {})) {
      const state = this.#optimizers[name];
      if (state === undefined) throw misfit(`optimizer ${name}`, 'an optimiser of this name', 'none');
      await usingTensors(join(this.path, `optimizer.${name}.safetensors`), (tensors) =>
        optimizer.loadStateDict({ ...state, tensors }),
      );
    }
  }
}

interface SavedState {
  readonly state: Json;
  readonly optimizers: Readonly<Record<string, Omit<OptimizerState, 'tensors'>>>;
}

const nameOf = (step: number): string => `step-${String(step).padStart(8, '0')}`;

async function write(directory: string, { tensors, optimizers = {}, state }: CheckpointContents): Promise<void> {
  for (const [group, named] of Object.entries(tensors)) {
    await saveSafetensors(join(directory, `${group}.safetensors`), new Map(named));
  }
  const states: Record<string, Omit<OptimizerState, 'tensors'>> = {};
  for (const [name, optimizer] of Object.entries(optimizers)) {
    const { tensors, ...rest } = optimizer.stateDict();
    await saveSafetensors(join(directory, `optimizer.${name}.safetensors`), tensors);
    states[name] = rest;
  }
  await writeJson(join(directory, STATE), { state, optimizers: states });
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await using file = await TemporaryFile.create(path);
  await file.write(Buffer.from(`${JSON.stringify(value, refuseNonFinite)}\n`));
  await file.seal();
  await file.publish(true);
  file.release();
}

/** JSON would make null of it, and the run would go on from another state than it had. */
function refuseNonFinite(key: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  throw new NudgeError('BAD_ARGUMENT', 'A checkpoint cannot hold a number that is not finite.', {
    path: key,
    received: String(value),
    remedy: 'Use null for "none yet".',
  });
}

async function usingTensors(path: string, use: (tensors: Map<string, Tensor>) => void): Promise<void> {
  const tensors = await loadSafetensors(path);
  try {
    use(tensors);
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
  }
}

function copyAll(targets: NamedTensors, saved: ReadonlyMap<string, Tensor>, group: string): void {
  const pairs = [...targets].map(([name, target]) => ({ name, target, source: saved.get(name) }));
  const describe = (tensor: Tensor | undefined) => (tensor ? `${tensor.dtype} [${tensor.shape}]` : 'nothing');
  for (const { name, target, source } of pairs) {
    if (describe(source) !== describe(target)) throw misfit(`${group}: ${name}`, describe(target), describe(source));
  }
  if (pairs.length !== saved.size) {
    throw misfit(group, `${pairs.length} tensors`, `${saved.size} in the checkpoint`);
  }
  torch.noGrad(() => {
    for (const { target, source } of pairs) target.copy_(source!);
  });
}

function misfit(path: string, expected: string, received: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'The checkpoint does not fit what is trained now.', {
    path,
    expected,
    received,
    remedy: 'Go on with the same model and configuration, or start in another directory.',
  });
}

async function fingerprints(directory: string): Promise<Record<string, { bytes: number; crc32: number }>> {
  const files: Record<string, { bytes: number; crc32: number }> = {};
  for (const name of (await readdir(directory)).sort()) {
    const path = join(directory, name);
    files[name] = { bytes: (await stat(path)).size, crc32: await crcOf(path) };
  }
  return files;
}

async function crcOf(path: string): Promise<number> {
  let crc = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 4 << 20 })) crc = crc32(chunk as Buffer, crc);
  return crc;
}

/** The manifest, or what is wrong with it. */
async function readManifest(path: string): Promise<Manifest | string> {
  try {
    const manifest = JSON.parse(await readFile(join(path, MANIFEST), 'utf8')) as Manifest;
    if (manifest.version !== 1) return `it is of version ${manifest.version}, and this program knows version 1`;
    return typeof manifest.files === 'object' && manifest.files !== null ? manifest : `${MANIFEST} is damaged`;
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? `it has no ${MANIFEST}` : `${MANIFEST} is damaged`;
  }
}

/** Why a checkpoint cannot be used; null where it can. */
async function problemOf(path: string, step: number): Promise<string | null> {
  const manifest = await readManifest(path);
  if (typeof manifest === 'string') return manifest;
  if (manifest.step !== step) return `it is of step ${manifest.step}`;
  for (const [name, { bytes, crc32 }] of Object.entries(manifest.files)) {
    const size = await stat(join(path, name)).then(
      (found) => found.size,
      () => null,
    );
    if (size === null) return `${name} is missing`;
    if (size !== bytes) return `${name} has ${size} bytes in place of ${bytes}`;
    if ((await crcOf(join(path, name))) !== crc32) return `${name} is damaged`;
  }
  return null;
}

function saveFailed(error: unknown, path: string): unknown {
  const cause = error instanceof NudgeError && error.cause !== undefined ? error.cause : error;
  const code = errorCode(cause);
  if (code !== undefined && ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code)) {
    return new NudgeError('DISK_FULL', 'There is no room for the checkpoint. The ones before are untouched.', {
      path,
      received: (cause as Error).message,
      remedy: 'Free space, then start the same command again: it goes on from the last checkpoint.',
      cause: error,
    });
  }
  return error instanceof NudgeError ? error : ioFailed('write', path, error);
}
