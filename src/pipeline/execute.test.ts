import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunConfig } from './config.ts';
import { executeRun } from './execute.ts';
import { readManifest, writeManifest } from './manifest.ts';
import { planRun, type Step } from './plan.ts';
import type { Stage, StageContext, StageResult } from './stage.ts';

let directory: string;
let calls: string[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nudge-pipeline-'));
  calls = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A stage that writes what it read: its own setting and the outputs of its inputs. */
function stage(name: Stage['name'], inputs: (round: number) => string[], more: Partial<Stage> = {}): Stage {
  const execute = async ({ directory, input, round, run }: StageContext): Promise<StageResult> => {
    calls.push(round === 1 || name === 'evaluate' ? name : `round${round}/${name}`);
    const read = inputs(round).map((id) => {
      const from = input(id);
      return from === null ? '' : readFileSync(join(from, 'out.txt'), 'utf8');
    });
    const own = (run as unknown as Record<string, unknown>)[name];
    writeFileSync(join(directory, 'out.txt'), `${name}(${JSON.stringify(own)} ${read.join(' ')})`);
    return { metrics: { reads: read.length }, outputs: ['out.txt'] };
  };
  return {
    name,
    title: name,
    version: 1,
    everyRound: name !== 'sft' && name !== 'evaluate' && name !== 'export',
    config: (run) => (run as unknown as Record<string, unknown>)[name],
    files: () => [],
    inputs,
    estimate: () => ({ flops: 1, efficiency: 1, bytes: 0 }),
    summary: () => '',
    execute,
    ...more,
  };
}

const before = (name: string, round: number) => (round === 1 ? name : `round${round}/${name}`);
const STAGES = [
  stage('sample', (round) => (round > 1 ? [before('ppo', round - 1)] : [])),
  stage('reward', (round) => [before('sample', round)]),
  stage('ppo', (round) => [before('reward', round)]),
  stage('evaluate', (round) => [before('ppo', round)]),
];

const config = (changes: Record<string, unknown> = {}): RunConfig =>
  ({
    name: 'test',
    model: { name: 'tiny', dtype: 'auto' },
    seed: 1,
    rounds: 1,
    sample: { n: 4 },
    reward: {},
    ppo: { lr: 1 },
    evaluate: {},
    ...changes,
  }) as unknown as RunConfig;

async function go(own = config(), stages: readonly Stage[] = STAGES, signal?: AbortSignal) {
  const steps = await planRun(own, stages, directory);
  const result = await executeRun(own, steps, { directory, ...(signal === undefined ? {} : { signal }) });
  return { steps, ...result };
}

const output = (steps: readonly Step[], id: string) =>
  readFileSync(join(steps.find((step) => step.id === id)!.directory, 'out.txt'), 'utf8');

describe('a run', () => {
  it('takes its stages in order, each with a manifest that says where it came from', async () => {
    const { steps, manifests } = await go();
    expect(calls).toEqual(['sample', 'reward', 'ppo', 'evaluate']);
    expect(output(steps, 'ppo')).toBe('ppo({"lr":1} reward({} sample({"n":4} )))');
    const [sample, reward] = steps as [Step, Step];
    expect(manifests[1]).toMatchObject({
      status: 'done',
      stage: 'reward',
      attempts: 1,
      inputs: { sample: sample.key },
      metrics: { reads: 1 },
      versions: { node: process.versions.node },
    });
    expect(manifests[1]!.outputs['out.txt']!.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(readManifest(reward.directory)).toEqual(manifests[1]);
  });

  it('does nothing when nothing changed', async () => {
    await go();
    calls = [];
    const { manifests } = await go();
    expect(calls).toEqual([]);
    expect(manifests).toHaveLength(4);
  });

  it('makes anew what a change affects, and nothing above it', async () => {
    await go();
    calls = [];
    const { steps } = await go(config({ ppo: { lr: 2 } }));
    expect(calls).toEqual(['ppo', 'evaluate']);
    expect(output(steps, 'evaluate')).toContain('"lr":2');
  });

  it('keeps what it was before: going back costs nothing', async () => {
    await go();
    await go(config({ ppo: { lr: 2 } }));
    calls = [];
    const { steps } = await go();
    expect(calls).toEqual([]);
    expect(output(steps, 'ppo')).toContain('"lr":1');
  });

  it('does not mind the order of keys', async () => {
    await go(config({ ppo: { a: 1, b: 2 } }));
    calls = [];
    await go(config({ ppo: { b: 2, a: 1 } }));
    expect(calls).toEqual([]);
  });

  it('makes all anew for another seed or model', async () => {
    await go();
    for (const change of [{ seed: 2 }, { model: { name: 'other', dtype: 'auto' } }]) {
      calls = [];
      await go(config(change));
      expect(calls).toHaveLength(4);
    }
  });

  it('makes anew what another version of a stage made, and what follows from it', async () => {
    await go();
    calls = [];
    await go(config(), [STAGES[0]!, { ...STAGES[1]!, version: 2 }, ...STAGES.slice(2)]);
    expect(calls).toEqual(['reward', 'ppo', 'evaluate']);
  });

  it('calls a stage again whose output is gone or cut', async () => {
    const { steps } = await go();
    rmSync(join(steps[2]!.directory, 'out.txt'));
    calls = [];
    await go();
    expect(calls).toEqual(['ppo']);
    writeFileSync(join(steps[2]!.directory, 'out.txt'), 'cut');
    const plan = await planRun(config(), STAGES, directory);
    expect(plan[2]).toMatchObject({ state: 'resume', reason: 'out.txt is gone or cut' });
  });

  it('clears away a directory whose manifest cannot be read', async () => {
    const { steps } = await go();
    writeFileSync(join(steps[1]!.directory, 'manifest.json'), '{"format"');
    writeFileSync(join(steps[1]!.directory, 'left.txt'), '');
    const plan = await planRun(config(), STAGES, directory);
    expect(plan[1]).toMatchObject({ state: 'new', reason: 'its manifest cannot be read' });
    await go();
    expect(existsSync(join(steps[1]!.directory, 'left.txt'))).toBe(false);
  });

  it('goes round: later rounds read from earlier ones, and what comes once comes last', async () => {
    const { steps } = await go(config({ rounds: 2 }));
    expect(calls).toEqual(['sample', 'reward', 'ppo', 'round2/sample', 'round2/reward', 'round2/ppo', 'evaluate']);
    expect(output(steps, 'evaluate')).toBe(
      'evaluate({} ppo({"lr":1} reward({} sample({"n":4} ppo({"lr":1} reward({} sample({"n":4} )))))))',
    );
    calls = [];
    await go(config({ rounds: 3 }));
    expect(calls).toEqual(['round3/sample', 'round3/reward', 'round3/ppo', 'evaluate']);
  });

  it('leaves out the stages that the configuration lacks', async () => {
    await go(config({ ppo: undefined, evaluate: undefined }));
    expect(calls).toEqual(['sample', 'reward']);
  });
});

describe('a run that is interrupted', () => {
  it('stops at the signal and goes on from there, in the same directory', async () => {
    const controller = new AbortController();
    const interrupted = stage('reward', () => [], {
      execute: async ({ directory }) => {
        writeFileSync(join(directory, 'checkpoint'), 'half');
        controller.abort();
        return { metrics: {}, outputs: [], stopped: true };
      },
    });
    const first = await go(config(), [STAGES[0]!, interrupted, ...STAGES.slice(2)], controller.signal);
    expect(first.stopped).toBe(true);
    const going: Stage = {
      ...interrupted,
      execute: async ({ directory }) => {
        expect(readFileSync(join(directory, 'checkpoint'), 'utf8')).toBe('half');
        writeFileSync(join(directory, 'out.txt'), '');
        return { metrics: {}, outputs: ['out.txt'] };
      },
    };
    const second = await go(config(), [STAGES[0]!, going, ...STAGES.slice(2)]);
    expect(second.stopped).toBe(false);
    expect(second.manifests[1]).toMatchObject({ attempts: 2, status: 'done' });
    expect(calls.filter((call) => call === 'sample')).toHaveLength(1);
  });

  it('goes on after a stage that failed, and says so', async () => {
    const failing = stage('reward', () => [], {
      execute: async () => {
        throw new Error('out of memory');
      },
    });
    await expect(go(config(), [STAGES[0]!, failing, ...STAGES.slice(2)])).rejects.toThrow('out of memory');
    const plan = await planRun(config(), STAGES, directory);
    expect(plan.map(({ state }) => state)).toEqual(['done', 'new', 'new', 'new']);
    await go();
    expect(calls).toEqual(['sample', 'reward', 'ppo', 'evaluate']);
  });

  it('remembers the time of earlier attempts', async () => {
    const { steps } = await go();
    const { directory: place } = steps[1]!;
    writeManifest(place, { ...readManifest(place)!, status: 'running', seconds: 100 });
    const { manifests } = await go();
    expect(manifests[1]!.seconds).toBeGreaterThanOrEqual(100);
    expect(manifests[1]!.attempts).toBe(2);
  });

  it('is refused while another process works on it', async () => {
    const release = Promise.withResolvers<void>();
    const slow = stage('sample', () => [], {
      execute: async ({ directory }) => {
        await release.promise;
        writeFileSync(join(directory, 'out.txt'), '');
        return { metrics: {}, outputs: ['out.txt'] };
      },
    });
    const first = go(config(), [slow]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await expect(go(config(), [slow])).rejects.toMatchObject({ code: 'RUN_BUSY' });
    release.resolve();
    await first;
  });

  it('names a file of the configuration that is not there', async () => {
    const reading = stage('sample', () => [], { files: () => [join(directory, 'no.jsonl')] });
    await expect(planRun(config(), [reading], directory)).rejects.toMatchObject({
      code: 'BAD_FILE',
      path: join(directory, 'no.jsonl'),
    });
  });
});
