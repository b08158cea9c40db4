import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import { NudgeError } from '../errors.ts';
import { writeFileAtomic } from '../setup/files.mjs';

interface Options {
  stdout?: boolean;
  force?: boolean;
  json?: boolean;
}

/** `nudge init`: a configuration to begin with. */
export function registerInit(program: Command): void {
  program
    .command('init')
    .description('write a nudge.yaml in which every key is explained')
    .argument('[file]', 'where to', 'nudge.yaml')
    .option('--stdout', 'print it, and write nothing')
    .option('--force', 'replace the file that is there')
    .option('--json', 'print what was written as one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(init);
}

async function init(file: string, { stdout, force, json }: Options): Promise<void> {
  const { initialConfig, jsonSchema } = await import('../pipeline/index.ts');
  const schema = join(dirname(file), `${basename(file).replace(/\.ya?ml$/, '')}.schema.json`);
  const text = initialConfig(`./${basename(schema)}`);
  if (stdout) {
    process.stdout.write(text);
    return;
  }
  if (existsSync(file) && !force) {
    throw new NudgeError('FILE_EXISTS', 'There is a configuration already.', {
      path: file,
      remedy: 'Name another file, or add --force.',
    });
  }
  writeFileAtomic(schema, `${JSON.stringify(jsonSchema(), null, 2)}\n`);
  writeFileAtomic(file, text);
  if (json) process.stdout.write(`${JSON.stringify({ ok: true, file, schema })}\n`);
  else
    process.stdout.write(
      `Wrote ${file}, and ${schema} by which editors complete and check it.\nNext: put prompts into the file that it names, then \`nudge run --dry-run\`.\n`,
    );
}

const EXAMPLES = `
Examples:
  nudge init                      nudge.yaml and its schema
  nudge init experiments/a.yaml   elsewhere
  nudge init --stdout | less      read about every key`;
