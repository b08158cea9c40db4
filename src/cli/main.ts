/**
 * The `nudge` command: reads the command line and hands over to one file a command.
 *
 * A command's file declares its options and imports what does the work only when it runs, so that `--help` is quick and
 * works where libtorch is not set up.
 */

import { Command, CommanderError } from 'commander';
import { packageVersion } from '../setup/paths.mjs';
import { registerBench } from './bench.ts';
import { registerChat } from './chat.ts';
import { registerDoctor } from './doctor.ts';
import { registerExport } from './export.ts';
import { registerGenerate } from './generate.ts';
import { registerInit } from './init.ts';
import { registerModels } from './models.ts';
import { reportError } from './report.ts';
import { registerRun } from './run.ts';
import { registerRuns } from './runs.ts';
import { registerSetup } from './setup.ts';

/** Declares a command on the program. Its action sets `process.exitCode` to 1 when what it did came out badly. */
export type RegisterCommand = (program: Command) => void;

/** In the order of `nudge --help`. */
const COMMANDS: readonly RegisterCommand[] = [
  registerSetup,
  registerDoctor,
  registerModels,
  registerChat,
  registerGenerate,
  registerExport,
  registerInit,
  registerRun,
  registerRuns,
  registerBench,
];

/**
 * Runs one command line.
 *
 * @param args What follows `nudge`.
 * @returns The exit code: 0 ok, 1 failed, 2 bad input.
 */
export async function main(args: readonly string[]): Promise<number> {
  endQuietlyOnClosedPipe();
  const json = args.includes('--json');
  try {
    await createProgram(json).parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return finishUsage(error, json);
    return reportError(error, json);
  }
}

function createProgram(json: boolean): Command {
  const program = new Command('nudge');
  program
    .description('Teach a language model from human preferences (RLHF).')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .showHelpAfterError('(see --help)')
    .exitOverride()
    .addHelpText('after', '\nExit codes: 0 ok, 1 failed, 2 bad input. NUDGE_DEBUG=1 adds stack traces to errors.');
  // With --json the message goes out as JSON, in finishUsage.
  if (json) program.configureOutput({ writeErr: () => {} });
  for (const register of COMMANDS) register(program);
  return program;
}

/** commander ends a command line by throwing, for `--help` as well as for a mistake. */
function finishUsage(error: CommanderError, json: boolean): number {
  if (error.exitCode === 0) return 0;
  if (json) {
    const message = error.message.replace(/^error: /, '');
    process.stdout.write(`${JSON.stringify({ ok: false, error: { code: 'BAD_ARGUMENT', message } })}\n`);
  }
  return 2;
}

/** `nudge ... | head` closes the pipe early. That is no failure. */
function endQuietlyOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}
