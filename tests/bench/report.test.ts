import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Case, Result } from '../../bench/case.ts';
import type { Header } from '../../bench/machine.ts';
import { renderMarkdown, replaceBetweenMarkers, Table, toRow } from '../../bench/report.ts';

const header: Header = {
  bench: 'ops',
  date: '2026-01-02T03:04:05.678Z',
  machine: {
    platform: 'linux',
    arch: 'x64',
    cpu: 'Some CPU',
    cores: 2,
    cpuQuota: null,
    instructionSets: ['AVX2', 'FMA'],
    memoryBytes: 8 * 2 ** 30,
    governor: null,
    load: 0.04,
  },
  versions: {
    nudge: '0.1.0',
    node: '24.0.0',
    torch: '2.13.0',
    peer: { python: '3.11.7', torch: '2.13.0+cpu', threads: 2, cpuCapability: 'AVX512' },
  },
  commit: '0123456789abcdef',
  dirty: true,
  threads: 2,
  rounds: 7,
};

const benchCase = (more: Partial<Case>): Case => ({
  name: 'add 4x4',
  metric: 'time a call',
  unit: 'us',
  better: 'lower',
  value: (seconds) => seconds,
  nudge: () => ({ time: () => 1 }),
  ...more,
});

const timing: Result = {
  case: benchCase({}),
  nudge: 0.80004,
  peer: 1.2,
  limit: 0.6,
  spread: { nudge: 0.04, peer: 0.1 },
  ratios: { low: 1.4, high: 1.625 },
};
const rate: Result = {
  case: benchCase({ name: 'matmul', metric: 'rate', unit: 'GFLOP/s', better: 'higher' }),
  nudge: 180,
  peer: null,
  limit: 200,
  spread: { nudge: 0.01, peer: null },
  ratios: null,
};

describe('toRow', () => {
  it('has exactly the keys of the contract, in their order', () => {
    expect(JSON.stringify(toRow('ops', timing))).toBe(
      '{"bench":"ops","case":"add 4x4","metric":"time a call","unit":"us","nudge":0.8,"peer":1.2,"ratio":1.5,"limit":0.6,"shareOfLimit":0.75}',
    );
  });

  it('is null where there is no peer', () => {
    expect(toRow('ops', rate)).toMatchObject({ nudge: 180, peer: null, ratio: null, limit: 200, shareOfLimit: 0.9 });
  });
});

describe('the tables', () => {
  const table = new Table({ name: 'ops', groups: [{ title: 'Small calls', cases: [timing.case, rate.case] }] });

  it('for people', () => {
    expect(`${table.header(header)}${table.group('Small calls', [timing, rate])}`).toMatchInlineSnapshot(`
      "Some CPU, 2 cores, 8 GiB, AVX2 FMA, load 0.0
      Nudge 0.1.0 on Node 24.0.0 and libtorch 2.13.0; PyTorch 2.13.0+cpu on Python 3.11.7; linux x64
      2 threads a side, 7 rounds, commit 0123456789ab with changes
      Medians over the rounds, ± half their range. A ratio above 1 means that Nudge is better; in brackets, its range.

                                         Nudge        PyTorch              ratio    limit  of limit
      Small calls
        add 4x4 time a call, us        0.8 ±2%        1.2 ±5%   1.50 (1.40-1.63)      0.6       75%
        matmul  rate, GFLOP/s          180 ±1%              -                  -      200       90%
      "
    `);
  });

  it('for the documentation', () => {
    expect(renderMarkdown(header, [{ title: 'Small calls', results: [timing, rate] }])).toMatchInlineSnapshot(`
      "Measured on 2026-01-02.

      - Some CPU, 2 cores, 8 GiB, AVX2 FMA, load 0.0
      - Nudge 0.1.0 on Node 24.0.0 and libtorch 2.13.0; PyTorch 2.13.0+cpu on Python 3.11.7; linux x64
      - 2 threads a side, 7 rounds, commit 0123456789ab with changes

      | case | metric | Nudge | PyTorch | ratio | limit | of limit |
      | --- | --- | --: | --: | --: | --: | --: |
      | **Small calls** | | | | | | |
      | add 4x4 | time a call, us | 0.8 | 1.2 | 1.50 | 0.6 | 75% |
      | matmul | rate, GFLOP/s | 180 |  |  | 200 | 90% |"
    `);
  });
});

describe('replaceBetweenMarkers', () => {
  it('touches nothing else, and can be done again', () => {
    const before = 'text\n<!-- nudge bench ops -->\nold\n<!-- end of nudge bench ops -->\nmore\n';
    const after = replaceBetweenMarkers(before, 'ops', 'new');
    expect(after).toBe('text\n<!-- nudge bench ops -->\nnew\n<!-- end of nudge bench ops -->\nmore\n');
    expect(replaceBetweenMarkers(after!, 'ops', 'new')).toBe(after);
  });

  it('is null where the markers are missing', () => {
    expect(replaceBetweenMarkers('text', 'ops', 'new')).toBeNull();
  });

  it('finds its place in docs/performance.md', () => {
    const document = readFileSync(new URL('../../docs/performance.md', import.meta.url), 'utf8');
    expect(replaceBetweenMarkers(document, 'ops', 'new')).toContain('\nnew\n');
  });
});
