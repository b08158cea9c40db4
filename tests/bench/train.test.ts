import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { type LlamaShape, SMOLLM2 } from '../../bench/smollm2.ts';
import {
  BATCH,
  DIALOGUES,
  EOS,
  idsOf,
  makeTokenizer,
  meanTokens,
  meanWork,
  PAD,
  rowsOf,
  textOf,
  tokensOfStep,
} from '../../bench/train/data.ts';
import { dialogueWork, pairWork, total, trainingFlops } from '../../bench/train/flops.ts';
import { train } from '../../bench/train/index.ts';
import { PAIRS } from '../../bench/train/lengths.ts';
import { training } from '../../bench/train/training.ts';
import { createModel, LoraAdapters } from '../../src/models/index.ts';

const tiny: LlamaShape = {
  ...SMOLLM2,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 4,
};
const nothing = { tokens: 0, attended: 0, predicting: 0, scored: 0 };

describe('trainingFlops', () => {
  it('is six operations for each weight of the layers and each token, where all weights learn', () => {
    using model = createModel(tiny);
    const weights = [...model.namedParameters()].filter(([name]) => name.endsWith('_proj.weight'));
    const elements = weights.reduce((sum, [, weight]) => sum + weight.numel(), 0);
    expect(weights).toHaveLength(2 * 7);
    expect(trainingFlops(tiny, { ...nothing, tokens: 5 }, null)).toBe(6 * 5 * elements);
  });

  it('is four with LoRA, but two below the first adapter, and six for the weights of adapters, four below', () => {
    using model = createModel(tiny);
    const adapter = new LoraAdapters(model).add('a', { rank: 3 });
    const adapted = [...adapter.namedParameters()].reduce((sum, [, weight]) => sum + weight.numel(), 0);
    const elements = trainingFlops(tiny, { ...nothing, tokens: 1 }, null) / 6;
    // Queries, keys and values of the first layer read 8 hidden values and give 8, 4 and 4.
    const first = { frozen: 8 * (8 + 4 + 4), down: 3 * (8 + 8 + 8) };
    const expected = 4 * elements - 2 * first.frozen + 6 * adapted - 2 * first.down;
    expect(trainingFlops(tiny, { ...nothing, tokens: 7 }, 3)).toBe(7 * expected);
  });

  it('counts the head for rows that predict only; frozen, its weight has no gradient', () => {
    const work = { ...nothing, predicting: 3 };
    expect(trainingFlops(tiny, work, null)).toBe(6 * 3 * 8 * 49_152);
    expect(trainingFlops(tiny, work, 3)).toBe(4 * 3 * 8 * 49_152);
  });

  it('counts four operations for each seen key and each of its values, three times over, in either case', () => {
    const work = { ...nothing, attended: 10 };
    const expected = 3 * 4 * 10 * 2 * (2 * 4);
    expect([null, 3].map((rank) => trainingFlops(tiny, work, rank))).toEqual([expected, expected]);
  });
});

describe('the work of a step', () => {
  it('of a dialogue: token t sees t + 1 keys, and the completion is predicted', () => {
    expect(dialogueWork(2, 2)).toEqual({ tokens: 4, attended: 1 + 2 + 3 + 4, predicting: 2, scored: 0 });
  });

  it('of a pair: both completions see one copy of the prompt', () => {
    const attended = 1 + 2 + (3 + 4) + 3;
    expect(pairWork(2, 2, 1)).toEqual({ tokens: 5, attended, predicting: 0, scored: 2 });
  });

  it('adds up', () => {
    const sum = total([dialogueWork(1, 1), pairWork(1, 1, 1)]);
    expect(sum).toEqual({ tokens: 5, attended: 3 + 5, predicting: 1, scored: 2 });
  });

  it('is on average that of all rows, eight at a time', () => {
    const tokens = PAIRS.reduce((sum, [prompt, chosen]) => sum + prompt + chosen, 0);
    expect(meanWork('sft').tokens).toBeCloseTo((tokens * BATCH) / PAIRS.length);
    expect(meanTokens('sft')).toBeCloseTo(meanWork('sft').tokens);
    // Where a pair's prompt counts for both of its completions, more is learned from than computed.
    expect(meanTokens('reward')).toBeGreaterThan(meanWork('reward').tokens);
  });
});

