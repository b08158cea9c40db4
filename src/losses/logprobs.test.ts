import { describe, expect, it } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import { headLogProbs, throughHead, tokenEntropies, tokenLogProbs } from './index.ts';
import { drawn, expectTrueGradient } from './testing.ts';

const ids = (...values: number[]): Tensor => torch.tensor(values, { dtype: 'int64' });
const TOKENS = ids(3, 0, 4, 4, 1, 2, 0);
const [N, D, V] = [7, 3, 5];
const hidden = drawn(1, [N, D]).keep();
const weight = drawn(2, [V, D]).keep();
const upstream = drawn(3, [N]).keep();

/** The definition, with all logits at once. */
function plain(hidden: Tensor, weight: Tensor, temperature = 1): { logProbs: Tensor; entropies: Tensor } {
  const all = torch.linear(hidden, weight).div(temperature).logSoftmax(-1); // [N, V]
  return { logProbs: all.gather(1, TOKENS.unsqueeze(1)).squeeze(1), entropies: all.exp().mul(all).sum(-1).neg() };
}

describe('log-probabilities of tokens', () => {
  it('are log softmax at the tokens: logits log(1, 2, 5) give log 1/8 and log 5/8', () => {
    const logits = torch
      .tensor(
        [
          [1, 2, 5],
          [1, 2, 5],
        ].flat(),
        { dtype: 'float64' },
      )
      .log()
      .reshape([2, 3]); // [2, 3]
    expect(tokenLogProbs(logits, ids(0, 2))).toBeCloseToTensor([Math.log(1 / 8), Math.log(5 / 8)]);
    // At temperature ½ the odds are squared: 1, 4, 25.
    expect(tokenLogProbs(logits, ids(0, 2), { temperature: 0.5 })).toBeCloseToTensor([
      Math.log(1 / 30),
      Math.log(25 / 30),
    ]);
  });

  it('do not depend on the size of the chunks', () => {
    const logits = torch.linear(hidden, weight); // [N, V]
    for (const chunkRows of [1, 3, 7, 100]) {
      expect(tokenLogProbs(logits, TOKENS, { chunkRows })).toBeCloseToTensor(plain(hidden, weight).logProbs);
    }
  });

  it('are float32 for bfloat16 logits, computed in float32', () => {
    const logits = torch.linear(hidden, weight).to('bfloat16'); // [N, V]
    const all = logits.float().logSoftmax(-1); // [N, V]
    expect(tokenLogProbs(logits, TOKENS)).toBeCloseToTensor(all.gather(1, TOKENS.unsqueeze(1)).squeeze(1));
  });

  it('survive logits that differ by thousands', () => {
    const logits = torch.tensor([5000, 0, -5000]).unsqueeze(0); // [1, 3]
    expect(tokenLogProbs(logits, ids(0)).tolist()).toEqual([0]);
    expect(tokenLogProbs(logits, ids(2)).tolist()).toEqual([-10000]);
    expect(tokenEntropies(logits)).toBeCloseToTensor([0]);
  });

  it.each([0, -1, Number.NaN])('refuse temperature %s', (temperature) => {
    expect(() => tokenLogProbs(torch.zeros([1, 2]), ids(0), { temperature })).toThrow(/positive number/);
  });
});

describe('entropies', () => {
  it('of four equal logits are log 4, and forbidden tokens add nothing', () => {
    const logits = torch.tensor([0, 0, 0, 0, Number.NEGATIVE_INFINITY], { dtype: 'float64' }).unsqueeze(0); // [1, 5]
    expect(tokenEntropies(logits)).toBeCloseToTensor([Math.log(4)]);
  });

  it('have gradients also where tokens are forbidden', () => {
    const logits = torch.tensor([0.3, -0.2, Number.NEGATIVE_INFINITY], { dtype: 'float64', requiresGrad: true }); // [3]
    const [gradient] = torch.grad(tokenEntropies(logits.unsqueeze(0)).sum(), [logits]);
    const p = 1 / (1 + Math.exp(-0.5));
    // dH/dlogit_i = -p_i (log p_i + H); with two tokens p (1 - p) log((1 - p) / p).
    const slope = p * (1 - p) * Math.log((1 - p) / p);
    expect(gradient).toBeCloseToTensor([slope, -slope, 0]);
  });
});

