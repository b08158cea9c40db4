import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Facts } from './examine.ts';
import { type Finding, judge } from './judge.ts';
import { availableMemory, instructionSets, readMachine } from './machine.ts';
import { type Probe, type ProbeOutcome, probeEngine } from './probe.ts';
import { renderReport } from './render.ts';

const PROBE: Probe = {
  torch: '2.13.0',
  cpuCapability: 'AVX512',
  parallelInfo: '',
  config: '',
  mkldnn: true,
  openmp: true,
  mkl: true,
  threads: 8,
  devices: [{ name: 'cpu', computes: true, error: null }],
};

/** A machine on which all is well. */
const FACTS: Facts = {
  versions: {
    nudge: '0.1.0',
    node: '24.1.0',
    napi: '10',
    torch: '2.13.0+cpu',
    python: '3.11.7',
    pip: '24.0',
    compiler: 'g++ 12.2.0',
    make: 'GNU Make 4.3',
  },
  engine: {
    addon: '/cache/addon/key/nudge.node',
    torchDir: '/cache/torch',
    libDir: '/cache/torch/lib',
    torchVersion: '2.13.0+cpu',
    variant: 'cpu',
    extraLibraries: [],
    source: 'the cache',
  },
  engineError: null,
  probe: { kind: 'answered', probe: PROBE },
  machine: {
    platform: 'linux',
    arch: 'x64',
    cpu: 'A CPU',
    cores: 8,
    cpuQuota: null,
    instructionSets: ['AVX2', 'AVX512'],
    memory: { total: 32e9, available: 20e9, limit: null },
  },
  cache: { folder: '/cache', freeBytes: 50e9 },
  nvidiaGpu: false,
  commands: { setup: 'npm run setup', fresh: 'npm run setup -- --fresh', cuda: 'npm run setup -- --cuda' },
};

/** The findings that are not ok, when the facts are changed. */
function complaints(changes: Partial<Facts>): Finding[] {
  const found = judge({ ...FACTS, ...changes }).filter(({ status }) => status !== 'ok');
  for (const { remedy } of found) expect(remedy).toMatch(/\w{3,}/);
  return found;
}
const answered = (changes: Partial<Probe>): Partial<Facts> => ({
  probe: { kind: 'answered', probe: { ...PROBE, ...changes } },
});
const machine = (changes: Partial<Facts['machine']>): Partial<Facts> => ({ machine: { ...FACTS.machine, ...changes } });

