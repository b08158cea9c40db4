import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { NudgeError } from '../errors.ts';
import type { Pretrained } from '../pretrained/index.ts';
import type { BuiltinTemplateName } from '../text/index.ts';
import type { Rendering } from './generate/run.ts';
import { addModelOptions, type ModelOptions, openModel, templateOption } from './pretrained.ts';
import { addSamplingOptions, collect, givenSettings, type Settings } from './sampling.ts';

interface Options extends ModelOptions, Settings {
  prompts: string;
  out: string;
  n: number;
  map?: string[];
  raw?: boolean;
  system?: string;
  template?: BuiltinTemplateName;
  stop?: string[];
  ids?: boolean;
  batch: number;
  force?: boolean;
  json?: boolean;
}

/** Plain draws from the model: what is judged and trained on should be what it says. */
const DEFAULTS = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  maxTokens: 256,
  seed: 0,
} satisfies Settings;

/** `nudge generate`: completions of a file of prompts, as a file. */
export function registerGenerate(program: Command): void {
  const generate = program
    .command('generate')
    .description('draw completions of a file of prompts')
    .argument('<model>', 'a name, a directory or a .gguf file')
    .requiredOption(
      '--prompts <file>',
      'JSONL, JSON, CSV or Parquet with a field `prompt`, or text with a prompt a line',
    )
    .requiredOption('--out <file>', 'JSONL, a row a completion; where it was begun, the same command goes on')
    .option('-n, --n <count>', 'completions a prompt', readCount, 1)
    .option('--map <field=column>', 'where the prompt is, as in prompt=question', collect)
    .option('--raw', 'go on with prompts that are strings; otherwise they are asked in a chat, where the model has one')
    .option('--system <text>', 'a system message for prompts that have none')
    .addOption(templateOption());
  addSamplingOptions(generate, DEFAULTS)
    .option('--ids', "add each completion's token ids and their log-probabilities")
    .option('--batch <count>', 'completions that are computed together', readCount, 64);
  addModelOptions(generate)
    .option('--force', 'start over where the file is there')
    .option('--json', 'print the result as one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(run);
}

async function run(name: string, options: Options): Promise<void> {
  const { n, batch, adapter, json = false, force = false, prompts } = options;
  const out = resolve(options.out);
  const asked = { ...DEFAULTS, ...givenSettings(options), n, stopStrings: options.stop ?? [] };
  const [{ resolveParameters }, { parseFieldMap }, { checkPrompts }, { prepareOutput }, { told }, { generateBatch }] =
    await Promise.all([
      import('../generate/index.ts'),
      import('../data/index.ts'),
      import('./generate/prompts.ts'),
      import('./generate/output.ts'),
      import('./generate/meter.ts'),
      import('./generate/batch.ts'),
    ]);
  // What cannot be is told before a model is fetched.
  resolveParameters(asked);
  checkPromptFile(prompts);
  if (resolve(prompts) === out) throw samePath(out);
  await prepareOutput(out, force);
  const map = options.map === undefined ? {} : parseFieldMap(options.map);
  await checkPrompts(prompts, map);
  using pretrained = await openModel(name, options, { use: 'inference', head: 'lm' });
  // The default leaves half of a short context to the prompt; what was asked for is taken as it is.
  const half = Math.floor(pretrained.model.config.maxPositions / 2);
  const sampling = { ...asked, maxTokens: options.maxTokens ?? Math.min(DEFAULTS.maxTokens, half) };
  const result = await generateBatch(pretrained, {
    prompts,
    map,
    out,
    sampling,
    rendering: renderingOf(pretrained, options),
    adapter,
    withIds: options.ids ?? false,
    batch,
    force,
  });
  process.stdout.write(`${json ? JSON.stringify({ ok: true, out, ...result }) : told(result, out)}\n`);
}

function renderingOf({ tokenizer }: Pretrained, { raw, system, template }: Options): Rendering {
  const hasTemplate = template !== undefined || tokenizer.chatTemplate !== undefined;
  const given = { ...(system === undefined ? {} : { system }), ...(template === undefined ? {} : { template }) };
  return { strings: hasTemplate && !raw ? 'chat' : 'continue', ...given };
}

function checkPromptFile(path: string): void {
  if (existsSync(path) && statSync(path).isFile()) return;
  throw new NudgeError('BAD_ARGUMENT', 'There is no such file of prompts.', {
    path,
    expected: 'a file',
    received: existsSync(path) ? 'a directory' : 'nothing',
    remedy: 'Correct --prompts.',
  });
}

function samePath(path: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'The completions cannot go where the prompts are.', {
    path,
    received: 'the same file as --prompts and --out: these are the prompts',
    remedy: 'Choose another --out.',
  });
}

function readCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It is not a whole number from 1.');
  return value;
}

const EXAMPLES = `
Examples:
  nudge generate smollm2-135m-instruct --prompts questions.txt --out answers.jsonl
  nudge generate smollm2-135m-instruct --prompts questions.jsonl -n 4 --max-tokens 200 --out answers.jsonl
  nudge generate ./policy --prompts test.parquet --map prompt=question --temperature 0 --out greedy.jsonl
  nudge generate ./base-model --prompts beginnings.txt --raw --stop $'\\n\\n' --out stories.jsonl

A prompt is a string, or a list of messages: {"prompt": "Why?"} or {"prompt": [{"role": "user", "content": "Why?"}]}, with an
"id" if you like. A row of the result has prompt, completion, finishReason, tokens, logprob (of all its tokens), promptIndex, id,
sampleIndex, seed, model and parameters.

Stopped at any moment, also by kill -9 or a power cut, the same command goes on where the file ends, and on a CPU writes
the rows that it would have written. It refuses where model, parameters or prompts are others; --force starts over.`;
