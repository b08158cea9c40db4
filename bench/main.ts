/** Runs a benchmark and prints it: what `nudge bench` calls. */

import { readFileSync, writeFileSync } from 'node:fs';
import type { BenchOptions } from '../src/cli/bench.ts';
import { NudgeError } from '../src/errors.ts';
import { torch } from '../src/tensor/index.ts';
import type { Bench, Group, Result } from './case.ts';
import { generate } from './generate/index.ts';
import { measureGroup, type Plan } from './harness.ts';
import { describeRun } from './machine.ts';
import { ops } from './ops/index.ts';
import { PEER_REMEDY, Peer } from './peers/peer.ts';
import { markers, renderMarkdown, replaceBetweenMarkers, Table, toRow } from './report.ts';
import { train } from './train/index.ts';

const BENCHES: readonly Bench[] = [ops, generate, train];

/**
 * Short blocks and many rounds: on a shared machine the speed changes by half for some tenths of a second at a time, and both
 * sides should meet the same changes.
 */
const PLAN: Omit<Plan, 'rounds'> = { blockMs: 40, warmUpMs: 300, pauseMs: 10 };

export async function main(name: string, options: BenchOptions): Promise<void> {
  const bench = chooseCases(findBench(name), options.case);
  if (options.markdown !== undefined) checkDocument(options.markdown, name, options);
  torch.setNumThreads(options.threads);
  const peer = options.peer ? await startPeer(name, options.threads) : null;
  try {
    await run(bench, peer, options);
  } finally {
    await peer?.stop();
  }
}

async function run(bench: Bench, peer: Peer | null, options: BenchOptions): Promise<void> {
  const { rounds, threads, json, markdown } = options;
  const header = describeRun({ bench: bench.name, threads, rounds }, peer?.versions ?? null);
  if (header.machine.load > header.machine.cores / 2) {
    process.stderr.write(`Note: something else runs here (load ${header.machine.load.toFixed(1)}); trust no number.\n`);
  }
  const table = new Table(bench);
  process.stdout.write(json ? `${JSON.stringify(header)}\n` : table.header(header));
  const progress = new Progress(bench);
  const measured: { title: string; results: Result[] }[] = [];
  for (const group of bench.groups) {
    const results = await measureGroup(group, { ...PLAN, rounds }, peer, (name) => progress.begin(name));
    progress.clear();
    measured.push({ title: group.title, results });
    if (json) for (const result of results) process.stdout.write(`${JSON.stringify(toRow(bench.name, result))}\n`);
    else process.stdout.write(table.group(group.title, results));
  }
  if (markdown === undefined) return;
  const document = readFileSync(markdown, 'utf8');
  writeFileSync(markdown, replaceBetweenMarkers(document, bench.name, renderMarkdown(header, measured))!);
}

function findBench(name: string): Bench {
  const bench = BENCHES.find((known) => known.name === name);
  if (bench !== undefined) return bench;
  throw new NudgeError('BAD_ARGUMENT', 'There is no such benchmark.', {
    path: 'nudge bench NAME',
    expected: BENCHES.map((known) => known.name).join(', '),
    received: name,
  });
}

/** The cases whose name, or whose group's, contains the pattern, in any case of letters. */
function chooseCases(bench: Bench, pattern: string | undefined): Bench {
  if (pattern === undefined) return bench;
  const wanted = (text: string): boolean => text.toLowerCase().includes(pattern.toLowerCase());
  const groups = bench.groups
    .map((group): Group => ({ ...group, cases: group.cases.filter(({ name }) => wanted(name) || wanted(group.title)) }))
    .filter((group) => group.cases.length > 0);
  if (groups.length > 0) return { ...bench, groups };
  throw new NudgeError('BAD_ARGUMENT', 'No case and no group has this in its name.', {
    path: '--case',
    expected: `a part of one of: ${bench.groups.flatMap(({ title, cases }) => [title, ...cases.map(({ name }) => name)]).join('; ')}`,
    received: pattern,
  });
}

/** Before minutes are spent: the table will have a place, and all of its lines. */
function checkDocument(path: string, name: string, options: BenchOptions): void {
  if (options.case !== undefined) {
    throw new NudgeError('BAD_ARGUMENT', 'A table of some cases would take the place of that of all.', {
      path: '--markdown, --case',
      remedy: 'Leave one of the two out.',
    });
  }
  let document: string;
  try {
    document = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new NudgeError('BAD_FILE', 'The document cannot be read.', { path, received: String(cause), cause });
  }
  if (replaceBetweenMarkers(document, name, '') !== null) return;
  throw new NudgeError('BAD_ARGUMENT', 'The document has no place for the table.', {
    path,
    expected: markers(name).join(' ... '),
    remedy: 'Add the two lines where the table is to stand.',
  });
}

async function startPeer(name: string, threads: number): Promise<Peer | null> {
  const peer = await Peer.start(name, threads);
  if (peer === null) {
    process.stderr.write(`Note: there is no PyTorch for Python to compare with. ${PEER_REMEDY}\n`);
    return null;
  }
  const [ours, theirs] = [torch.version().torch, peer.versions.torch];
  const release = (version: string): string => version.replace(/\+.*/, '');
  if (release(ours) !== release(theirs)) {
    process.stderr.write(`Note: Nudge runs on libtorch ${ours}, Python on ${theirs}; the kernels may differ.\n`);
  }
  return peer;
}

/** One line on a terminal, drawn before a case and not during it: a timer would work beside what is measured. */
class Progress {
  readonly #total: number;
  readonly #start = performance.now();
  #done = 0;

  constructor(bench: Bench) {
    this.#total = bench.groups.reduce((sum, { cases }) => sum + cases.length, 0);
  }

  begin(name: string): void {
    const elapsed = (performance.now() - this.#start) / 1000;
    const left =
      this.#done === 0 ? '' : `, about ${Math.ceil((elapsed / this.#done) * (this.#total - this.#done))} s left`;
    this.#done++;
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K[${this.#done}/${this.#total}] ${name}${left}`);
  }

  clear(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K');
  }
}