describe('judge', () => {
  test('has nothing to say where all is well', () => {
    expect(complaints({})).toEqual([]);
  });

  test('no engine is an error with the command that repairs it, and tools are then needed', () => {
    const found = complaints({
      engine: null,
      engineError: { message: 'not set up', remedy: 'run `npm run setup`' },
      probe: null,
      versions: { ...FACTS.versions, pip: null },
    });
    expect(found).toMatchObject([
      { status: 'error', name: 'pip', remedy: expect.stringContaining('python3-pip') },
      { status: 'error', name: 'libtorch', detail: 'not set up', remedy: 'run `npm run setup`' },
    ]);
  });

  test('a missing compiler is only a warning once the engine is there', () => {
    const found = complaints({ versions: { ...FACTS.versions, compiler: null } });
    expect(found).toMatchObject([
      { status: 'warning', name: 'C++ compiler', detail: 'not found; only `npm run setup` needs it' },
    ]);
  });

  test.each<[string, ProbeOutcome, RegExp, RegExp]>([
    [
      'an illegal instruction',
      { kind: 'crashed', signal: 'SIGILL', output: '' },
      /ended by SIGILL$/,
      /lacks an instruction/,
    ],
    ['a kill', { kind: 'crashed', signal: 'SIGKILL', output: '' }, /SIGKILL/, /want of memory/],
    [
      'a crash',
      { kind: 'crashed', signal: 'SIGSEGV', output: 'free(): invalid pointer\n' },
      /SIGSEGV: free\(\): invalid/,
      /--fresh/,
    ],
    [
      'an error',
      {
        kind: 'failed',
        code: 1,
        output: '/x.js:1\n\nError: libfoo.so.1: cannot open\n    at load (x.js:1:1)\n\nNode.js v24\n',
      },
      /exit code 1\): Error: libfoo\.so\.1: cannot open$/,
      /--fresh/,
    ],
    ['silence', { kind: 'silent', seconds: 120 }, /said nothing for 120 s/, /--fresh/],
  ])('%s while loading', (_, probe, detail, remedy) => {
    expect(complaints({ probe })).toMatchObject([
      {
        status: 'error',
        name: 'Computation',
        detail: expect.stringMatching(detail),
        remedy: expect.stringMatching(remedy),
      },
    ]);
  });

  test('wrong numbers are an error', () => {
    const devices = [{ name: 'cpu', computes: false, error: null }];
    expect(complaints(answered({ devices }))).toMatchObject([
      { status: 'error', detail: expect.stringContaining('wrong numbers') },
    ]);
  });

  test('a GPU that a CPU build leaves idle, and a CUDA build without a GPU', () => {
    expect(complaints({ nvidiaGpu: true })).toMatchObject([
      { status: 'warning', remedy: 'run `npm run setup -- --cuda`' },
    ]);
    const engine = FACTS.engine && { ...FACTS.engine, variant: 'cuda' as const };
    expect(complaints({ engine })).toMatchObject([
      { status: 'warning', remedy: expect.stringContaining('nvidia-smi') },
    ]);
  });

  test('more threads than the container may use, and one thread for many cores', () => {
    expect(complaints(machine({ cpuQuota: 2.5 }))).toMatchObject([
      { name: 'Threads', remedy: expect.stringContaining('OMP_NUM_THREADS=2') },
    ]);
    expect(complaints(answered({ threads: 1 }))).toMatchObject([
      { name: 'Threads', remedy: expect.stringContaining('unset OMP_NUM_THREADS') },
    ]);
  });

  test('an old CPU, little memory, little disk', () => {
    expect(complaints(machine({ instructionSets: [] }))).toMatchObject([{ status: 'warning', name: 'CPU' }]);
    expect(complaints(machine({ memory: { total: 32e9, available: 20e9, limit: 1e9 } }))).toMatchObject([
      { status: 'warning', name: 'Memory', detail: "20 GB of 32 GB available, the container's limit is 1 GB" },
    ]);
    expect(complaints({ cache: { folder: '/cache', freeBytes: 1e9 } })).toMatchObject([
      { status: 'warning', name: 'Disk' },
    ]);
  });
});

describe('probeEngine', () => {
  const child = new URL('./testing/child.mjs', import.meta.url);
  afterEach(() => vi.unstubAllEnvs());

  test.each<[string, object]>([
    ['answer', { kind: 'answered', probe: { torch: '2.13.0' } }],
    ['crash', { kind: 'crashed', signal: 'SIGILL' }],
    ['fail', { kind: 'failed', code: 1, output: expect.stringContaining('libfoo.so.1') }],
    ['hang', { kind: 'silent', seconds: 0.5 }],
  ])('a process that does: %s', async (deed, outcome) => {
    vi.stubEnv('CHILD_DEED', deed);
    expect(await probeEngine(child, deed === 'hang' ? 500 : 30_000)).toMatchObject(outcome);
  });
});

describe('the machine', () => {
  test('instruction sets of x86 and ARM', () => {
    expect(instructionSets('flags\t\t: fpu avx2 fma avx512f amx_tile amx_bf16\n', 'x64')).toEqual([
      'AVX2',
      'FMA',
      'AVX512',
      'AMX',
      'AMX_BF16',
    ]);
    expect(instructionSets('Features\t: fp asimd i8mm bf16\n', 'arm64')).toEqual(['NEON', 'BF16', 'I8MM']);
    expect(instructionSets(null, 'arm64')).toEqual(['NEON']);
  });

  test('available memory counts what caches can give back', () => {
    expect(availableMemory('MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable:   50 kB\n')).toBe(50 * 1024);
  });

  test('of this process', () => {
    const { cores, memory } = readMachine();
    expect(cores).toBeGreaterThan(0);
    expect(memory.available).toBeLessThanOrEqual(memory.total);
  });
});

test('the report has a mark, a name and a detail a line, the remedy below, and a verdict', () => {
  const findings: Finding[] = [
    { status: 'ok', name: 'Node', detail: '24.1.0' },
    { status: 'warning', name: 'Memory', detail: '1 GB', remedy: 'buy some' },
    { status: 'error', name: 'make', detail: 'not found', remedy: 'install it' },
  ];
  expect(renderReport({ ...FACTS, ok: false, findings }, false)).toBe(`Nudge 0.1.0 on linux x64

✓ Node    24.1.0
! Memory  1 GB
          -> buy some
✗ make    not found
          -> install it

Nudge cannot run here yet: 1 thing to do. 1 warning.
`);
});
