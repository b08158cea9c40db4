import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import { loadModel, PackedAttention } from './index.ts';
import { Expected, GOLDEN, GOLDEN_FAMILIES } from './testing.ts';

describe.each(GOLDEN_FAMILIES)('%s', (family) => {
  test('a pass that begins at a layer gives the bits of the whole one', async () => {
    const expected = await Expected.of(family);
    using model = await loadModel(join(GOLDEN, family), { dtype: 'float32' });
    torch.scope(() =>
      torch.noGrad(() => {
        const ids = expected.tensor('ids');
        const context = new PackedAttention(expected.lengths);
        const inputs: Tensor[] = []; // each [N, D]
        const onLayer = ({ layer, hidden }: { layer: number; hidden: Tensor }) => {
          expect(layer).toBe(inputs.length);
          inputs.push(hidden.detach().keep());
        };
        const whole = model.forward(ids, context, { onLayer }).bytes();
        expect(inputs).toHaveLength(model.config.layers);
        for (const [layer, hidden] of inputs.entries()) {
          const seen: number[] = [];
          const from = { layer, hidden };
          const again = model.forward(ids, context, { from, onLayer: (input) => seen.push(input.layer) });
          expect(again.bytes()).toEqual(whole);
          expect(seen).toEqual(Array.from({ length: model.config.layers - layer }, (_, i) => layer + i));
          // What it began with is the caller's still.
          expect(hidden.isDisposed).toBe(false);
          hidden.dispose();
        }
      }),
    );
  });
});
