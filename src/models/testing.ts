/** What the tests of this folder share. Nothing here is part of the library. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { NudgeError } from '../errors.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import { type ConfigJson, loadSafetensors, type PackedAttention } from './index.ts';

// The golden values were made with one thread too, and test files run side by side.
torch.setNumThreads(1);

export const GOLDEN = join(import.meta.dirname, '../../tests/golden/data/models');
export const SHARED = join(import.meta.dirname, '../../../shared/data');
export const GOLDEN_FAMILIES = ['llama', 'qwen2', 'qwen3', 'gpt2', 'gpt_neox'] as const;

/** What scripts/golden/models.py expects of a family. */
export class Expected {
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly variants: Readonly<Record<string, ConfigJson>>;

  private constructor(tensors: ReadonlyMap<string, Tensor>, variants: Record<string, ConfigJson>) {
    this.#tensors = tensors;
    this.variants = variants;
  }

  static async of(family: string): Promise<Expected> {
    const tensors = await loadSafetensors(join(GOLDEN, family, 'expected.safetensors'));
    return new Expected(tensors, JSON.parse(readFileSync(join(GOLDEN, family, 'variants.json'), 'utf8')));
  }

  tensor(name: string): Tensor {
    const tensor = this.#tensors.get(name);
    expect(tensor, name).toBeDefined();
    return tensor!;
  }

  get lengths(): number[] {
    return this.tensor('lengths').tolist() as number[];
  }

  /** Names of all parameters. */
  get parameters(): string[] {
    return [...this.#tensors.keys()].flatMap((name) =>
      name.startsWith('scale.') ? [name.slice('scale.'.length)] : [],
    );
  }

  /** The loss's gradient by a parameter, 1.5e-5 of its largest element off. */
  gradient(parameter: string): Tensor {
    return this.tensor(`gradient.${parameter}`)
      .float()
      .mul(this.tensor(`scale.${parameter}`));
  }
}

/** Mean loss over all tokens that have one before them in their sequence: logits [N, V], ids [N] -> scalar. */
export function nextTokenLoss(logits: Tensor, ids: Tensor, { lengths, lastTokens }: PackedAttention): Tensor {
  const losses = torch.crossEntropyLoss(logits.narrow(0, 0, ids.shape[0]! - 1), ids.narrow(0, 1, ids.shape[0]! - 1), {
    reduction: 0,
  }); // [N - 1]
  const counts = torch
    .ones([ids.shape[0]!])
    .indexFill(0, lastTokens, 0)
    .narrow(0, 0, ids.shape[0]! - 1); // [N - 1]
  return losses
    .mul(counts)
    .sum()
    .div(lengths.reduce((sum, length) => sum + length - 1, 0));
}

/** The largest difference of any two elements. */
export function maxDifference(a: Tensor, b: Tensor): number {
  return torch.scope(() => a.detach().float().sub(b.detach().float()).abs().max().item());
}

export async function inTemporaryDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'nudge-models-'));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The error that `run` throws, which must be a NudgeError. */
export async function errorOf(run: () => unknown): Promise<NudgeError> {
  try {
    await run();
  } catch (error) {
    expect(error).toBeInstanceOf(NudgeError);
    return error as NudgeError;
  }
  throw new Error('expected an error');
}

/** A folder of ../shared/data, or why it cannot be used. */
export function sharedData(path: string): { path: string; missing: string | null } {
  const full = join(SHARED, path);
  return { path: full, missing: existsSync(full) ? null : `no ../shared/data/${path}` };
}
