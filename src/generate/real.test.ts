/** The engine over models that others trained: the tokens of transformers, and everything engine.test.ts shows on a tiny model. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type RealModel, SMOLLM2, SMOLLM2_GOLDEN, STORY_MODELS } from '../../tests/support/realModels.ts';
import { renderChat, type Tokenizer } from '../text/index.ts';
import { type Completion, Engine, type EngineOptions, type GenerateRequest, type LanguageModel } from './index.ts';
import { score } from './testing/model.ts';

// Seconds on a machine that does nothing else.
vi.setConfig({ testTimeout: 300_000 });

const { cases } = SMOLLM2_GOLDEN;

async function run(model: LanguageModel, requests: GenerateRequest[], options: EngineOptions = {}) {
  using engine = new Engine(model, { cacheBytes: 2 ** 26, ...options });
  return await Promise.all(requests.map((request) => engine.generate(request)));
}

const idsOf = (completions: Completion[][]) => completions.map((all) => all.map(({ ids }) => ids));

/** Between two lists of as many numbers, one by one. */
function differences(a: readonly number[], b: readonly number[]): number[] {
  expect(a).toHaveLength(b.length);
  return a.map((value, i) => Math.abs(value - b[i]!));
}

const furthest = (a: readonly number[], b: readonly number[]): number => Math.max(...differences(a, b));
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value) / values.length;

describe.skipIf(SMOLLM2.missing)(`SmolLM2${SMOLLM2.missing ? ` (skipped: ${SMOLLM2.missing})` : ''}`, () => {
  let smollm2: RealModel;
  beforeAll(async () => {
    smollm2 = await SMOLLM2.open();
  });
  afterAll(() => smollm2[Symbol.dispose]());

  it.each(cases)('reads prompt %# as transformers does', ({ prompt, text, ids }) => {
    const read =
      typeof prompt === 'string' ? encoded(smollm2.tokenizer, prompt) : renderChat(smollm2.tokenizer, prompt);
    expect(read).toEqual({ text, ids });
  });

  it('goes on with the 64 tokens of transformers, each as likely', async () => {
    const requests = cases.map(({ ids }) => ({ promptIds: ids, temperature: 0, maxTokens: 64, logprobs: true }));
    const completions = (await run(smollm2.model, requests)).flat();
    expect(completions.map(({ ids }) => ids)).toEqual(cases.map(({ completion }) => completion));
    for (const [i, { logprobs }] of completions.entries()) {
      expect(furthest(logprobs!, cases[i]!.logprobs)).toBeLessThan(1e-4);
    }
  });

  it('stops where the model ends its turn, and gives the text up to there', async () => {
    const { prompt, ids } = cases[5]!;
    expect(prompt).toHaveLength(3);
    const { tokenizer } = smollm2;
    using engine = new Engine(smollm2.model, { tokenizer, stopIds: tokenizer.eosIds });
    const [completion] = await engine.generate({ promptIds: ids, temperature: 0, maxTokens: 64 });
    expect(completion).toMatchObject({ text: 'Sammy, Bella and Max.', finishReason: 'stop' });
    expect(completion!.ids!.at(-1)).toBe(tokenizer.tokenToId('<|im_end|>'));
  });

  it('is as far from float32 in bfloat16 as transformers is, and no further when it generates', async () => {
    using rounded = await SMOLLM2.open('bfloat16');
    for (const { ids, completion, logprobs, bfloat16 } of [cases[0]!, cases[4]!]) {
      const off = differences(score(rounded.model, [...ids, ...completion], ids.length), logprobs);
      expect(mean(off)).toBeGreaterThan(bfloat16.mean / 1.5);
      expect(mean(off)).toBeLessThan(bfloat16.mean * 1.5);
      expect(Math.max(...off)).toBeLessThan(bfloat16.max * 2);
    }
    const { ids: promptIds } = cases[4]!;
    const [completions] = await run(rounded.model, [{ promptIds, n: 4, seed: 1, maxTokens: 12, logprobs: true }]);
    const passed = ({ model }: RealModel) =>
      completions!.flatMap(({ ids }) => score(model, [...promptIds, ...ids!], promptIds.length));
    const exact = passed(smollm2);
    const generated = differences(
      completions!.flatMap(({ logprobs }) => logprobs!),
      exact,
    );
    const forward = differences(passed(rounded), exact);
    expect(mean(generated)).toBeLessThan(mean(forward) * 1.5);
    expect(Math.max(...generated)).toBeLessThan(Math.max(...forward) * 2);
  });
});

describe.each([...STORY_MODELS, SMOLLM2])('$name', ({ missing, open }) => {
  let real: RealModel;
  let requests: GenerateRequest[];
  beforeAll(async () => {
    if (missing) return;
    real = await open();
    const read = (text: string) => real.tokenizer.encode(text);
    requests = [
      { promptIds: read('Once upon a time'), n: 2, temperature: 0.7, seed: 1 },
      { promptIds: read('One day, a little girl named Lily found a needle in her room.'), n: 1, temperature: 0 },
      { promptIds: read('The dog'), n: 3, temperature: 1, seed: 2, topP: 0.9 },
    ].map((request) => ({ ...request, maxTokens: 16, logprobs: true }));
  });
  afterAll(() => real?.[Symbol.dispose]());

  it('gives the log-probabilities of a full forward pass', async ({ skip }) => {
    if (missing) skip(missing);
    const results = await run(real.model, requests);
    for (const [i, { promptIds, temperature }] of requests.entries()) {
      for (const { ids, logprobs } of results[i]!) {
        const expected = score(real.model, [...promptIds!, ...ids!], promptIds!.length, temperature || 1);
        expect(furthest(logprobs!, expected)).toBeLessThan(1e-4);
      }
    }
  });

  it('gives the same tokens whatever runs beside, and others under another seed', async ({ skip }) => {
    if (missing) skip(missing);
    const alone: Completion[][] = [];
    for (const request of requests) alone.push(...(await run(real.model, [request])));
    for (const options of [{}, { maxRows: 2, prefillTokens: 1 }]) {
      expect(idsOf(await run(real.model, requests.toReversed(), options))).toEqual(idsOf(alone.toReversed()));
    }
    const others = await run(real.model, [requests[0]!, { ...requests[0]!, seed: 3 }]);
    expect(idsOf(others)[0]).toEqual(idsOf(alone)[0]);
    expect(idsOf(others)[1]).not.toEqual(idsOf(alone)[0]);
  });

  it('computes a prompt once for all its completions', async ({ skip }) => {
    if (missing) skip(missing);
    const computed: number[] = [];
    const counting: LanguageModel = {
      config: real.model.config,
      dtype: real.model.dtype,
      device: real.model.device,
      logits: (hidden) => real.model.logits(hidden),
      forward(ids, context) {
        computed.push(ids.shape[0]!);
        return real.model.forward(ids, context);
      },
    };
    const { promptIds } = requests[1]!;
    const [completions] = await run(counting, [{ promptIds: promptIds!, n: 4, seed: 5, temperature: 3, maxTokens: 4 }]);
    expect(new Set(completions!.map(({ ids }) => ids!.join())).size).toBe(4);
    expect(computed).toEqual([promptIds!.length, 4, 4, 4]);
  });
});

const encoded = (tokenizer: Tokenizer, text: string) => ({ text, ids: tokenizer.encode(text) });
