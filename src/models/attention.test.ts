import { describe, expect, test } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import { createModel, PackedAttention } from './index.ts';
import './testing.ts';

/** softmax(q kᵀ scale) v under a causal mask, head by head, for one sequence: the definition, in float64. */
function plain(q: Tensor, k: Tensor, v: Tensor, scale: number): Tensor {
  const group = q.shape[1]! / k.shape[1]!;
  const T = q.shape[0]!;
  const hidden = torch.ones([T, T], { dtype: 'bool' }).triu(1); // [T, T], true = later
  const perHead = Array.from({ length: q.shape[1]! }, (_, h) => {
    const [qh, kh, vh] = [q.select(1, h), k.select(1, Math.floor(h / group)), v.select(1, Math.floor(h / group))];
    const scores = qh.double().matmul(kh.double().t()).mul(scale).maskedFill(hidden, Number.NEGATIVE_INFINITY);
    return scores.softmax(-1).matmul(vh.double()); // [T, Dh]
  });
  return torch.stack(perHead, 1).float(); // [T, H, Dh]
}

describe('PackedAttention', () => {
  test.each([{ lengths: [1] }, { lengths: [6] }, { lengths: [4, 4, 4] }, { lengths: [1, 1, 5, 2, 2, 1, 7] }])(
    'attends to earlier tokens of the same sequence: $lengths',
    ({ lengths }) => {
      torch.manualSeed(0);
      const context = new PackedAttention(lengths);
      const leaf = (heads: number) => torch.randn([context.tokens, heads, 8]).requiresGrad_(); // [N, heads, 8]
      const [q, k, v] = [leaf(6), leaf(2), leaf(2)];
      const weights = torch.randn([context.tokens, 6, 8]);
      for (const scale of [undefined, 0.7]) {
        const packed = context.attend(0, q, k, v, scale === undefined ? {} : { scale });
        const parts = [q, k, v].map((x) => x.splitWithSizes(lengths));
        const expected = torch.cat(
          lengths.map((_, i) => plain(parts[0]![i]!, parts[1]![i]!, parts[2]![i]!, scale ?? 1 / Math.sqrt(8))),
        );
        expect(packed).toBeCloseToTensor(expected, { rtol: 1e-5, atol: 1e-5 });
        const gradients = torch.grad(packed.mul(weights).sum(), [q, k, v]);
        const theirs = torch.grad(expected.mul(weights).sum(), [q, k, v]);
        for (const [i, gradient] of gradients.entries()) {
          expect(gradient).toBeCloseToTensor(theirs[i]!, { rtol: 1e-5, atol: 1e-5 });
        }
      }
    },
  );

  test('knows positions, last tokens and the longest sequence', () => {
    const context = new PackedAttention([3, 1, 2]);
    expect(context.positions.tolist()).toEqual([0, 1, 2, 0, 0, 1]);
    expect(context.lastTokens.tolist()).toEqual([2, 3, 5]);
    expect([context.maxLength, context.tokens]).toEqual([3, 6]);
  });

  test('a sequence does not depend on its neighbours', () => {
    torch.manualSeed(1);
    const model = createModel({
      model_type: 'qwen2',
      vocab_size: 20,
      hidden_size: 32,
      intermediate_size: 40,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      max_position_embeddings: 64,
      initializer_range: 0.2,
    });
    const sequences = [
      [1, 2, 3],
      [4, 5, 6, 7, 8],
      [9, 10, 11],
    ];
    const forward = (chosen: number[][]) =>
      model.forward(
        torch.tensor(chosen.flat(), { dtype: 'int64' }),
        new PackedAttention(chosen.map(({ length }) => length)),
      );
    const together = forward(sequences).splitWithSizes([3, 5, 3]);
    for (const [i, sequence] of sequences.entries()) {
      expect(together[i]).toBeCloseToTensor(forward([sequence]), { rtol: 1e-5, atol: 1e-6 });
    }
  });

  test('refuses lengths that cannot be, and tokens that are not its own', () => {
    expect(() => new PackedAttention([3, 0])).toThrow('0 at place 1');
    expect(() => new PackedAttention([2.5])).toThrow('2.5 at place 0');
    const context = new PackedAttention([3, 2]);
    const q = torch.zeros([6, 2, 4]);
    expect(() => context.attend(0, q, q, q)).toThrow('5 tokens in 2 sequences');
  });
});
