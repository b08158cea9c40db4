/** What the store's tests share. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { Content } from '../../../data/index.ts';
import { NudgeError } from '../../../errors.ts';
import type { NewJudgement, NewTask } from '../records.ts';

/** A folder for this test file, removed at its end. */
export function testFolder(): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'nudge-store-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return (name) => join(folder, name);
}

/** The NudgeError that the promise is rejected with. */
export async function refusalOf(promise: Promise<unknown>): Promise<NudgeError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof NudgeError) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

/** Uniform draws in [0, 1) from a seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const TEXTS = [
  'plain',
  'two\nlines\r\nand\ttabs',
  '  spaces around  ',
  "Robert'); DROP TABLE judgements;--",
  '<script>alert(1)</script>',
  '"quoted" \\ backslash \\u0000',
  '🙂 é 中文 \u202e right to left',
  'null',
  '[1, 2]',
  '{"role": "user"}',
  'e\u0301 is not é',
  'x'.repeat(3000),
];

/** A random text, often a nasty one; never empty. */
export function anyText(draw: () => number): string {
  const text = TEXTS[Math.floor(draw() * TEXTS.length)] as string;
  return draw() < 0.5 ? `${text} ${Math.floor(draw() * 1000)}` : text;
}

export function anyContent(draw: () => number, role: 'user' | 'assistant', asMessages: boolean): Content {
  return asMessages ? [{ role, content: anyText(draw) }] : anyText(draw);
}

/** A random task with K from `fewest` to 6. */
export function anyTask(draw: () => number, i: number, fewest = 2, asMessages = draw() < 0.5): NewTask {
  const count = fewest + Math.floor(draw() * (7 - fewest));
  return {
    prompt: anyContent(draw, 'user', asMessages),
    key: `case ${i}`,
    extra: draw() < 0.5 ? {} : { id: i, 'a column': anyText(draw), score: draw(), nested: { list: [1, null, 'x'] } },
    completions: Array.from({ length: count }, () => {
      const content = anyContent(draw, 'assistant', asMessages);
      if (draw() < 0.3) return content;
      const tokenIds = Array.from({ length: Math.floor(draw() * 5) }, () => Math.floor(draw() * 50_000));
      return {
        content,
        origin: 'model' as const,
        tokenIds,
        logprobs: tokenIds.map(() => -draw() * 5),
        model: 'sha256:abc',
        sampling: { temperature: draw(), topK: 0 },
        seed: Math.floor(draw() * 2 ** 53),
      };
    }),
  };
}

/** A random ranking of K: ties, gaps, and completions left out. */
export function anyRanking(draw: () => number, count: number): Omit<NewJudgement, 'task' | 'labeller'> {
  const ranks = Array.from({ length: count }, (): number | null =>
    draw() < 0.2 ? null : 1 + Math.floor(draw() * count),
  );
  if (!ranks.some((rank) => rank !== null)) ranks[0] = 1;
  return {
    ranks,
    noneGood: draw() < 0.1,
    strength: draw() < 0.5 ? null : 1 + Math.floor(draw() * 4),
    margin: draw() < 0.7 ? null : draw(),
    flags:
      draw() < 0.7
        ? []
        : [
            { position: 0, flag: 'rude' },
            { position: null, flag: anyText(draw).slice(0, 100) },
          ],
    reason: draw() < 0.5 ? null : anyText(draw),
    latencyMs: draw() < 0.5 ? null : Math.floor(draw() * 60_000),
  };
}
