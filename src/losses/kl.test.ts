import { describe, expect, it } from 'vitest';
import { torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import { AdaptiveKlController, FixedKlController, KL_ESTIMATORS, k1, k2, k3 } from './index.ts';
import { double, drawn, expectTrueGradient } from './testing.ts';

describe('KL estimators', () => {
  it('π = .5, ref = .4: .223144, .024897, .023144', () => {
    const [logProbs, refLogProbs] = [double([0.5]).log(), double([0.4]).log()];
    expect(k1(logProbs, refLogProbs).item()).toBeCloseTo(0.223144, 6);
    expect(k2(logProbs, refLogProbs).item()).toBeCloseTo(0.024897, 6);
    expect(k3(logProbs, refLogProbs).item()).toBeCloseTo(0.023144, 6);
  });

  const ref = double([0.4, 0.3, 0.2, 0.1]);
  const theta = double([0.3, -0.2, 0.5, 0.1]);
  const pi = theta.softmax(-1);
  const exact = pi.mul(pi.log().sub(ref.log())).sum().item();

  it('k1 and k3 are unbiased: their mean under π is KL(π || ref)', () => {
    for (const estimator of [k1, k3]) {
      expect(pi.mul(estimator(pi.log(), ref.log())).sum().item()).toBeCloseTo(exact, 12);
    }
  });

  // The gradient that a loss has in expectation: samples come from π, and only log π is differentiated.
  const expectedGradient = (estimator: typeof k1) => {
    const leaf = theta.clone().requiresGrad_();
    const logProbs = leaf.logSoftmax(-1);
    return torch.grad(pi.detach().mul(estimator(logProbs, ref.log())).sum(), [leaf])[0];
  };

  it('as a loss k1 has no gradient', () => {
    expect(expectedGradient(k1).abs().max().item()).toBeLessThan(1e-15);
  });

  it('as a loss k2 has the gradient of KL(π || ref)', () => {
    const leaf = theta.clone().requiresGrad_();
    const logProbs = leaf.logSoftmax(-1);
    const [want] = torch.grad(logProbs.exp().mul(logProbs.sub(ref.log())).sum(), [leaf]);
    expect(expectedGradient(k2)).toBeCloseToTensor(want);
  });

  it('as a loss k3 has the gradient of KL(ref || π), which is π - ref', () => {
    expect(expectedGradient(k3)).toBeCloseToTensor(pi.sub(ref));
  });

  it.each(['k1', 'k2', 'k3'] as const)('%s equals finite differences', (name) => {
    expectTrueGradient(
      (x, y) =>
        KL_ESTIMATORS[name](x, y)
          .mul(double([1, 2, 3]))
          .sum(),
      [drawn(1, [3]), drawn(2, [3])],
    );
  });

  it('k3 is exact for tiny differences, where e^u - 1 - u would round to nothing', () => {
    const u = 1e-6;
    expect(k3(double([0]), double([u])).item()).toBeCloseTo(u ** 2 / 2, 17);
  });
});

describe('KL controllers', () => {
  it('adaptive, β .15, 512 episodes, KL 12 then 5: .151536, .1502429', () => {
    const controller = new AdaptiveKlController({ coef: 0.15 });
    controller.update(12, 512);
    expect(controller.coef).toBeCloseTo(0.151536, 9);
    controller.update(5, 512);
    expect(controller.coef).toBeCloseTo(0.1502429, 7);
  });

  it('moves by a fifth of n / horizon at most, both ways', () => {
    for (const [kl, factor] of [
      [1000, 1.02],
      [0, 0.98],
    ] as const) {
      const controller = new AdaptiveKlController({ coef: 1, target: 6, horizon: 1000 });
      controller.update(kl, 100);
      expect(controller.coef).toBeCloseTo(factor, 12);
    }
  });

  it('goes on from its state', () => {
    const first = new AdaptiveKlController({ coef: 0.15 });
    first.update(12, 512);
    const second = new AdaptiveKlController({ coef: 1 });
    second.restore(JSON.parse(JSON.stringify(first.state())));
    expect(second.coef).toBe(first.coef);
  });

  it('fixed stays', () => {
    const controller = new FixedKlController(0.05);
    controller.update(100, 512);
    expect(controller.coef).toBe(0.05);
    expect(new FixedKlController(0).coef).toBe(0);
  });

  it('refuses coefficients that no update could mend', () => {
    expect(() => new AdaptiveKlController({ coef: 0 })).toThrow(/above 0/);
    expect(() => new AdaptiveKlController({ coef: 0.1, target: -1 })).toThrow(/klTarget/);
    expect(() => new FixedKlController(Number.NaN)).toThrow(/0 or more/);
  });
});
