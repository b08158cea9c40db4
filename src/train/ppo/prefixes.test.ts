import { describe, expect, test } from 'vitest';
import '../../../tests/support/allClose.ts';
import { PackedAttention } from '../../models/index.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import { SharedPrefixes } from './prefixes.ts';
import { tinyLlama } from './testing/index.ts';

const range = (length: number, from: number, by = 1): number[] =>
  Array.from({ length }, (_, i) => (from + by * i) % 40);
const system = range(20, 3);

describe('the tree of common beginnings', () => {
  const model = tinyLlama({ vocabulary: 40, positions: 96 });
  const segmentsOf = (sequences: number[][]) =>
    torch.scope(() =>
      new SharedPrefixes(sequences, model).segments.map(({ parent, start, length }) => [parent, start, length]),
    );

  test('computes a system message, prompts and completions once each', () => {
    const prompts = [
      [...system, ...range(17, 5, 3)],
      [...system, ...range(18, 9, 7)],
    ];
    const sequences = prompts.flatMap((prompt, i) => [
      [...prompt, 1 + i, 2, 3],
      [...prompt, 3 + i, 2],
    ]);
    // What is above comes first; what goes on from the same segment is sorted by length.
    expect(segmentsOf(sequences)).toEqual([
      [null, 0, 20],
      [0, 20, 17],
      [0, 20, 18],
      [1, 37, 2],
      [1, 37, 3],
      [2, 38, 2],
      [2, 38, 3],
    ]);
  });

  test('splits nothing where it would save less than it costs', () => {
    expect(segmentsOf([range(8, 1), [...range(4, 1), 30, 31]])).toEqual([
      [null, 0, 6],
      [null, 0, 8],
    ]);
    // Three share four tokens, two of them twenty more: those are worth a segment, from the beginning on.
    const long = range(24, 1);
    expect(
      segmentsOf([
        [...long, 30],
        [...range(4, 1), 35],
        [...long, 31],
      ]),
    ).toEqual([
      [null, 0, 5],
      [null, 0, 24],
      [1, 24, 1],
      [1, 24, 1],
    ]);
  });

  test('computes equal sequences once, and one that is the beginning of another with it', () => {
    const long = range(30, 2);
    expect(segmentsOf([long, long])).toEqual([[null, 0, 30]]);
    expect(segmentsOf([long, long.slice(0, 25)])).toEqual([
      [null, 0, 25],
      [0, 25, 5],
    ]);
    expect(segmentsOf(Array.from({ length: 50 }, () => [7]))).toEqual([[null, 0, 1]]);
  });
});

describe('hidden states and gradients are those of sequences computed apart', () => {
  const sequences = [
    [...system, 7, 8, 9, 1, 2],
    [...system, 7, 8, 9, 4],
    [...range(6, 30), 2],
    [...range(5, 14), 2, 3],
    [...system, 13, 14],
    [...system, 15, 14],
    [...system, 11, 12],
    [...system, 7, 8, 9, 1, 2],
  ];

  test.each([2, 1])('with %i key heads for two query heads', (kvHeads) => {
    using model = tinyLlama({ vocabulary: 40, layers: 2, hidden: 32, positions: 96, kvHeads, dtype: 'float64' });
    const weights = sequences.map((ids, i) =>
      torch.randn([ids.length, 32], { generator: new torch.Generator({ seed: i }), dtype: 'float64' }).keep(),
    );
    const run = (hiddenOf: () => Tensor[]) => {
      model.zeroGrad();
      return torch.scope(() => {
        const hidden = hiddenOf();
        const terms = hidden.map((states, i) => states.mul(weights[i]!).sum()); // scalars
        terms.reduce((sum, term) => sum.add(term)).backward();
        return {
          hidden: hidden.map((states) => states.detach()),
          gradients: [...model.backbone.parameters()].map((parameter) => parameter.grad!),
        };
      });
    };
    const apart = run(() => {
      const hidden = model.forward(
        torch.tensor(sequences.flat(), { dtype: 'int64' }),
        new PackedAttention(sequences.map(({ length }) => length)),
      );
      return hidden.splitWithSizes(sequences.map(({ length }) => length));
    });
    const shared = run(() => {
      const context = new SharedPrefixes(sequences, model);
      // The system message once, 5 + 5 + 4 + 2 + 2 + 2 tokens behind it, and two sequences that begin otherwise.
      expect(context.ids.shape[0]).toBe(20 + 20 + 14);
      const hidden = model.forward(context.ids, context); // [N, D]
      for (const [row, ids] of sequences.entries()) {
        const places = ids.map((_, position) => context.placeOf(row, position));
        const tokens = context.ids.tolist() as number[];
        expect(places.map((place) => tokens[place])).toEqual(ids);
      }
      return sequences.map((_, row) => context.sequence(hidden, row));
    });
    for (const [i, states] of shared.hidden.entries())
      expect(states).toBeCloseToTensor(apart.hidden[i]!, { rtol: 1e-10, atol: 1e-10 });
    for (const [i, gradient] of shared.gradients.entries())
      expect(gradient).toBeCloseToTensor(apart.gradients[i]!, { rtol: 1e-10, atol: 1e-10 });
  });

  test('gather puts back together what sequence takes apart', () => {
    using model = tinyLlama({ vocabulary: 40, positions: 96 });
    torch.scope(() => {
      const context = new SharedPrefixes(sequences, model);
      const values = context.ids.float().add(context.positions.div(100)); // [N]
      const rows = sequences.map((_, row) => context.sequence(values, row));
      expect(context.gather((row) => rows[row]!)).toBeCloseToTensor(values);
    });
  });
});
