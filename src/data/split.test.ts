import { describe, expect, test } from 'vitest';
import { preferenceToRanking, preferenceToUnpaired, rankingToPreferences } from './convert.ts';
import { deduplicate } from './duplicates.ts';
import type { CompletionRecord, PreferenceRecord } from './records.ts';
import { recordKey, splitByPrompt } from './split.ts';

/** A small generator of its own, so that a failure can be repeated. */
function randomIntegers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Prompts come several times, as strings and as messages, with space around them; groups overlap in prompts. */
function randomRecords(seed: number, count: number): PreferenceRecord[] {
  const random = randomIntegers(seed);
  return Array.from({ length: count }, () => {
    const asked = `What is ${random(count / 3)}?`;
    const prompt = [asked, ` ${asked}\n`, asked.replace(' ', '  '), [{ role: 'user', content: asked }]][random(4)]!;
    return {
      prompt,
      chosen: `yes ${random(9)}`,
      rejected: `no ${random(9)}`,
      extra: { debate: `d${random(count / 4)}` },
    };
  });
}

describe('a split', () => {
  const parts = { train: 0.7, validation: 0.2, test: 0.1 };

  test('keeps every record once, and every prompt in one part', () => {
    for (let seed = 0; seed < 20; seed++) {
      const records = randomRecords(seed, 300);
      const split = splitByPrompt(records, { parts, seed });
      expect(Object.values(split).flat()).toHaveLength(records.length);
      expect(new Set(Object.values(split).flat())).toEqual(new Set(records));
      const partsOf = new Map<string, Set<string>>();
      for (const [part, inside] of Object.entries(split)) {
        for (const record of inside) {
          const key = recordKey(record);
          partsOf.set(key, (partsOf.get(key) ?? new Set()).add(part));
        }
      }
      expect([...partsOf.values()].every((found) => found.size === 1)).toBe(true);
    }
  });

  test('by groups tears neither groups nor prompts apart', () => {
    for (let seed = 0; seed < 20; seed++) {
      // Few rows a group, or sharing prompts joins all groups into one.
      const records = randomRecords(seed, 400).filter((_, i) => i % 4 === 0);
      const split = splitByPrompt(records, { parts: { train: 0.5, test: 0.5 }, seed, group: 'debate' });
      const [train, test] = [split.train!, split.test!];
      for (const key of [recordKey, (record: PreferenceRecord) => String(record.extra?.debate)]) {
        const trained = new Set(train.map(key));
        expect(test.filter((record) => trained.has(key(record)))).toEqual([]);
      }
      expect(train.length + test.length).toBe(records.length);
    }
  });

  test('is the same in any order, and stays as it is when rows are added', () => {
    const records = randomRecords(1, 300);
    const before = splitByPrompt(records.slice(0, 200), { parts });
    const after = splitByPrompt(records.toReversed(), { parts });
    for (const part of Object.keys(parts)) {
      expect(before[part]!.every((record) => after[part]!.includes(record))).toBe(true);
    }
    const grouped = (rows: PreferenceRecord[]) =>
      splitByPrompt(rows, { parts, group: ({ extra }) => String(extra?.debate) });
    const few = records.slice(0, 80);
    expect(new Set(grouped(few.toReversed()).test)).toEqual(new Set(grouped(few).test));
  });

  test('is another with another seed, and has about the shares asked for', () => {
    const records = Array.from({ length: 2000 }, (_, i) => ({ prompt: `Question ${i}` }));
    const [a, b] = [splitByPrompt(records, { parts, seed: 1 }), splitByPrompt(records, { parts, seed: 2 })];
    expect(a.test).not.toEqual(b.test);
    // Four standard deviations of a binomial: sqrt(2000 * 0.1 * 0.9) is 13.4.
    expect(Math.abs(a.test!.length - 200)).toBeLessThan(54);
    expect(Math.abs(a.validation!.length - 400)).toBeLessThan(72);
  });

  test('is this one: changing how prompts are split would move what was held out', () => {
    const records = Array.from({ length: 12 }, (_, i) => ({ prompt: `Question ${i}` }));
    const { test: held } = splitByPrompt(records, { parts: { train: 0.7, test: 0.3 }, seed: 7 });
    expect(held!.map(({ prompt }) => prompt)).toMatchInlineSnapshot(`
      [
        "Question 1",
        "Question 2",
        "Question 3",
        "Question 5",
        "Question 8",
        "Question 9",
        "Question 10",
        "Question 11",
      ]
    `);
  });

  test('refuses shares that do not add up, parts without rows, rows without a group', () => {
    const records = [{ prompt: 'a' }];
    expect(() => splitByPrompt(records, { parts: { train: 0.9, test: 0.2 } })).toThrow(/add up to 1/);
    expect(() => splitByPrompt(records)).toThrow(/has no rows[\s\S]*10.0% of 1 prompts/);
    expect(() => splitByPrompt(records, { group: 'debate' })).toThrow(/records\[0\]\.extra\.debate/);
    expect(splitByPrompt(records, { parts: { train: 1, test: 0 } })).toEqual({ train: records, test: [] });
    expect(splitByPrompt([])).toEqual({ train: [], test: [] });
  });
});

describe('duplicates', () => {
  test('are left out and counted, whatever their extra columns and the order of fields', () => {
    const a = { prompt: 'a', completion: 'b' };
    const { records, duplicates, sources } = deduplicate<CompletionRecord>([
      { ...a, extra: { id: 1 } },
      { prompt: 'c', completion: 'b' },
      { completion: 'b', prompt: 'a', extra: { id: 2 } },
      { prompt: [{ role: 'user', content: 'a' }], completion: 'b' },
      { prompt: [{ content: 'a', role: 'user' }], completion: 'b' },
      { prompt: 'a', completion: 'b ' },
    ]);
    expect(duplicates).toBe(2);
    expect(sources).toEqual([0, 1, 3, 5]);
    expect(records[0]?.extra).toEqual({ id: 1 });
  });
});

describe('formats as others', () => {
  test('a ranking gives every pair in which one is better', () => {
    const ranking = { prompt: 'p', completions: ['a', 'b', 'c', 'd', 'e'], ranks: [2, 1, 2, null, 5] };
    const pairs = rankingToPreferences(ranking).map(({ chosen, rejected }) => `${chosen}>${rejected}`);
    expect(pairs).toEqual(['b>a', 'b>c', 'b>e', 'a>e', 'c>e']);
  });

  test('a pair is a ranking of two, and two answers that were judged alone', () => {
    const pair = { prompt: 'p', chosen: 'a', rejected: 'b', extra: { id: 1 } };
    expect(rankingToPreferences(preferenceToRanking(pair))).toEqual([pair]);
    expect(preferenceToUnpaired(pair)).toEqual([
      { prompt: 'p', completion: 'a', label: true, extra: { id: 1 } },
      { prompt: 'p', completion: 'b', label: false, extra: { id: 1 } },
    ]);
  });
});