describe('the data', () => {
  it('has the lengths of the table, and completions that end', () => {
    expect(PAIRS).toHaveLength(64);
    const lengths = DIALOGUES.map(({ prompt, chosen, rejected }) => [prompt.length, chosen.length, rejected.length]);
    expect(lengths).toEqual(PAIRS);
    for (const { chosen, rejected } of DIALOGUES) expect([chosen.at(-1), rejected.at(-1)]).toEqual([EOS, EOS]);
  });

  it('is made of ordinary ids', () => {
    const ids = DIALOGUES.flatMap(({ prompt, chosen, rejected }) => [
      ...prompt,
      ...chosen.slice(0, -1),
      ...rejected.slice(0, -1),
    ]);
    expect(Math.min(...ids)).toBeGreaterThan(Math.max(PAD, EOS));
    expect(Math.max(...ids)).toBeLessThan(SMOLLM2.vocab_size);
    expect(new Set(ids).size).toBeGreaterThan(ids.length / 2);
  });

  it('shares nothing between rows, nor between the completions of a pair: what is common would be computed once', () => {
    expect(new Set(DIALOGUES.map(({ prompt }) => prompt[0])).size).toBe(DIALOGUES.length);
    for (const { chosen, rejected } of DIALOGUES) expect(chosen[0]).not.toBe(rejected[0]);
  });

  it('becomes text, and by its tokenizer the same ids', () => {
    const tokenizer = makeTokenizer();
    const ids = idsOf(7, 50);
    expect(tokenizer.encode(textOf(ids))).toEqual(ids);
    expect([tokenizer.padId, tokenizer.eosId]).toEqual([PAD, EOS]);
  });

  it('comes once in each epoch', () => {
    const epoch = Array.from({ length: PAIRS.length / BATCH }, (_, step) => rowsOf(step));
    expect(epoch.flat().toSorted((a, b) => a - b)).toEqual(PAIRS.map((_, row) => row));
    const tokens = epoch.reduce((sum, _, step) => sum + tokensOfStep('sft', step), 0);
    expect(tokens / epoch.length).toBeCloseTo(meanTokens('sft'));
  });
});

describe('nudge bench train', () => {
  it('has cases with names of their own in each group', () => {
    for (const { cases } of train.groups) expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
  });

  it.each([
    ['sft', null],
    ['sft', 2],
    ['reward', null],
    ['reward', 2],
  ] as const)('takes steps of %s at rank %s one at a time, and leaves nothing behind', async (kind, rank) => {
    const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith(`nudge-bench-train-${process.pid}-`));
    const taken: number[] = [];
    const body = training({ kind, shape: tiny, dtype: 'float32', rank }, ({ step, seconds, metrics }) => {
      expect(metrics.loss).toBeGreaterThan(0);
      taken.push(step);
      return seconds;
    });
    try {
      expect(await body.time(1)).toBeGreaterThan(0);
      expect(await body.time(2)).toBeGreaterThan(0);
      expect(taken).toEqual([0, 1, 2]);
      expect(folders()).toHaveLength(1);
    } finally {
      await body.end!();
    }
    expect(folders()).toEqual([]);
  });

  it('knows the parts of a step of PPO', async () => {
    const job = { kind: 'ppo', shape: tiny, dtype: 'float32', rank: 2, prompts: [idsOf(0, 5)], maxTokens: 4 } as const;
    const body = training(job, ({ metrics }) =>
      ['generate', 'score', 'assess', 'learn'].reduce((sum, part) => sum + metrics[`seconds/${part}`]!, 0),
    );
    try {
      expect(await body.time(1)).toBeGreaterThan(0);
    } finally {
      await body.end!();
    }
  });

  it('hands on why a trainer fails', async () => {
    const body = training({ kind: 'sft', shape: { ...tiny, num_key_value_heads: 3 }, dtype: 'float32', rank: null });
    await expect(body.time(1)).rejects.toThrow(/head/);
    await body.end!();
  });
});
