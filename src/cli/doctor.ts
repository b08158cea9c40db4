import type { Command } from 'commander';

/** `nudge doctor`: whether Nudge can run here, and what to do where it cannot. */
export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check that Nudge can run here, and say what to do where it cannot')
    .option('--json', 'print everything as one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(async (options: { json?: boolean }) => {
      const { examine } = await import('./doctor/examine.ts');
      const { renderReport } = await import('./doctor/render.ts');
      const report = await examine();
      process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : renderReport(report, useColour()));
      if (!report.ok) process.exitCode = 1;
    });
}

function useColour(): boolean {
  return process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
}

const EXAMPLES = `
Examples:
  nudge doctor                      what is there, and what is wrong with it
  nudge doctor --json > doctor.json to attach to a bug report

Exit code 0 when Nudge can run (warnings allowed), 1 when something must be done first.`;
