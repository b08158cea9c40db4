/** `npm run setup` and `nudge setup`: reads the command line, does the set-up, says what came of it. */

import { createContext } from './context.mjs';
import { SetupError } from './failure.mjs';
import { endChildrenOnSignals } from './run.mjs';
import { setUp } from './setup.mjs';

/** @import { Context } from './context.mjs' */
/** @import { SetupOptions } from './request.mjs' */

export const SETUP_HELP = `Usage: npm run setup [-- OPTIONS]      in a checkout
       npx nudge setup [OPTIONS]       where the package is installed

Makes Nudge ready to run: npm packages (in a checkout), libtorch, the native addon.
It does only what is missing, so it can be run at any time.

Options:
  --cpu     use a CPU build of libtorch even where there is an NVIDIA GPU
  --cuda    use a CUDA build of libtorch
  --fresh   choose libtorch again instead of keeping the last choice
  --json    print the result as one JSON object on stdout
  --help    show this text

Environment:
  NUDGE_TORCH       folder of an installed torch package or an unpacked libtorch to use
  NUDGE_DEVICE      cpu, cuda, cuda:N or mps
  NUDGE_CACHE       where libtorch and the addon are kept (default: ~/.cache/nudge)
  NUDGE_BUILD_JOBS  how many sources to compile at once
`;

/**
 * @param {string[]} args
 * @returns {SetupOptions & { json: boolean, help: boolean }}
 * @throws {SetupError} BAD_OPTION (exit code 2)
 */
export function parseSetupArguments(args) {
  const known = {
    '--cpu': 'cpu',
    '--cuda': 'cuda',
    '--fresh': 'fresh',
    '--json': 'json',
    '--help': 'help',
    '-h': 'help',
  };
  const options = { cpu: false, cuda: false, fresh: false, json: false, help: false };
  for (const arg of args) {
    if (!Object.hasOwn(known, arg)) {
      throw new SetupError(
        'BAD_OPTION',
        'Set-up does not know this option.',
        { expected: '--cpu, --cuda, --fresh, --json or --help', received: arg, remedy: 'correct it; see --help' },
        2,
      );
    }
    options[/** @type {keyof typeof options} */ (known[/** @type {keyof typeof known} */ (arg)])] = true;
  }
  return options;
}

/**
 * @param {string[]} args
 * @param {Context} [context]
 * @returns {Promise<number>} The exit code: 0 ready, 1 failed, 2 bad input, 130 interrupted.
 */
export async function main(args, context) {
  let json = args.includes('--json');
  try {
    const options = parseSetupArguments(args);
    json = options.json;
    if (options.help) {
      process.stdout.write(SETUP_HELP);
      return 0;
    }
    endChildrenOnSignals();
    const { record, changed } = await setUp(context ?? createContext(), options);
    if (json) process.stdout.write(`${JSON.stringify({ ok: true, changed, ...record })}\n`);
    else if (changed) process.stderr.write(`Nudge is ready: libtorch ${record.torchVersion} (${record.variant}).\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    if (json) process.stdout.write(`${JSON.stringify({ ok: false, error })}\n`);
    else process.stderr.write(`\nSet-up failed. ${error.message}\n`);
    return error.code === 'INTERRUPTED' ? 130 : error.exitCode;
  }
}
