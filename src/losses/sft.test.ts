import { describe, expect, it } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import { crossEntropy, linearCrossEntropy } from './index.ts';
import { drawn } from './testing.ts';

const ids = (...values: number[]): Tensor => torch.tensor(values, { dtype: 'int64' });
const TARGETS = ids(3, 0, 4, 4, 1, 2, 0);
const hidden = drawn(1, [7, 3]).keep();
const weight = drawn(2, [5, 3]).keep();

describe('cross-entropy', () => {
  it("is PyTorch's, unreduced", () => {
    const logits = torch.linear(hidden, weight); // [7, 5]
    expect(crossEntropy(logits, TARGETS, { chunkRows: 2 })).toBeCloseToTensor(
      torch.crossEntropyLoss(logits, TARGETS, { reduction: 0 }),
    );
  });

  it('of equal logits is log V', () => {
    expect(crossEntropy(torch.zeros([2, 8]), ids(0, 7))).toBeCloseToTensor([Math.log(8), Math.log(8)]);
  });
});

describe('head and cross-entropy in one', () => {
  const weights = drawn(3, [7]).keep();

  for (const chunkRows of [1, 3, 100]) {
    for (const head of ['frozen', 'learning'] as const) {
      for (const weighted of [false, true]) {
        it(`${head} head, ${weighted ? 'weighted ' : ''}chunks of ${chunkRows}: as with all logits at once`, () => {
          const [a, b] = [hidden.clone().requiresGrad_(), hidden.clone().requiresGrad_()]; // [7, 3]
          const [v, w] = [weight.clone(), weight.clone()]; // [5, 3]
          if (head === 'learning') for (const x of [v, w]) x.requiresGrad_();
          const losses = torch.crossEntropyLoss(torch.linear(a, v), TARGETS, { reduction: 0 }); // [7]
          const expected = (weighted ? losses.mul(weights) : losses).sum(); // scalar
          const found = linearCrossEntropy(b, w, TARGETS, { chunkRows, ...(weighted ? { weights } : {}) });
          expect(found.sum).toBeCloseToTensor(expected);
          expect(found.losses).toBeCloseToTensor(losses.detach());
          // As a trainer does: divided by the tokens of the whole batch, times a scale.
          const inputs =
            head === 'learning'
              ? [
                  [a, v],
                  [b, w],
                ]
              : [[a], [b]];
          const want = torch.grad(expected.div(20).mul(3), inputs[0]!);
          const got = torch.grad(found.sum.div(20).mul(3), inputs[1]!);
          for (const [i, gradient] of got.entries()) expect(gradient).toBeCloseToTensor(want[i]!);
        });
      }
    }
  }

  it('says which targets were the likeliest', () => {
    const { correct } = linearCrossEntropy(torch.eye(3), torch.eye(3), ids(0, 2, 2));
    expect(correct.tolist()).toEqual([true, false, true]);
  });

  it('computes values only where nothing is to be learned', () => {
    const { sum } = torch.noGrad(() => linearCrossEntropy(hidden, weight, TARGETS, { chunkRows: 2 }));
    expect(sum.requiresGrad).toBe(false);
    expect(sum).toBeCloseToTensor(torch.crossEntropyLoss(torch.linear(hidden, weight), TARGETS, { reduction: 2 }));
  });

  it('adds up micro-batches to the same gradient as one batch: the count is global', () => {
    const one = weight.clone().requiresGrad_(); // [5, 3]
    const two = weight.clone().requiresGrad_(); // [5, 3]
    linearCrossEntropy(hidden, one, TARGETS).sum.div(7).backward();
    for (const [start, count] of [
      [0, 2],
      [2, 5],
    ] as const) {
      linearCrossEntropy(hidden.narrow(0, start, count), two, TARGETS.narrow(0, start, count))
        .sum.div(7)
        .backward();
    }
    expect(two.grad!).toBeCloseToTensor(one.grad!);
  });

  it('leaves nothing behind but what it returns', () => {
    const h = hidden.clone().requiresGrad_(); // [7, 3]
    const before = torch.memory().tensors;
    const found = linearCrossEntropy(h, weight, TARGETS, { chunkRows: 2 });
    expect(torch.memory().tensors - before).toBe(3);
    found.sum.backward();
  });
});
