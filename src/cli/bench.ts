import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Command, InvalidArgumentError } from 'commander';
import { NudgeError } from '../errors.ts';
import { packageRoot } from '../setup/paths.mjs';

/** What `bench/main.ts` is asked for. */
export interface BenchOptions {
  /** Print JSON lines in place of a table. */
  json: boolean;
  rounds: number;
  /** Threads of each side. */
  threads: number;
  /** Part of the names of the cases, or groups of cases, to run; all without it. */
  case?: string;
  /** Whether to measure PyTorch beside. */
  peer: boolean;
  /** A file whose table to replace. */
  markdown?: string;
}

/**
 * `nudge bench`: measures Nudge beside PyTorch, and against what the machine allows.
 *
 * The benchmarks are in `bench/` of a checkout, outside the published package, so they are found by path when asked for.
 */
export function registerBench(program: Command): void {
  program
    .command('bench')
    .description('measure Nudge beside PyTorch (in a checkout only)')
    .argument(
      '<name>',
      'ops: single operators; generate: completions of a language model; train: steps of the trainers',
    )
    .option('--json', 'print one JSON object a line: first the machine, then the cases', false)
    .option('--rounds <n>', 'how often the sides take turns; the median is printed', positiveInteger, 15)
    .option('--threads <n>', 'threads of each side', positiveInteger, 2)
    .option('--case <part>', 'only the cases, or groups of cases, with this in their name')
    .option('--no-peer', 'leave PyTorch out')
    .option('--markdown <file>', 'also write the table into this file, between its markers')
    .addHelpText('after', EXAMPLES)
    .action(async (name: string, options: BenchOptions) => {
      const { main } = await loadBenchmarks();
      await main(name, options);
    });
}

async function loadBenchmarks(): Promise<{ main: (name: string, options: BenchOptions) => Promise<void> }> {
  const path = join(packageRoot(), 'bench', 'main.ts');
  if (!existsSync(path)) {
    throw new NudgeError('BENCH_FAILED', 'The benchmarks are not part of the published package.', {
      path,
      remedy: 'Clone the repository, run `npm run setup` there, then the same command.',
    });
  }
  return import(pathToFileURL(path).href);
}

function positiveInteger(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a whole number above 0.');
}

const EXAMPLES = `
Examples:
  node bench/peers/setup.mjs                        get PyTorch for Python to compare with, once
  nudge bench ops                                   all operators, about three minutes
  nudge bench ops --case add --rounds 99            one of them, more carefully
  nudge bench ops --case 'matrix products'          a group of them
  nudge bench train --rounds 5                      trainers beside TRL's; a step takes seconds
  nudge bench ops --json --no-peer > ops.jsonl      for programs, Nudge and its limits only
  nudge bench ops --markdown docs/performance.md    rewrite the table in the documentation

Ratios above 1 mean that Nudge is better. Let nothing else run meanwhile.`;
