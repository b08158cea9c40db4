/** Two real models, trained by others, against losses that other programs computed (see ../shared/data/README.md). */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { torch } from '../tensor/index.ts';
import { loadTokenizer } from '../text/index.ts';
import { loadModel, PackedAttention } from './index.ts';
import { sharedData } from './testing.ts';

const STORIES = sharedData('text/tinystories/tinystories_1000.json');

describe.each([
  { name: 'stories260K', parameters: 260_032, loss: 1.30689, tokens: 13_299 },
  { name: 'babyllama-tok105', parameters: 936_448, loss: 0.61588, tokens: 10_240 },
])('$name', ({ name, parameters, loss, tokens }) => {
  const directory = sharedData(`models/${name}`);

  test('has the published loss on the first 40 stories', async ({ skip }) => {
    if (directory.missing ?? STORIES.missing) skip(String(directory.missing ?? STORIES.missing));
    using model = await loadModel(directory.path);
    expect(model.parameterCount()).toBe(parameters);
    const tokenizer = await loadTokenizer(directory.path);
    const stories = (JSON.parse(readFileSync(STORIES.path, 'utf8')) as string[]).slice(0, 40);
    const sequences = stories.map((story) => tokenizer.encode(story).slice(0, model.config.maxPositions + 1));
    const total = torch.scope(() =>
      torch.noGrad(() => {
        const ids = torch.tensor(
          sequences.flatMap((ids) => ids.slice(0, -1)),
          { dtype: 'int64' },
        );
        const targets = torch.tensor(
          sequences.flatMap((ids) => ids.slice(1)),
          { dtype: 'int64' },
        );
        const context = new PackedAttention(sequences.map((ids) => ids.length - 1));
        return torch.crossEntropyLoss(model.logits(model.forward(ids, context)), targets).item();
      }),
    );
    expect(sequences.reduce((sum, ids) => sum + ids.length - 1, 0)).toBe(tokens);
    expect(Math.abs(total - loss)).toBeLessThan(1e-4);
  });
});

test('stories260K goes on as it should', async ({ skip }) => {
  const directory = sharedData('models/stories260K');
  if (directory.missing) skip(directory.missing);
  using model = await loadModel(directory.path);
  const tokenizer = await loadTokenizer(directory.path);
  const ids = tokenizer.encode('Once upon a time');
  for (let step = 0; step < 70; step++) {
    const next = torch.scope(() =>
      torch.noGrad(() => {
        const context = new PackedAttention([ids.length]);
        const hidden = model.forward(torch.tensor(ids, { dtype: 'int64' }), context);
        return model.logits(hidden.at(context.lastTokens)).argmax(-1).item();
      }),
    );
    ids.push(next);
  }
  expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toContain(
    'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, ' +
      'red ball. She wanted to play with it, but it was too high.',
  );
});
