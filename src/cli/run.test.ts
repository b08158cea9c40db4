/** The whole loop over a tiny model, through the command line: in one go, and killed again and again. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BIN, nudge, saveTinyModel } from './testing/tiny.ts';

let folder: string;

const TOPICS = [
  'tea',
  'rain',
  'cats',
  'the moon',
  'music',
  'bread',
  'snow',
  'trains',
  'the sea',
  'sleep',
  'chess',
  'ink',
];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nudge-run-'));
  await saveTinyModel(join(folder, 'model'));
  const prompts = TOPICS.flatMap((topic) => [`Tell me about ${topic}.`, `Why do people like ${topic}?`]);
  writeFileSync(join(folder, 'prompts.jsonl'), prompts.map((prompt) => `${JSON.stringify({ prompt })}\n`).join(''));
  writeFileSync(join(folder, 'nudge.yaml'), yaml());
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const yaml = (more = '') => `
name: loop
model: ${join(folder, 'model')}
prompts: { file: prompts.jsonl, training: 12, evaluation: 8 }
sample: { numGenerations: 3, maxCompletionLength: 8 }
label: { pool: { labellers: 3 } }
reward: { maxSteps: 6, batchSize: 4, saveSteps: 1, lora: { rank: 2 } }
ppo: { totalEpisodes: 40, batchSize: 8, maxCompletionLength: 8, ppoEpochs: 2, saveSteps: 1, learningRate: 0.01, lora: { rank: 2 } }
evaluate: {}
${more}`;

/** Starts the command in a process of its own; SIGKILL ends it after so many milliseconds. */
function start(runs: string, killAfter: number | null): Promise<{ code: number | null; stderr: string }> {
  const args = [BIN, 'run', join(folder, 'nudge.yaml'), '--runs', runs];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, OMP_NUM_THREADS: '1' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const timer = killAfter === null ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfter);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stderr });
    });
  });
}

/** What a run came to: everything that later stages, people or other programs read, by file. */
function results(runs: string): Record<string, string> {
  const stages = join(runs, 'loop', 'stages');
  const files = [
    'answers.jsonl',
    'rankings.jsonl',
    'adapter/adapter_model.safetensors',
    'policy/adapter_model.safetensors',
    'comparison.json',
    'completions.jsonl',
  ];
  const found = readdirSync(stages).flatMap((stage) =>
    files.flatMap((file) => {
      const path = join(stages, stage, file);
      return existsSync(path) ? [[`${stage}/${file}`, digest(path)] as const] : [];
    }),
  );
  return Object.fromEntries(found);
}

/** Answers come in the order in which they were finished, and a judgement's id holds its time: no crash changes the rest. */
function digest(path: string): string {
  let contents: string | Buffer = readFileSync(path);
  if (path.endsWith('answers.jsonl')) contents = contents.toString().trim().split('\n').sort().join('\n');
  if (path.endsWith('rankings.jsonl')) contents = contents.toString().replaceAll(/"judgement":"[0-9a-f]+"/g, '');
  return createHash('sha256').update(contents).digest('hex');
}

describe('nudge run', () => {
  it('takes a model through the loop and writes a report', { timeout: 120_000 }, async () => {
    const runs = join(folder, 'runs');
    const { code, stdout, stderr } = await nudge(['run', join(folder, 'nudge.yaml'), '--runs', runs, '--json']);
    expect(stderr).not.toContain('Error');
    expect(code).toBe(0);
    const summary = JSON.parse(stdout) as Record<string, never>;
    expect(summary).toMatchObject({ run: 'loop', goldWinRate: { n: 8 }, report: join(runs, 'loop', 'report.html') });
    for (const figure of ['seconds', 'peakRssBytes', 'klPerSequence'])
      expect(summary[figure]).toEqual(expect.any(Number));
    for (const name of ['proxyReward', 'goldReward']) {
      expect(summary[name]).toEqual({ before: expect.any(Number), after: expect.any(Number) });
    }
    const report = readFileSync(join(runs, 'loop', 'report.html'), 'utf8');
    expect(report).toContain('held-out prompts');
    expect(report).toContain('How it learned');
    expect((report.match(/<svg /g) ?? []).length).toBeGreaterThan(6);
    const list = await nudge(['runs', 'list', '--runs', runs]);
    expect(list.stdout).toMatch(/loop +\S+model +1 +done/);
    const shown = await nudge(['runs', 'show', 'loop', '--runs', runs]);
    expect(shown.stdout).toMatch(/evaluate {2}done/);
  });

  it('says what it would do, and does nothing', async () => {
    const runs = join(folder, 'planned');
    const { stdout } = await nudge(['run', join(folder, 'nudge.yaml'), '--runs', runs, '--dry-run']);
    expect(stdout).toMatch(/sample +to do[\s\S]*label +to do[\s\S]*ppo +to do/);
    expect(existsSync(runs)).toBe(false);
  });

  it('refuses a wrong key with its line', async () => {
    writeFileSync(join(folder, 'wrong.yaml'), yaml('seeed: 3'));
    const { code, stderr } = await nudge(['run', join(folder, 'wrong.yaml')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/wrong\.yaml:10:1 {2}seeed: there is no such key; did you mean seed\?/);
  });

  it('ends with the same bits however often it is killed', { timeout: 400_000 }, async () => {
    const [whole, killed] = [join(folder, 'whole'), join(folder, 'killed')];
    const begin = performance.now();
    const reference = await start(whole, null);
    expect(reference.code, reference.stderr).toBe(0);
    const time = performance.now() - begin;
    // At moments spread over the run; each attempt goes on where the one before was.
    let kills = 0;
    for (const share of [0.25, 0.4, 0.3, 0.5, 0.35, 0.45]) {
      const { code } = await start(killed, share * time);
      if (code === null) kills++;
    }
    const last = await start(killed, null);
    expect(last.code, last.stderr).toBe(0);
    expect(kills).toBeGreaterThan(1);
    expect(results(killed)).toEqual(results(whole));
    expect(Object.keys(results(whole))).toHaveLength(6);
  });
});