describe('log-probabilities through the head', () => {
  for (const chunkRows of [1, 3, 100]) {
    for (const temperature of [1, 0.7]) {
      const options = { chunkRows, temperature, entropy: 'gradient' } as const;
      const name = `chunks of ${chunkRows} at temperature ${temperature}`;

      it(`frozen head, ${name}: values and gradients as with all logits at once`, () => {
        const [a, b] = [hidden.clone().requiresGrad_(), hidden.clone().requiresGrad_()]; // [N, D]
        const expected = plain(a, weight, temperature);
        const found = headLogProbs(b, weight, TOKENS, options);
        expect(found.logProbs).toBeCloseToTensor(expected.logProbs);
        expect(found.entropies).toBeCloseToTensor(expected.entropies);
        const loss = (values: typeof expected): Tensor =>
          values.logProbs.exp().mul(upstream).sum().add(values.entropies.square().mul(upstream).sum()); // scalar
        const [want] = torch.grad(loss(expected), [a]);
        const [got] = torch.grad(loss({ logProbs: found.logProbs, entropies: found.entropies! }), [b]);
        expect(got).toBeCloseToTensor(want);
      });

      it(`learning head, ${name}: gradients of both as with all logits at once`, () => {
        const [a, b] = [hidden.clone().requiresGrad_(), hidden.clone().requiresGrad_()]; // [N, D]
        const [v, w] = [weight.clone().requiresGrad_(), weight.clone().requiresGrad_()]; // [V, D]
        const loss = (values: { logProbs: Tensor; entropies: Tensor | null }): Tensor =>
          values.logProbs.exp().mul(upstream).sum().add(values.entropies!.square().mul(upstream).sum()); // scalar
        const expected = loss(plain(a, v, temperature));
        const found = throughHead(b, w, TOKENS, options, loss);
        expect(found).toBeCloseToTensor(expected);
        const want = torch.grad(expected.mul(3), [a, v]);
        const got = torch.grad(found.mul(3), [b, w]);
        for (const i of [0, 1] as const) expect(got[i]).toBeCloseToTensor(want[i]);
      });
    }
  }

  it('a learning head through headLogProbs is an ordinary graph', () => {
    const [a, v] = [hidden.clone().requiresGrad_(), weight.clone().requiresGrad_()]; // [N, D], [V, D]
    const want = torch.grad(plain(a, v).logProbs.mul(upstream).sum(), [a, v]);
    const got = torch.grad(headLogProbs(a, v, TOKENS, { chunkRows: 2 }).logProbs.mul(upstream).sum(), [a, v]);
    for (const i of [0, 1] as const) expect(got[i]).toBeCloseToTensor(want[i]);
  });

  it('equals finite differences', () => {
    expectTrueGradient(
      (h) => headLogProbs(h, weight, TOKENS, { chunkRows: 3 }).logProbs.exp().mul(upstream).sum(),
      [hidden],
    );
    expectTrueGradient(
      (h, w) => throughHead(h, w, TOKENS, { chunkRows: 3 }, ({ logProbs }) => logProbs.exp().mul(upstream).sum()),
      [hidden, weight],
    );
  });

  it('values alone: no graph, and the entropy only where asked for', () => {
    const found = torch.noGrad(() => headLogProbs(hidden, weight, TOKENS, { entropy: 'value' }));
    expect(found.logProbs.requiresGrad).toBe(false);
    expect(found.entropies).toBeCloseToTensor(plain(hidden, weight).entropies);
    expect(headLogProbs(hidden, weight, TOKENS).entropies).toBeNull();
  });

  it("the entropy's value has no gradient, and costs the log-probabilities nothing of theirs", () => {
    const h = hidden.clone().requiresGrad_(); // [N, D]
    const found = headLogProbs(h, weight, TOKENS, { entropy: 'value', chunkRows: 2 });
    expect(found.entropies!.requiresGrad).toBe(false);
    const learning = headLogProbs(h, weight.clone().requiresGrad_(), TOKENS, { entropy: 'value' });
    expect([learning.logProbs.requiresGrad, learning.entropies!.requiresGrad]).toEqual([true, false]);
    expect(torch.grad(found.logProbs.sum(), [h])[0]).toBeCloseToTensor(
      torch.grad(plain(h, weight).logProbs.sum(), [h])[0],
    );
  });

  it('the graph holds neither logits nor the head: both may change before the backward pass', () => {
    const h = hidden.clone().requiresGrad_(); // [N, D]
    const w = weight.clone(); // [V, D]
    const [want] = torch.grad(plain(h, w).logProbs.mul(upstream).sum(), [h]);
    const before = torch.memory().tensors;
    const { logProbs } = headLogProbs(h, w, TOKENS, { chunkRows: 2 });
    expect(torch.memory().tensors - before).toBe(1);
    w.zero_();
    expect(torch.grad(logProbs.mul(upstream).sum(), [h])[0]).toBeCloseToTensor(want);
  });

  it('trains a bfloat16 head: gradients have the dtypes of what they belong to', () => {
    const h = hidden.to('bfloat16').requiresGrad_(); // [N, D]
    const w = weight.to('bfloat16').requiresGrad_(); // [V, D]
    const [dh, dw] = torch.grad(
      throughHead(h, w, TOKENS, { chunkRows: 3 }, ({ logProbs }) => logProbs.sum()),
      [h, w],
    );
    expect([dh.dtype, dw.dtype]).toEqual(['bfloat16', 'bfloat16']);
    const exact = [h, w].map((x) => x.detach().double().requiresGrad_()); // [N, D], [V, D]
    const want = torch.grad(plain(exact[0]!, exact[1]!).logProbs.sum(), exact);
    expect(dh.double().sub(want[0]!).abs().max().item()).toBeLessThan(0.02);
    expect(dw.double().sub(want[1]!).abs().max().item()).toBeLessThan(0.04);
  });
});
