/** Results as text for people, as JSON lines for programs and as a table for docs/performance.md. */

import type { Bench, Result } from './case.ts';
import type { Header } from './machine.ts';
import { ratio, shareOfLimit, significant } from './statistics.ts';

/** One line of `--json`: these keys are a contract. */
export interface Row {
  bench: string;
  case: string;
  metric: string;
  unit: string;
  nudge: number;
  /** null where PyTorch has nothing to compare with, or was left out. */
  peer: number | null;
  /** Above 1 Nudge is better, whichever way the metric points. */
  ratio: number | null;
  limit: number | null;
  /** 0 to 1. */
  shareOfLimit: number | null;
}

export function toRow(bench: string, result: Result): Row {
  const { name, metric, unit, better } = result.case;
  const { nudge, peer, limit } = result;
  return {
    bench,
    case: name,
    metric,
    unit,
    nudge: significant(nudge),
    peer: peer === null ? null : significant(peer),
    ratio: peer === null ? null : significant(ratio(nudge, peer, better)),
    limit: limit === null ? null : significant(limit),
    shareOfLimit: limit === null ? null : significant(shareOfLimit(nudge, limit, better)),
  };
}

// ---- for people ----

/** Widths of the columns of numbers. */
const NUMBERS = [14, 14, 18, 8, 9] as const;

/** The table on the terminal. It is printed group by group, so that the widths come from the names of the cases. */
export class Table {
  readonly #widths: readonly number[];

  constructor(bench: Bench) {
    const cases = bench.groups.flatMap((group) => group.cases);
    const widest = (texts: string[]): number => Math.max(...texts.map(({ length }) => length));
    this.#widths = [
      widest(cases.map(({ name }) => name)) + 2,
      widest(cases.map(({ metric, unit }) => `${metric}, ${unit}`)),
      ...NUMBERS,
    ];
  }

  header(header: Header): string {
    const titles = ['', '', 'Nudge', 'PyTorch', 'ratio', 'limit', 'of limit'];
    return `${[...describe(header), LEGEND, '', this.#line(titles)].join('\n')}\n`;
  }

  group(title: string, results: readonly Result[]): string {
    return `${[title, ...results.map((result) => this.#result(result))].join('\n')}\n`;
  }

  #result(result: Result): string {
    const row = toRow('', result);
    const { spread, ratios } = result;
    return this.#line([
      `  ${row.case}`,
      `${row.metric}, ${row.unit}`,
      withSpread(row.nudge, spread.nudge),
      row.peer === null ? '-' : withSpread(row.peer, spread.peer!),
      row.ratio === null ? '-' : `${times(row.ratio)} (${times(ratios!.low)}-${times(ratios!.high)})`,
      row.limit === null ? '-' : plain(row.limit),
      row.shareOfLimit === null ? '-' : percent(row.shareOfLimit),
    ]);
  }

  /** The first two columns to the left, the numbers to the right. */
  #line(cells: readonly string[]): string {
    const padded = cells.map((cell, i) => (i < 2 ? cell.padEnd(this.#widths[i]!) : cell.padStart(this.#widths[i]!)));
    return padded.join(' ').trimEnd();
  }
}

const LEGEND =
  'Medians over the rounds, ± half their range. A ratio above 1 means that Nudge is better; in brackets, its range.';

function withSpread(value: number, relative: number): string {
  return `${plain(value)} ±${relative < 20 ? Math.round(relative * 50) : '>999'}%`;
}

/** Three significant digits, without an exponent. */
function plain(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

const times = (value: number): string => value.toFixed(2);
const percent = (share: number): string => `${Math.round(share * 100)}%`;

function describe({ machine, versions, commit, dirty, threads, rounds }: Header): string[] {
  const { peer } = versions;
  const quota = machine.cpuQuota === null ? '' : ` (limited to ${machine.cpuQuota})`;
  const governor = machine.governor === null ? '' : `, clock governor ${machine.governor}`;
  const memory = `${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB`;
  const against =
    peer === null
      ? 'without PyTorch'
      : `PyTorch ${[peer.torch, ...Object.entries(peer.packages ?? {}).map((pair) => pair.join(' '))].join(', ')} on Python ${peer.python}`;
  return [
    `${machine.cpu}, ${machine.cores} cores${quota}, ${memory}, ${machine.instructionSets.join(' ')}${governor}, load ${machine.load.toFixed(1)}`,
    `Nudge ${versions.nudge} on Node ${versions.node} and libtorch ${versions.torch}; ${against}; ${machine.platform} ${machine.arch}`,
    `${threads} threads a side, ${rounds} rounds, commit ${commit?.slice(0, 12) ?? 'unknown'}${dirty ? ' with changes' : ''}`,
  ];
}

// ---- for docs/performance.md ----

export function renderMarkdown(
  header: Header,
  groups: readonly { title: string; results: readonly Result[] }[],
): string {
  const lines = [`Measured on ${header.date.slice(0, 10)}.`, '', ...describe(header).map((line) => `- ${line}`), ''];
  lines.push(
    '| case | metric | Nudge | PyTorch | ratio | limit | of limit |',
    '| --- | --- | --: | --: | --: | --: | --: |',
  );
  for (const { title, results } of groups) {
    lines.push(`| **${title}** | | | | | | |`);
    for (const result of results) {
      const row = toRow(header.bench, result);
      const cells = [
        row.case,
        `${row.metric}, ${row.unit}`,
        plain(row.nudge),
        row.peer === null ? '' : plain(row.peer),
        row.ratio === null ? '' : times(row.ratio),
        row.limit === null ? '' : plain(row.limit),
        row.shareOfLimit === null ? '' : percent(row.shareOfLimit),
      ];
      lines.push(`| ${cells.join(' | ')} |`);
    }
  }
  return lines.join('\n');
}

/** Replaces what stands between a document's two markers; null where it has none. */
export function replaceBetweenMarkers(document: string, bench: string, text: string): string | null {
  const [start, end] = markers(bench);
  const from = document.indexOf(start);
  const to = document.indexOf(end);
  if (from < 0 || to < from) return null;
  return `${document.slice(0, from + start.length)}\n${text}\n${document.slice(to)}`;
}

export function markers(bench: string): [start: string, end: string] {
  return [`<!-- nudge bench ${bench} -->`, `<!-- end of nudge bench ${bench} -->`];
}
