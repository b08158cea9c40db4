import { afterAll, describe, expect, it } from 'vitest';
import { kernels } from '../nn/index.ts';
import { torch } from '../tensor/index.ts';
import { type Completion, Engine, type EngineOptions, type GenerateRequest, type LanguageModel } from './index.ts';
import { logprobsFrom, score, tinyModel, VOCABULARY } from './testing/model.ts';

const model = tinyModel();
afterAll(() => model.dispose());

const prompt = (length: number, salt = 1): number[] =>
  Array.from({ length }, (_, i) => (i * 31 + salt * 17) % VOCABULARY);

async function run(requests: GenerateRequest[], options: EngineOptions = {}): Promise<Completion[][]> {
  using engine = new Engine(model, options);
  return await Promise.all(requests.map((request) => engine.generate(request)));
}

const idsOf = (completions: Completion[]): (readonly number[] | null)[] => completions.map(({ ids }) => ids);

describe('Engine', () => {
  it('chooses greedily what a pass without a cache finds likeliest', async () => {
    const promptIds = prompt(21);
    const [[completion]] = (await run([{ promptIds, temperature: 0, maxTokens: 40, logprobs: true }])) as [
      [Completion],
    ];
    expect(completion.finishReason).toBe('length');
    const ids = [...promptIds, ...completion.ids!];
    logprobsFrom(model, ids, promptIds.length).forEach((row, i) => {
      expect(Math.max(...row) - row[completion.ids![i]!]!).toBeLessThan(1e-4);
    });
  });

  it.each([0.7, 1])('gives the log-probabilities of a full forward pass, at temperature %d', async (temperature) => {
    const requests = [1, 15, 16, 17, 33].map((length) => ({
      promptIds: prompt(length, length),
      n: 3,
      maxTokens: 20,
      temperature,
      logprobs: true,
      seed: length,
    }));
    const results = await run(requests, { maxRows: 4 });
    for (const [i, completions] of results.entries()) {
      expect(completions).toHaveLength(3);
      for (const { ids, logprobs } of completions) {
        const { promptIds } = requests[i]!;
        const scores = score(model, [...promptIds, ...ids!], promptIds.length, temperature);
        scores.forEach((expected, t) => {
          expect(Math.abs(expected - logprobs![t]!)).toBeLessThan(1e-4);
        });
      }
    }
  });

  it('gives the same tokens whatever runs beside', async () => {
    const requests: GenerateRequest[] = [
      { promptIds: prompt(9, 1), n: 2, seed: 7, maxTokens: 30 },
      { promptIds: prompt(40, 2), n: 1, seed: 8, maxTokens: 12, topP: 0.9 },
      { promptIds: prompt(17, 3), n: 3, seed: 7, maxTokens: 25, topK: 20, temperature: 1.5 },
      { promptIds: prompt(5, 4), n: 1, maxTokens: 30, temperature: 0 },
    ];
    const alone: Completion[][] = [];
    for (const request of requests) alone.push((await run([request]))[0]!);
    for (const options of [{}, { maxRows: 1 }, { maxRows: 3 }, { cacheBytes: 60_000 }, { prefillTokens: 1 }]) {
      const together = await run(requests.toReversed(), options);
      expect(together.toReversed().map(idsOf)).toEqual(alone.map(idsOf));
    }
    // Other draws for another completion and another seed.
    expect(alone[0]![0]!.ids).not.toEqual(alone[0]![1]!.ids);
  });

  it('penalises repetition, and reports the model itself', async () => {
    const promptIds = prompt(12);
    const request = { promptIds, temperature: 0, maxTokens: 30, logprobs: true };
    const [[plain], [varied]] = (await run([request, { ...request, repetitionPenalty: 5 }])) as [
      [Completion],
      [Completion],
    ];
    expect(new Set(varied.ids).size).toBeGreaterThan(new Set(plain.ids).size);
    const scores = score(model, [...promptIds, ...varied.ids!], promptIds.length);
    scores.forEach((expected, t) => {
      expect(Math.abs(expected - varied.logprobs![t]!)).toBeLessThan(1e-4);
    });
  });

  it('ends at a stop id, which belongs to the completion', async () => {
    const promptIds = prompt(8);
    const [[free]] = (await run([{ promptIds, seed: 3, maxTokens: 30 }])) as [[Completion]];
    const stop = free.ids![9]!;
    const at = free.ids!.indexOf(stop);
    const [[stopped]] = (await run([{ promptIds, seed: 3, maxTokens: 30, stopIds: [stop] }])) as [[Completion]];
    expect(stopped.ids).toEqual(free.ids!.slice(0, at + 1));
    expect(stopped.finishReason).toBe('stop');
  });

  it('streams text, and ends at a stop string', async () => {
    const tokenizer = {
      encode: (text: string) => [...text].map((letter) => letter.charCodeAt(0) - 32),
      decodeStream: () => ({ push: (id: number) => String.fromCharCode(32 + (id % 95)), end: () => '' }),
    };
    using engine = new Engine(model, { tokenizer });
    const request = { prompt: 'Hello', seed: 5, maxTokens: 20 };
    const [free] = (await engine.generate(request)) as [Completion];
    expect(free.text).toHaveLength(20);
    const stop = free.text.slice(7, 10);
    let text = '';
    let completion: Completion | undefined;
    for await (const event of engine.stream({ ...request, stopStrings: [stop] })) {
      if (event.type === 'token') text += event.text;
      else completion = event.completion;
    }
    expect(completion?.text).toBe(free.text.slice(0, free.text.indexOf(stop)));
    expect(text).toBe(completion?.text);
    expect(completion?.finishReason).toBe('stop');
  });

  it('frees everything: at the end, when cancelled, when the reader leaves', async () => {
    using engine = new Engine(model, { maxRows: 4 });
    const idle = engine.load;
    const before = torch.memory().tensors;
    await engine.generate({ promptIds: prompt(20), n: 6, maxTokens: 10 });
    expect(engine.load).toEqual(idle);

    const controller = new AbortController();
    const running = engine.generate({ promptIds: prompt(20), n: 6, maxTokens: 230, signal: controller.signal });
    const waiting = engine.generate({ promptIds: prompt(3), maxTokens: 5 });
    setTimeout(() => controller.abort(), 30);
    const cancelled = await running;
    expect(cancelled.map(({ finishReason }) => finishReason)).toEqual(Array(6).fill('cancelled'));
    expect(cancelled[0]!.ids!.length).toBeGreaterThan(0);
    expect((await waiting)[0]!.finishReason).toBe('length');

    for await (const event of engine.stream({ promptIds: prompt(4), maxTokens: 200 }))
      if (event.type === 'token') break;
    const aborted = await engine.generate({ promptIds: prompt(4), signal: AbortSignal.abort() });
    expect(aborted[0]).toMatchObject({ finishReason: 'cancelled', ids: [] });
    expect(engine.load).toEqual(idle);
    expect(torch.memory().tensors).toBe(before);
  });

  it('tells every request when a step fails, and goes on', async () => {
    let failing = true;
    const faulty: LanguageModel = {
      config: model.config,
      dtype: model.dtype,
      device: model.device,
      logits: (hidden) => model.logits(hidden),
      forward(ids, context) {
        if (failing) throw new Error('out of memory');
        return model.forward(ids, context);
      },
    };
    using engine = new Engine(faulty);
    const results = await Promise.allSettled([1, 2].map((salt) => engine.generate({ promptIds: prompt(5, salt) })));
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    failing = false;
    expect(await engine.generate({ promptIds: prompt(5), maxTokens: 3 })).toHaveLength(1);
    expect(engine.load.requests).toBe(0);
  });

  it.each([
    [{ promptIds: [] }, /no token ids/],
    [{ promptIds: [97] }, /0 to 96/],
    [{ promptIds: [1], temperature: -1 }, /temperature/],
    [{ promptIds: [1], topP: 0 }, /topP/],
    [{ promptIds: [1], maxTokens: 1000 }, /at most 256/],
    [{ prompt: 'a' }, /tokenizer/],
    [{ promptIds: [1], stopStrings: ['a'] }, /tokenizer/],
    [{ messages: [] }, /chat template/],
    [{}, /either promptIds or prompt/],
  ] as [GenerateRequest, RegExp][])('refuses %j', async (request, message) => {
    using engine = new Engine(model);
    await expect(engine.generate(request)).rejects.toThrow(message);
  });

  it('refuses what the cache can never hold', async () => {
    expect(() => new Engine(model, { cacheBytes: 10 })).toThrow(/cacheBytes/);
    using engine = new Engine(model, { cacheBytes: 20_000 });
    await expect(engine.generate({ promptIds: prompt(30), maxTokens: 30 })).rejects.toThrow(/longer than the cache/);
  });

  it('computes the same without kernels', async () => {
    const request = { promptIds: prompt(19), n: 2, seed: 11, maxTokens: 15, logprobs: true };
    const before = kernels.selected();
    const [fast] = await run([request]);
    kernels.select('none');
    try {
      const [plain] = await run([request]);
      expect(idsOf(plain!)).toEqual(idsOf(fast!));
    } finally {
      kernels.select(before);
    }
  });
});
