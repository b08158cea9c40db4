import { beforeEach, describe, expect, it } from 'vitest';
import '../../tests/support/allClose.ts';
import { type Tensor, torch } from '../tensor/index.ts';
import * as init from './init.ts';

/** Compares the first elements with what torch.nn.init of PyTorch 2.13.0 draws under the same seed. */
const expectStart = (tensor: Tensor, expected: readonly number[]): void =>
  expect(tensor.flatten().narrow(0, 0, expected.length)).toBeCloseToTensor(expected);

describe('init', () => {
  beforeEach(() => torch.manualSeed(2));
  const empty = (...shape: number[]): Tensor => torch.empty(shape);

  it('draws the numbers that PyTorch draws', () => {
    expectStart(
      init.xavierUniform_(empty(2, 3), { gain: 2 }),
      [0.5025687, -0.5213755, 0.600805, -0.1119059, 0.9359214, 0.5215913],
    );
  });

  it.each<[string, () => Tensor, number[]]>([
    ['xavierNormal_', () => init.xavierNormal_(empty(2, 3)), [0.2481103, -0.1413943, -0.2020697, -0.7621324]],
    [
      'kaimingUniform_, fan out',
      () => init.kaimingUniform_(empty(2, 3), { a: 0.1, mode: 'fanOut' }),
      [0.3953436, -0.410138, 0.4726208, -0.08803036],
    ],
    [
      'kaimingUniform_, ReLU',
      () => init.kaimingUniform_(empty(2, 3), { nonlinearity: 'relu' }),
      [0.3244067, -0.3365465, 0.3878179, -0.07223497],
    ],
    ['a kernel', () => init.kaimingUniform_(empty(2, 3, 2)), [0.2293901, -0.2379743, 0.2742287, -0.05107784]],
    [
      'truncNormal_, most of the mass',
      () => init.truncNormal_(empty(4, 8), { std: 1.5 }),
      [-1.561202, 1.374906, -1.956286, -1.664518, -1.828167, 1.751389],
    ],
    [
      'truncNormal_, a tail',
      () => init.truncNormal_(empty(4, 8), { low: 1, high: 2, std: 0.5 }),
      [1.013947, 1.050383, 1.183327, 1.030974, 1.381414, 1.228977],
    ],
    [
      'normal_, own generator',
      () => init.normal_(empty(2, 3), 1, 0.5, { generator: new torch.Generator({ seed: 7 }) }),
      [0.9266024, 1.393071, 1.473411, 0.442828],
    ],
  ])('%s', (_, draw, expected) => expectStart(draw(), expected));

  it('fills with constants', () => {
    expect(init.zeros_(empty(2)).tolist()).toEqual([0, 0]);
    expect(init.ones_(empty(2)).tolist()).toEqual([1, 1]);
    expect(init.constant_(empty(2), 0.5).tolist()).toEqual([0.5, 0.5]);
  });

  it('may change a tensor that requires a gradient, and records nothing', () => {
    const weight = torch.zeros([2, 2], { requiresGrad: true });
    expect(init.ones_(weight)).toBe(weight);
    expect(weight.isLeaf).toBe(true);
  });

  it('keeps truncated values inside their interval in every float type', () => {
    for (const dtype of ['float32', 'bfloat16', 'float64'] as const) {
      const values = init
        .truncNormal_(torch.empty([1000], { dtype }), { std: 2, low: -1.1, high: 1.1 })
        .float()
        .abs();
      expect(values.max().item()).toBeLessThanOrEqual(1.11);
    }
  });

  it('knows the gains', () => {
    expect(init.calculateGain('tanh')).toBe(5 / 3);
    expect(init.calculateGain('leakyRelu')).toBeCloseTo(1.4141428569978354, 15);
    expect(init.calculateGain('relu')).toBe(Math.SQRT2);
  });

  it('refuses what has no meaning', () => {
    expect(() => init.xavierNormal_(empty(3))).toThrow(/two or more dimensions/);
    expect(() => init.truncNormal_(empty(3), { std: -1 })).toThrow(/std -1/);
  });
});
