/** The doctor's report as text. */

import type { DoctorReport } from './examine.ts';
import type { Finding } from './judge.ts';

const MARKS: Record<Finding['status'], { mark: string; colour: number }> = {
  ok: { mark: '✓', colour: 32 },
  warning: { mark: '!', colour: 33 },
  error: { mark: '✗', colour: 31 },
};

/** One line a finding, its remedy below it, and what it all comes to. */
export function renderReport(report: DoctorReport, colour: boolean): string {
  const width = Math.max(...report.findings.map(({ name }) => name.length));
  const lines = [`Nudge ${report.versions.nudge} on ${report.machine.platform} ${report.machine.arch}`, ''];
  for (const { status, name, detail, remedy } of report.findings) {
    const { mark, colour: code } = MARKS[status];
    const shown = colour ? `\x1b[${code}m${mark}\x1b[0m` : mark;
    lines.push(`${shown} ${name.padEnd(width)}  ${detail}`);
    if (remedy !== undefined) lines.push(`${' '.repeat(width + 4)}-> ${remedy}`);
  }
  return `${[...lines, '', verdict(report)].join('\n')}\n`;
}

function verdict({ findings }: DoctorReport): string {
  const errors = findings.filter(({ status }) => status === 'error').length;
  const warnings = findings.filter(({ status }) => status === 'warning').length;
  const doubts = warnings === 0 ? '' : ` ${count(warnings, 'warning')}.`;
  if (errors === 0) return `Nudge can run here.${doubts}`;
  return `Nudge cannot run here yet: ${count(errors, 'thing')} to do.${doubts}`;
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
