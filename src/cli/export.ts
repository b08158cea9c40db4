import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { NudgeError } from '../errors.ts';
import type { SavedType } from '../models/index.ts';
import type { DType } from '../tensor/index.ts';
import type { ExportFormat, WrittenFile } from './export/formats.ts';
import { openModel } from './pretrained.ts';

interface Options {
  to: string;
  format?: ExportFormat;
  ggufType?: string;
  adapter?: string;
  merge?: boolean;
  dtype?: DType;
  revision?: string;
  offline?: boolean;
  force?: boolean;
  json?: boolean;
}

/** Checked options: what is written where. */
interface Plan extends Options {
  readonly format: ExportFormat;
  /** Absolute. */
  readonly to: string;
  readonly overwrite: boolean;
}

/** `nudge export`: a model or an adapter, for other programs. */
export function registerExport(program: Command): void {
  program
    .command('export')
    .description('write a model or an adapter for other programs')
    .argument('<model>', 'a name, a directory or a .gguf file')
    .requiredOption('--to <path>', 'a directory, or a .gguf file')
    .addOption(
      new Option('--format <format>', 'hf: safetensors; peft: the adapter alone; gguf: one file for llama.cpp').choices(
        ['hf', 'peft', 'gguf'],
      ),
    )
    .addOption(
      new Option('--gguf-type <type>', 'of the matrices in a .gguf file (default: f16)').choices([
        'q8_0',
        'f16',
        'bf16',
        'f32',
      ]),
    )
    .option('--adapter <dir>', "a LoRA adapter in PEFT's format")
    .option('--merge', 'add the adapter to the weights')
    .addOption(
      new Option('--dtype <dtype>', 'of safetensors (default: as stored; bfloat16 where that is quantised)').choices([
        'float32',
        'bfloat16',
        'float16',
      ]),
    )
    .option('--revision <revision>', 'a branch, tag or commit on the hub (default: main)')
    .option('--offline', 'fetch nothing')
    .option('--force', 'replace what is there')
    .option('--json', 'print the result as one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(run);
}

async function run(name: string, options: Options): Promise<void> {
  const plan = checked(options);
  const { format, to, adapter, json = false } = plan;
  const files = format === 'peft' ? await exportAdapter(name, plan) : await exportModel(name, plan);
  if (json) {
    const merged = format === 'peft' ? {} : { merged: adapter ?? null };
    process.stdout.write(`${JSON.stringify({ ok: true, format, path: to, ...merged, files })}\n`);
  } else {
    process.stdout.write(`${await listed(plan, files)}\n`);
  }
}

async function exportAdapter(name: string, plan: Plan): Promise<readonly WrittenFile[]> {
  const { writeAdapter } = await import('./export/formats.ts');
  const { revision, offline, adapter, to, overwrite } = plan;
  // In the precision that costs least memory: nothing is computed with the base.
  const opening = { dtype: 'bfloat16', ...defined({ revision, offline }) } as const;
  using pretrained = await openModel(name, opening, { use: 'training' });
  return await writeAdapter(pretrained, { adapter: adapter!, to, overwrite });
}

async function exportModel(name: string, plan: Plan): Promise<readonly WrittenFile[]> {
  const [{ describeModel, resolveModel }, formats] = await Promise.all([
    import('../models/index.ts'),
    import('./export/formats.ts'),
  ]);
  const { format, to, overwrite, adapter, revision, offline, ggufType = 'f16' } = plan;
  const { dtype: stored } = await describeModel(await resolveModel(name, { revision, offline }));
  const target = format === 'gguf' ? null : (plan.dtype ?? dtypeOf(stored) ?? 'bfloat16');
  // An adapter is added in float32, and the sum rounded once; so is what is quantised once more.
  const dtype = adapter === undefined ? (target ?? dtypeOf(stored) ?? 'float32') : 'float32';
  const scores = adapter !== undefined && (await formats.isRewardAdapter(adapter));
  const opening = { dtype, ...defined({ adapter, revision, offline }) };
  using pretrained = await openModel(name, opening, { use: 'training', ...(scores ? { head: 'score' } : {}) });
  if (format === 'hf') {
    const { backbone, lm_head } = pretrained.model;
    // Score heads stay float32.
    for (const part of [backbone, lm_head]) part?.to(target!);
    return await formats.writeHuggingFace(pretrained, to, overwrite);
  }
  return await formats.writeGgufFile(pretrained, to, { type: ggufType.toUpperCase() as SavedType, overwrite });
}

/** Leaves out what was not given. */
function defined<T extends object>(values: T): { [K in keyof T]: NonNullable<T[K]> } {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [K in keyof T]: NonNullable<T[K]> };
}

