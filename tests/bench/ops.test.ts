import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { measureGroup } from '../../bench/harness.ts';
import { main } from '../../bench/main.ts';
import { ops } from '../../bench/ops/index.ts';
import { toRow } from '../../bench/report.ts';
import type { BenchOptions } from '../../src/cli/bench.ts';
import { torch } from '../../src/tensor/index.ts';

const BIN = fileURLToPath(new URL('../../bin/nudge.js', import.meta.url));
const KEYS = ['bench', 'case', 'metric', 'unit', 'nudge', 'peer', 'ratio', 'limit', 'shareOfLimit'];

describe('the cases of `nudge bench ops`', () => {
  // The large products take seconds, and prove nothing here that the small ones do not.
  const groups = ops.groups.map((group) => ({
    ...group,
    cases: group.cases.filter(({ name }) => !/2048|1024x1024|49152/.test(name)),
  }));

  it.each(groups)('$title: every one works and frees what it made', async (group) => {
    const before = torch.memory().tensors;
    const plan = { rounds: 1, blockMs: 0.01, warmUpMs: 0.01, pauseMs: 0 };
    const results = await measureGroup(group, plan, null, () => {});
    expect(results).toHaveLength(group.cases.length);
    for (const result of results) {
      const row = toRow('ops', result);
      expect(Object.keys(row)).toEqual(KEYS);
      expect(row).toMatchObject({ bench: 'ops', peer: null, ratio: null });
      expect(row.nudge).toBeGreaterThan(0);
      if (row.shareOfLimit !== null) {
        expect(row.limit).toBeGreaterThan(0);
        expect(row.shareOfLimit).toBeGreaterThan(0);
        expect(row.shareOfLimit).toBeLessThanOrEqual(1);
      }
    }
    expect(torch.memory().tensors).toBe(before);
  });

  it('have names of their own', () => {
    const names = ops.groups.flatMap(({ cases }) => cases.map(({ name }) => name));
    expect(new Set(names).size).toBe(names.length);
  });
});

describe('nudge bench', () => {
  it('--json prints the machine, then one object a case', () => {
    const args = ['bench', 'ops', '--json', '--no-peer', '--rounds', '1', '--case', 'add 4x4'];
    const { status, stdout } = spawnSync(process.execPath, [BIN, ...args], { encoding: 'utf8' });
    expect(status).toBe(0);
    const [header, ...rows] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(header).toMatchObject({
      bench: 'ops',
      machine: { cpu: expect.any(String), cores: expect.any(Number) },
      versions: { node: process.versions.node, torch: expect.any(String), peer: null },
      threads: 2,
      rounds: 1,
    });
    expect(header).toHaveProperty('commit');
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ case: 'add 4x4', peer: null, ratio: null });
  });

  const options: BenchOptions = { json: false, rounds: 1, threads: 1, peer: false };

  it.each([
    ['another benchmark', 'speed', {}, /no such benchmark[\s\S]*expected: ops/],
    ['a pattern that nothing matches', 'ops', { case: 'xyzzy' }, /a part of one of: Small calls; add 4x4/],
    ['a table of some cases', 'ops', { case: 'add', markdown: 'x.md' }, /Leave one of the two out/],
    ['a document that is not there', 'ops', { markdown: '/nonexistent.md' }, /cannot be read/],
    ['a document without a place for the table', 'ops', { markdown: BIN }, /no place for the table/],
  ])('refuses %s', async (_, name, more, message) => {
    await expect(main(name, { ...options, ...more })).rejects.toThrow(message);
  });

  it('says what to do where Python or torch is missing', async () => {
    vi.stubEnv('NUDGE_PEER_PYTHON', '/nonexistent/python3');
    const run = main('ops', { ...options, peer: true, case: 'add 4x4' });
    await expect(run).rejects.toThrow(/ENOENT[\s\S]*node bench\/peers\/setup\.mjs/);
    vi.unstubAllEnvs();
  });
});
