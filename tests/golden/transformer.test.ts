/** A transformer trained here and in Python's PyTorch follows the same curve. */
import { expect, test } from 'vitest';
import { torch } from '../../src/tensor/index.ts';
import { loadCases } from './load.ts';
import { type Point, train } from './transformer.ts';

test('50 steps of training follow the loss of PyTorch within 1e-5', () => {
  const golden = loadCases<Point>('transformer');
  const before = torch.memory().tensors;
  const curve = train();
  expect(torch.memory().tensors).toBe(before);
  const series = (points: Point[], of: keyof Point) => points.map((point) => point[of]);
  const measured = (of: keyof Point) => torch.tensor(series(curve, of), { dtype: 'float64' });
  // Between AVX-512, AVX2 and plain builds of PyTorch the losses differ by 5e-7 at most.
  expect(measured('loss')).toBeCloseToTensor(series(golden, 'loss'), { rtol: 0, atol: 1e-5 });
  expect(measured('norm')).toBeCloseToTensor(series(golden, 'norm'), { rtol: 1e-4, atol: 0 });
  expect(measured('lr')).toBeCloseToTensor(series(golden, 'lr'), { rtol: 1e-12, atol: 0 });
  expect(curve.at(-1)!.loss).toBeLessThan(0.05 * curve[0]!.loss);
});
