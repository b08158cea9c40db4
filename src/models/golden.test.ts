import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CheckpointTape } from '../nn/index.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import { readConfigJson } from './config.ts';
import { createModel, loadModel, PackedAttention } from './index.ts';
import { Expected, GOLDEN, GOLDEN_FAMILIES, nextTokenLoss } from './testing.ts';

// transformers computes attention by matrix products and ours by a fused kernel: sums run in another order.
const TOLERANCE = { rtol: 1e-5, atol: 1e-5 };

describe.each(GOLDEN_FAMILIES)('%s computes what transformers computes', (family) => {
  const directory = join(GOLDEN, family);

  test('logits, loss and the gradient of every parameter', async () => {
    const expected = await Expected.of(family);
    using model = await loadModel(directory, { dtype: 'float32' });
    const ids = expected.tensor('ids');
    const context = new PackedAttention(expected.lengths);
    const logits = model.logits(model.forward(ids, context));
    expect(logits).toBeCloseToTensor(expected.tensor('logits'), TOLERANCE);
    const loss = nextTokenLoss(logits, ids, context);
    expect(loss).toBeCloseToTensor(expected.tensor('loss'), TOLERANCE);
    loss.backward();
    expect([...model.namedParameters()].map(([name]) => name).sort()).toEqual(expected.parameters.sort());
    for (const [name, parameter] of model.namedParameters()) {
      // The expected values are rounded to 16 bits, 1.5e-5 of the largest.
      expect(parameter.grad, name).toBeCloseToTensor(expected.gradient(name), { rtol: 1e-5, atol: 4e-5 });
    }
  });

  test('the same gradients when layers are computed again', async () => {
    const expected = await Expected.of(family);
    using model = await loadModel(directory);
    using tape = new CheckpointTape();
    torch.scope(() => {
      const ids = expected.tensor('ids');
      const context = new PackedAttention(expected.lengths);
      const hidden = model.forward(ids, context, { tape });
      tape.backward(torch.scope(() => nextTokenLoss(model.logits(hidden), ids, context)));
    });
    for (const [name, parameter] of model.namedParameters()) {
      expect(parameter.grad, name).toBeCloseToTensor(expected.gradient(name), { rtol: 1e-5, atol: 4e-5 });
    }
  });

  test('bfloat16 is no further from float32 than in transformers', async () => {
    const expected = await Expected.of(family);
    using model = await loadModel(directory, { dtype: 'bfloat16' });
    const context = new PackedAttention(expected.lengths);
    const logits = torch.noGrad(() => model.logits(model.forward(expected.tensor('ids'), context)));
    expect(logits.dtype).toBe('bfloat16');
    const rms = (values: Tensor): number => values.float().sub(expected.tensor('logits')).square().mean().sqrt().item();
    const theirs = rms(expected.tensor('logits.bfloat16'));
    expect(rms(logits)).toBeLessThan(1.25 * theirs);
    expect(theirs).toBeLessThan(0.03);
  });

  test('the variants of its configuration', async () => {
    const expected = await Expected.of(family);
    const json = await readConfigJson(directory);
    using original = await loadModel(directory);
    for (const [name, changes] of Object.entries(expected.variants)) {
      using model = createModel({ ...json, ...changes });
      model.loadStateDict(original.stateDict());
      // One by one: dynamic scaling looks at the longest sequence of a context.
      const rows = expected.tensor('ids').splitWithSizes(expected.lengths);
      const logits = rows.map((ids) => model.logits(model.forward(ids, new PackedAttention([ids.shape[0]!]))));
      expect(torch.cat(logits), name).toBeCloseToTensor(expected.tensor(`${name}.logits`), TOLERANCE);
    }
  });

  test('the scores of a reward model', async () => {
    const expected = await Expected.of(family);
    using model = await loadModel(directory, { head: 'score' });
    torch.noGrad(() => model.score!.weight.copy_(expected.tensor('score.weight')));
    const context = new PackedAttention(expected.lengths);
    const hidden = model.forward(expected.tensor('ids'), context);
    expect(model.scores(hidden, context)).toBeCloseToTensor(expected.tensor('scores'), TOLERANCE);
    expect(model.values(hidden).at(context.lastTokens)).toBeCloseToTensor(model.scores(hidden, context));
  });
});
