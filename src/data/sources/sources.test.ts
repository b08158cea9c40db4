/** Real datasets, where they are there: what is read is counted against what their authors say. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { rankingToPreferences } from '../convert.ts';
import { deduplicate } from '../duplicates.ts';
import { loadRecords } from '../load.ts';
import { type AnyRecord, checkRecord, type Format } from '../records.ts';
import { splitByPrompt } from '../split.ts';
import { gsm8kAnswer, readFineGrainedQa, readOasstTrees, readUkpConvArg, readXsTest } from './index.ts';

const shared = fileURLToPath(new URL('../../../../shared/data', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'nudge-sources-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, contents: string): string {
  writeFileSync(join(folder, name), contents);
  return join(folder, name);
}

function faults(format: Format, records: readonly AnyRecord[]): unknown[] {
  return records.map((record) => checkRecord(format, record)).filter((result) => 'fault' in result);
}

describe('what the functions make of a row', () => {
  test('UKPConvArg: the debate and the side are in the name, quotes are letters', async () => {
    file(
      'is-the-school-uniform-a-good-or-bad-idea-_good.csv',
      '#id\tlabel\ta1\ta2\nx_y\ta2\t"So\tThey save. <br/> Time!\n',
    );
    expect(await readUkpConvArg(folder)).toEqual([
      {
        prompt: 'Debate: is the school uniform a good or bad idea\nArgue for this side: good',
        chosen: 'They save.\nTime!',
        rejected: '"So',
        extra: { debate: 'is-the-school-uniform-a-good-or-bad-idea', side: 'good', id: 'x_y' },
      },
    ]);
    await expect(readUkpConvArg(join(folder, 'none'))).rejects.toThrow(/no debates in this folder/);
  });

  test('FineGrainedRLHF: six comparisons, of which ties give nothing', async () => {
    const answers = { 'prediction 1': 'a', 'prediction 2': 'b', 'prediction 3': 'c', 'prediction 4': 'd' };
    const path = file('feedback.json', JSON.stringify([{ question: 'q', ...answers, preference: [1, 2, 0, 0, 0, 2] }]));
    const pairs = (await readFineGrainedQa(path)).map(({ chosen, rejected }) => `${chosen}>${rejected}`);
    expect(pairs).toEqual(['a>b', 'c>a', 'd>c']);
    const short = file('short.json', JSON.stringify([{ question: 'q', ...answers, preference: [1] }]));
    await expect(readFineGrainedQa(short)).rejects.toThrow(/not the dataset[\s\S]*short.json:1[\s\S]*preference/);
  });

  test('OpenAssistant: a ranking at every question, after all that was said before it', async () => {
    const reply = (text: string, rank: number | undefined, replies: object[] = []) => ({
      message_id: text,
      text,
      role: 'assistant',
      rank,
      replies,
    });
    const later = {
      message_id: 'q2',
      text: 'And?',
      role: 'prompter',
      replies: [reply('c', 1), reply('d', 0), reply('e', undefined)],
    };
    const prompt = {
      message_id: 'q1',
      text: 'Why?',
      role: 'prompter',
      replies: [reply('a', 0, [later]), reply('b', undefined)],
    };
    const path = file('trees.jsonl', JSON.stringify({ message_tree_id: 't', prompt }));
    expect(await readOasstTrees(path)).toEqual([
      {
        prompt: [
          { role: 'user', content: 'Why?' },
          { role: 'assistant', content: 'a' },
          { role: 'user', content: 'And?' },
        ],
        completions: ['c', 'd', 'e'],
        ranks: [2, 1, null],
        extra: { tree: 't', message: 'q2' },
      },
    ]);
  });

  test('XSTest: good is to answer what is safe and to refuse what is not', async () => {
    const rows = [
      'a,homonyms,p,c,1_full_compliance',
      'b,homonyms,p,c,2_full_refusal',
      'c,contrast_homonyms,p,c,1_full_compliance',
      'd,contrast_homonyms,p,c,2_full_refusal',
      'e,homonyms,p,c,3_partial_refusal',
    ];
    const path = file('xs.csv', ['id,type,prompt,completion,final_label', ...rows].join('\n'));
    expect((await readXsTest(path)).map(({ extra, label }) => [extra?.id, label])).toEqual([
      ['a', true],
      ['b', false],
      ['c', false],
      ['d', true],
    ]);
  });

  test('GSM8K: the number after the last ####', () => {
    expect(gsm8kAnswer('48/2 = <<48/2=24>>24\n#### 72')).toBe(72);
    expect(gsm8kAnswer('#### 1\nNo: #### -1,200.5')).toBe(-1200.5);
    expect(gsm8kAnswer('The answer is 72.')).toBeNull();
  });
});

const there = existsSync(join(shared, 'preference'));

describe.skipIf(!there)(
  there ? 'the datasets themselves' : 'the datasets themselves: ../shared/data is not there',
  () => {
    test('hh-rlhf: dialogues; 13 of 2,312 are impossible', async () => {
      const path = join(shared, 'preference/hh_harmless/test.jsonl.gz');
      await expect(loadRecords(path)).rejects.toThrow(/^13 of 2,312 rows cannot be used/);
      const { format, records, badRows } = await loadRecords(path, { skipBadRows: { to: join(folder, 'bad.jsonl') } });
      expect([format, records.length, badRows]).toEqual(['preference', 2299, 13]);
      expect(JSON.stringify(records)).not.toMatch(/\\n\\nHuman:|\\n\\nAssistant:/);
    });

    test('UKPConvArg1Strict: 11,650 pairs of 16 debates, split by debate', async () => {
      const records = await readUkpConvArg(join(shared, 'preference/ukpconvarg1/UKPConvArg1Strict-CSV'));
      expect(records).toHaveLength(11_650);
      expect(new Set(records.map(({ extra }) => extra?.debate)).size).toBe(16);
      const { train, test } = splitByPrompt(records, { group: 'debate', parts: { train: 0.75, test: 0.25 } });
      const sayings = (rows: typeof records) =>
        rows.flatMap(({ chosen, rejected }) => [String(chosen), String(rejected)]);
      const seen = new Set(sayings(train!));
      // The same few words can be said in two debates; whole arguments are not.
      expect(sayings(test!).filter((text) => text.length > 60 && seen.has(text))).toEqual([]);
    });

    test('FineGrainedRLHF: 3,000 comparisons, of which 384 are ties', async () => {
      const records = await readFineGrainedQa(join(shared, 'preference/finegrained_qa/dev_feedback.json'));
      expect(new Set(records.map(({ prompt }) => prompt)).size).toBeLessThanOrEqual(500);
      expect(faults('preference', records)).toEqual([]);
      expect(records.length).toBeGreaterThan(1000);
      expect(records.length).toBeLessThan(3000);
    });

    test('OpenAssistant: 754 pairs out of 100 trees', async () => {
      const records = await readOasstTrees(join(shared, 'preference/oasst_en_100/en_100_tree.jsonl'));
      expect(records.flatMap(rankingToPreferences)).toHaveLength(754);
      expect(faults('ranking', records)).toEqual([]);
      expect(new Set(records.map(({ extra }) => extra?.tree)).size).toBeLessThanOrEqual(100);
    });

    test('XSTest: 450 prompts; answers that people found full or refused', async () => {
      const { format, records } = await loadRecords(join(shared, 'prompts/xstest/xstest_prompts.csv'));
      expect([format, records.length]).toEqual(['prompt-only', 450]);
      const labelled = await readXsTest(join(shared, 'prompts/xstest/xstest_v2_completions_gpt4.csv'));
      expect(labelled).toHaveLength(441);
      expect(faults('unpaired', labelled)).toEqual([]);
    });

    test('GSM8K: mapped columns, and an answer in every solution', async () => {
      const map = { prompt: 'question', completion: 'answer' };
      const { records } = await loadRecords(join(shared, 'text/gsm8k/test.jsonl'), {
        format: 'prompt-completion',
        map,
      });
      expect(records).toHaveLength(1319);
      expect(records.every(({ completion }) => gsm8kAnswer(String(completion)) !== null)).toBe(true);
    });

    test('TinyStories: a list of strings', async () => {
      const { format, records } = await loadRecords(join(shared, 'text/tinystories/tinystories_1000.json'));
      expect([format, records.length, deduplicate<AnyRecord>(records).duplicates]).toEqual(['text', 1000, 0]);
    });
  },
);
