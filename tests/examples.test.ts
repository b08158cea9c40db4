/** The prompts that come with Nudge: as many as promised, all different, all short. */

import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { deduplicate, loadRecords, type PromptRecord } from '../src/data/index.ts';

const path = fileURLToPath(new URL('../examples/prompts/assistant.jsonl', import.meta.url));

/** Words that say nothing about what a sentence is about. */
const COMMON = new Set(
  'a an and are as at be but by can could do does for from give has have how i if in is it me my not of on one or our please should so tell that the there this to up was we what when which who why with would write you your'.split(
    ' ',
  ),
);

function words(text: string): Set<string> {
  return new Set((text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).filter((word) => !COMMON.has(word)));
}

/** Of the words of two texts together, the share that both have (Jaccard). */
function overlap(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  const shared = [...a].filter((word) => b.has(word)).length;
  return shared / (a.size + b.size - shared);
}

describe('examples/prompts/assistant.jsonl', () => {
  let records: PromptRecord[];
  let prompts: string[];
  beforeAll(async () => {
    ({ records } = await loadRecords(path, { format: 'prompt-only' }));
    prompts = records.map(({ prompt }) => String(prompt));
  });

  test('holds at least 320 prompts, each with an id of its own and a topic', () => {
    expect(prompts.length).toBeGreaterThanOrEqual(320);
    expect(new Set(records.map(({ extra }) => extra?.id)).size).toBe(records.length);
    for (const { prompt, extra } of records) {
      expect(typeof prompt).toBe('string');
      expect(Object.keys(extra ?? {})).toEqual(['id', 'topic']);
      expect(extra?.topic).toMatch(/^[a-z]+$/);
    }
  });

  test('repeats none, nor nearly', () => {
    expect(deduplicate(records).duplicates).toBe(0);
    const bags = prompts.map(words);
    const alike = bags.flatMap((a, i) =>
      bags.slice(0, i).flatMap((b, j) => (overlap(a, b) > 0.4 ? [`${prompts[i]} / ${prompts[j]}`] : [])),
    );
    expect(alike).toEqual([]);
    expect(overlap(words('How do I boil an egg?'), words('How should I boil eggs or an egg?'))).toBeGreaterThan(0.4);
  });

  test('asks in many ways: no three first words begin more than one prompt in thirty', () => {
    const openings = new Map<string, number>();
    for (const prompt of prompts) {
      const opening = prompt.split(/\s+/).slice(0, 3).join(' ').toLowerCase();
      openings.set(opening, (openings.get(opening) ?? 0) + 1);
    }
    const most = [...openings].sort((a, b) => b[1] - a[1])[0]!;
    expect(most[1], most[0]).toBeLessThanOrEqual(prompts.length / 30);
  });

  test('is short, of many lengths, and plain', () => {
    const lengths = prompts.map((prompt) => prompt.length);
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(10);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(240);
    expect(lengths.filter((length) => length < 40).length).toBeGreaterThan(30);
    expect(lengths.filter((length) => length > 80).length).toBeGreaterThan(30);
    for (const prompt of prompts) {
      expect(prompt).toBe(prompt.trim());
      expect(prompt).not.toMatch(/\s{2}|\n|\t/);
    }
  });

  test('has every topic among its first fifty lines', () => {
    const topics = (rows: PromptRecord[]) => new Set(rows.map(({ extra }) => extra?.topic));
    expect(topics(records.slice(0, 50))).toEqual(topics(records));
  });
});
