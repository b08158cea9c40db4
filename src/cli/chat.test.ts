/** `nudge chat` as a program: one question, lines, JSON, and what it refuses. The terminal is in chat/terminal.test.ts. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LoraAdapters, loadModel, resolveModel, saveAdapter } from '../models/index.ts';
import { torch } from '../tensor/index.ts';
import { nudge, program, saveTinyModel, temporaryFolder } from './testing/tiny.ts';

const folder = temporaryFolder();
const tiny = join(folder.path, 'tiny');
const base = join(folder.path, 'base');
beforeAll(async () => {
  await saveTinyModel(tiny);
  await saveTinyModel(base, { template: false });
});
afterAll(() => folder[Symbol.dispose]());

const FIXED = ['--temperature', '0', '--max-tokens', '6'];

describe('nudge chat', () => {
  test('--help has examples and the defaults', async () => {
    const { code, stdout } = await nudge(['chat', '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('Examples:\n  nudge chat');
    expect(stdout).toMatch(/--temperature <number> [^-]*\(default: 0\.3\)/);
  });

  test('--message is answered alone: the answer on stdout, all else on stderr', async () => {
    const { code, stdout, stderr } = await nudge(['chat', tiny, '--message', '/help', ...FIXED]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\S/);
    expect(stdout.endsWith('\n')).toBe(true);
    // A message on the command line is no command.
    expect(stdout).not.toContain('/params');
    expect(stderr).toMatch(
      /^- opening .*\n- .*\/tiny, 108 k parameters in float32 \(.*\)\n\(Cut at 6 tokens; --max-tokens/,
    );
  });

  test('a line is a message of one conversation, or a command; --json gives an object an answer', async () => {
    const lines = 'Hello\n\n/params max-tokens 3\nAnd then?\n/reset\nHello\n';
    const { code, stdout, stderr } = await program(['chat', tiny, '--json', ...FIXED], lines);
    expect(code).toBe(0);
    const [first, second, third, ...more] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(more).toEqual([]);
    expect(first).toMatchObject({ ok: true, message: 'Hello', finishReason: 'length', tokens: 6, dropped: 0 });
    expect(second).toMatchObject({ message: 'And then?', tokens: 3, parameters: { maxTokens: 3, temperature: 0 } });
    // The first question and its answer were before it; after /reset nothing is.
    expect(second.promptTokens).toBeGreaterThan(first.promptTokens);
    expect(third).toMatchObject({ message: 'Hello', promptTokens: first.promptTokens });
    expect(first.text.startsWith(third.text)).toBe(true);
    expect(stderr).toContain('max-tokens 3 (yours)\nForgotten.');
  });

  test('a base model goes on with the text, and says so', async () => {
    const { code, stdout, stderr } = await nudge(['chat', base, '--message', 'Once upon', ...FIXED]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\S/);
    expect(stderr).toContain('no chat template: it was not taught to answer, and goes on with your text instead.');
    const system = await nudge(['chat', base, '--message', 'Once upon', '--system', 'Be brief.']);
    expect(system).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('--template chatml') });
    expect(await nudge(['chat', base, '--message', 'Hi', '--template', 'chatml', ...FIXED])).toMatchObject({ code: 0 });
  });

  test('an adapter changes the answers; one of a reward model is refused', async () => {
    using model = await loadModel(tiny);
    using lora = new LoraAdapters(model);
    const { pairs } = lora.add('policy', { rank: 4 });
    torch.noGrad(() => {
      for (const { lora_B } of Object.values(pairs)) lora_B.normal_(0, 1);
    });
    lora.add('reward', { rank: 4, head: true });
    await saveAdapter(join(folder.path, 'policy'), lora, 'policy');
    await saveAdapter(join(folder.path, 'reward'), lora, 'reward');
    const ask = ['chat', tiny, '--message', 'Hello', ...FIXED];
    const [plain, adapted] = [await nudge(ask), await nudge([...ask, '--adapter', join(folder.path, 'policy')])];
    expect({ ...adapted, stderr: '' }).toMatchObject({ code: 0 });
    expect(adapted.stdout).not.toBe(plain.stdout);
    const reward = await nudge([...ask, '--adapter', join(folder.path, 'reward')]);
    expect(reward).toMatchObject({ code: 2, stderr: expect.stringContaining('belongs to a reward model') });
  });

  test.each([
    [['--temperature', 'hot'], /It is not a number/],
    [['--temperature', '-1'], /where: {4}temperature\n {2}expected: a number from 0 to 100/],
    [['--context', '5000'], /expected: a whole number of tokens from 16 to 256/],
    [['--message', ' '], /The message is empty/],
    [['--dtype', 'int4'], /Allowed choices are auto, float32/],
    [['--template', 'alpaca'], /Allowed choices are chatml/],
  ])('%s is bad input', async (args, message) => {
    const { code, stderr, stdout } = await nudge(['chat', tiny, '--message', 'Hello', ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  test('an unknown command in a pipe ends it, as a script should notice', async () => {
    const { code, stderr } = await program(['chat', tiny], '/rest\nHello\n');
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('There is no command /rest') });
  });
});

test('SmolLM2 knows the capital of France', async ({ skip }) => {
  const here = await resolveModel('smollm2-135m-instruct', { offline: true }).catch(() => null);
  if (here === null) return skip('SmolLM2 is not in the cache; `nudge models pull smollm2-135m-instruct` fetches it');
  const ask = ['chat', '--offline', '--message', 'What is the capital of France?', '--temperature', '0'];
  expect(await nudge(ask)).toMatchObject({ code: 0, stdout: 'The capital of France is Paris.\n' });
});
