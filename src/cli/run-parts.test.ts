/** What a configuration can have besides the plain loop, over a tiny model and through the command line. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nudge, saveTinyModel } from './testing/tiny.ts';

let folder: string;

const TOPICS = ['tea', 'rain', 'cats', 'music', 'bread', 'snow', 'chess', 'ink'];
const QUESTIONS = TOPICS.flatMap((topic) => [`Tell me about ${topic}.`, `Why do people like ${topic}?`]);

const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nudge-parts-'));
  await saveTinyModel(join(folder, 'model'));
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  write('questions.jsonl', lines([...QUESTIONS.map((question) => ({ question })), { question: '' }]));
  write(
    'pairs.jsonl',
    lines(
      QUESTIONS.flatMap((prompt, i) => [
        { prompt, chosen: `Gladly, ${i}.`, rejected: 'No.' },
        // Every fourth is seen otherwise by somebody else.
        ...(i % 4 === 0 ? [{ prompt, chosen: 'No.', rejected: `Gladly, ${i}.` }] : []),
        { prompt, chosen: `Gladly, ${i}.`, rejected: 'No.' },
      ]),
    ),
  );
  write('texts.jsonl', lines(TOPICS.map((topic) => ({ text: `Once there was ${topic}, and it was good.` }))));
  write(
    'brief.ts',
    'export default ({ completions }: { completions: string[] }) => completions.map((text) => -text.length);',
  );
  write('broken.ts', 'export const score = 1;');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const head = () => `
model: ${join(folder, 'model')}
prompts: { file: questions.jsonl, map: { prompt: question }, skipBadRows: true, training: 6, evaluation: 8 }`;

const labelled = `
label: { by: file, data: pairs.jsonl }
reward: { members: 2, rule: min, maxSteps: 2, batchSize: 4, lora: { rank: 2 } }
ppo:
  totalEpisodes: 8
  batchSize: 8
  maxCompletionLength: 6
  lora: { rank: 2 }
  rewardWeight: 0.5
  rewards: [{ name: brief, module: brief.ts, weight: 0.1 }]
  ptxCoef: 0.5
  ptxBatchSize: 2
  ptxData: texts.jsonl`;

async function run(name: string, text: string, ...args: string[]) {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, `name: ${name}${text}`);
  const [command = 'run', ...rest] = args;
  return await nudge([command, file, '--runs', join(folder, 'runs'), ...rest]);
}

const stagesOf = (name: string) =>
  readdirSync(join(folder, 'runs', name, 'stages')).map((stage) => stage.split('-')[0]);

function stageFile(name: string, stage: string, file: string): string {
  const stages = join(folder, 'runs', name, 'stages');
  const found = readdirSync(stages).find((entry) => entry.startsWith(`${stage}-`))!;
  return readFileSync(join(stages, found, file), 'utf8');
}

describe('a run', { timeout: 120_000 }, () => {
  it('learns from pairs of a file, with an ensemble, a reward of its own and text that is not to be forgotten', async () => {
    const { code, stdout, stderr } = await run('pairs', `${head()}${labelled}\nevaluate: {}`, 'run', '--json');
    expect(stderr).not.toContain('Error');
    expect(code, stdout + stderr).toBe(0);
    expect(stderr).toMatch(/1 rows of \S+questions\.jsonl were left out: \S+bad-rows\.jsonl says why/);
    // Of the four questions that three judgements are about, two pairs of judgements disagree and one agrees.
    expect(JSON.parse(stageFile('pairs', 'label', 'pool.json'))).toMatchObject({
      judgements: 36,
      agreement: (12 + 4) / 24,
    });
    const reward = join(folder, 'runs', 'pairs', 'stages');
    const place = join(reward, readdirSync(reward).find((entry) => entry.startsWith('reward-'))!);
    for (const member of ['member-1', 'member-2'])
      expect(existsSync(join(place, member, 'adapter', 'reward.json'))).toBe(true);
    const [step] = stageFile('pairs', 'ppo', 'metrics.jsonl')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(step['scores/brief']).toBeLessThanOrEqual(0);
    expect(step['ptx/loss']).toBeGreaterThan(0);
    expect(step['reward/score']).toBeCloseTo(0.5 * step['scores/model'] + 0.1 * step['scores/brief'], 5);
    // Nobody's rubric is known: the reward model alone compares.
    expect(JSON.parse(stdout)).toMatchObject({ goldWinRate: null, proxyReward: { before: expect.any(Number) } });
  });

  it('goes as far as a stage that has a command, and on from there', async () => {
    const simulated = `${head()}\nsample: { numGenerations: 2, maxCompletionLength: 4 }\nlabel: {}\nreward: { maxSteps: 1, batchSize: 4 }`;
    expect((await run('parts', simulated, 'sample')).code).toBe(0);
    expect(stagesOf('parts')).toEqual(['sample']);
    expect((await run('parts', simulated, 'label')).stderr).toMatch(/sample: .* as before/);
    expect(stagesOf('parts').sort()).toEqual(['label', 'sample']);
    const plan = await run('parts', simulated, 'reward', '--dry-run');
    expect(plan.stdout).toMatch(/sample +done[\s\S]*label +done[\s\S]*reward +to do/);
    const { code, stderr } = await run('parts', simulated, 'ppo');
    expect(code).toBe(2);
    expect(stderr).toMatch(/no stage ppo[\s\S]*sample, label, reward/);
  });

  it('says what is wrong with its files', async () => {
    const broken = await run('broken', `${head()}${labelled.replace('brief.ts', 'broken.ts')}`);
    expect(broken.code).toBe(2);
    expect(broken.stderr).toMatch(/gives no reward[\s\S]*broken\.ts[\s\S]*exports score/);
    const missing = await run('missing', `${head()}${labelled.replace('brief.ts', 'nowhere.ts')}`);
    expect(missing.stderr).toMatch(/nowhere\.ts/);
    const strict = await run('strict', `${head().replace('skipBadRows: true, ', '')}${labelled}`);
    expect(strict.stderr).toMatch(/questions\.jsonl:17[\s\S]*is empty/);
    const both = await run('both', `${head()}${labelled}\nsample: {}`);
    expect(both.stderr).toMatch(/both\.yaml:\d+:1 {2}sample: nobody would rank these answers/);
    const none = await run('none', `${head()}${labelled.replace(', data: pairs.jsonl', '')}`);
    expect(none.stderr).toMatch(/by: file needs `data`/);
  });
});
