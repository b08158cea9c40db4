import type { Command } from 'commander';

interface Options {
  cpu?: boolean;
  cuda?: boolean;
  fresh?: boolean;
  json?: boolean;
}

/** `nudge setup`: what `npm run setup` does in a checkout, for the published package too. */
export function registerSetup(program: Command): void {
  program
    .command('setup')
    .description('get libtorch and build the native addon; does only what is missing')
    .option('--cpu', 'use a CPU build of libtorch even where there is an NVIDIA GPU')
    .option('--cuda', 'use a CUDA build of libtorch')
    .option('--fresh', 'choose libtorch again instead of keeping the last choice')
    .option('--json', 'print the result as one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(async (options: Options) => {
      const { main } = await import('../setup/main.mjs');
      const flags = Object.entries(options).filter(([, given]) => given);
      process.exitCode = await main(flags.map(([name]) => `--${name}`));
    });
}

const EXAMPLES = `
Examples:
  nudge setup                                  find or fetch libtorch, build the addon
  nudge setup --cuda                           the same with a CUDA build
  NUDGE_TORCH=/opt/libtorch nudge setup        use this libtorch (torch's own folder, with lib/ and include/)

NUDGE_CACHE says where libtorch and the addon are kept (default: ~/.cache/nudge, about 0.6 GB; with CUDA several GB).`;