/** As a file spells it -> torch's name; undefined for quantised weights. */
function dtypeOf(stored: string | null): DType | undefined {
  const names: Readonly<Record<string, DType>> = { BF16: 'bfloat16', F16: 'float16', F32: 'float32', F64: 'float32' };
  return stored === null ? undefined : names[stored];
}

/** Everything that can be refused before a model is opened. */
function checked(options: Options): Plan {
  const { adapter, merge = false, dtype, ggufType, force = false } = options;
  const to = resolve(options.to);
  const format = options.format ?? (to.endsWith('.gguf') ? 'gguf' : 'hf');
  const refuse = (path: string, summary: string, remedy: string): never => {
    throw new NudgeError('BAD_ARGUMENT', summary, { path, remedy });
  };
  if (format === 'gguf' && !to.endsWith('.gguf'))
    refuse('--to', 'A GGUF model is one file.', 'Name it: --to model.gguf.');
  if (format !== 'gguf' && to.endsWith('.gguf'))
    refuse('--to', 'This format is a directory.', 'Name one, or --format gguf.');
  if (format === 'peft' && adapter === undefined)
    refuse('--adapter', 'There is no adapter to export.', 'Add --adapter DIR.');
  if (format === 'peft' && merge)
    refuse('--merge', 'A merged adapter is none any more.', 'Use --format hf, or leave --merge out.');
  if (format !== 'peft' && adapter !== undefined && !merge) {
    refuse(
      '--adapter',
      'An adapter goes into a whole model by being added to its weights.',
      'Add --merge, or --format peft for the adapter alone.',
    );
  }
  if (merge && adapter === undefined) refuse('--merge', 'There is no adapter to merge.', 'Add --adapter DIR.');
  if (dtype !== undefined && format !== 'hf') {
    refuse(
      '--dtype',
      `--dtype is for hf${format === 'peft' ? ': adapters are float32' : ''}.`,
      format === 'gguf' ? 'Use --gguf-type.' : 'Leave it out.',
    );
  }
  if (ggufType !== undefined && format !== 'gguf') refuse('--gguf-type', '--gguf-type is for gguf.', 'Use --dtype.');
  if (existsSync(to) && statSync(to).isDirectory() !== (format !== 'gguf')) {
    const kind = format === 'gguf' ? 'directory' : 'file';
    refuse('--to', `There is a ${kind} at this path.`, 'Choose another --to.');
  }
  const there = inTheWay(to, format);
  if (there.length > 0 && !force) throw exists(there);
  return { ...options, format, to, overwrite: force };
}

/** What an export would replace. */
function inTheWay(to: string, format: ExportFormat): string[] {
  if (!existsSync(to)) return [];
  if (format === 'gguf') return [to];
  const owned = format === 'peft' ? /^adapter_(config\.json|model\..+)$/ : /^config\.json$|\.safetensors$/;
  return readdirSync(to)
    .filter((name) => owned.test(name))
    .map((name) => join(to, name));
}

function exists(paths: readonly string[]): NudgeError {
  return new NudgeError('FILE_EXISTS', 'There is a model already.', {
    path: paths.slice(0, 3).join(', '),
    remedy: 'Choose another --to, or replace it with --force.',
  });
}

async function listed({ to, format }: Plan, files: readonly WrittenFile[]): Promise<string> {
  const { size } = await import('../setup/progress.mjs');
  const shown = (bytes: number) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : size(bytes));
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const lines = files.map(({ path, bytes }) => `${shown(bytes).padStart(10)}  ${path}`);
  return [`Wrote ${shown(total)} as ${LABELS[format]} to ${to}`, ...(files.length > 1 ? lines : [])].join('\n');
}

const LABELS: Readonly<Record<ExportFormat, string>> = {
  hf: 'safetensors, for transformers and vLLM,',
  peft: 'an adapter, for PEFT and vLLM,',
  gguf: 'GGUF, for llama.cpp,',
};

const EXAMPLES = `
Examples:
  nudge export smollm2-135m-instruct --to model.gguf --gguf-type q8_0
  nudge export ./my-model --adapter runs/first/policy --merge --to ./aligned        one model, the adapter in its weights
  nudge export ./my-model --adapter runs/first/policy --merge --to aligned.gguf
  nudge export ./my-model --adapter runs/first/policy --format peft --to ./adapter  the adapter alone, checked against its base
  nudge export model.gguf --to ./model --dtype float16                              back to safetensors

Without --format, a path that ends in .gguf is gguf and any other hf. A tokenizer goes along. What is written appears whole or
not at all, and replaces nothing without --force.`;
