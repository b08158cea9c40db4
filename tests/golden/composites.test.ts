/** Functions composed of operators against Python's PyTorch: their values and the gradient of every input. */
import { expect, test } from 'vitest';
import { type Tensor, torch } from '../../src/tensor/index.ts';
import type { Tolerance } from '../support/allClose.ts';
import { composites } from './composites/index.ts';
import { camelCase, decodeTensor, type EncodedTensor, expectGolden, loadCases } from './load.ts';

interface CompositeCase {
  /** Python's. */
  name: string;
  inputs: Record<string, EncodedTensor>;
  /** The inputs that require a gradient. */
  leaves: string[];
  out: EncodedTensor[];
  /** Whether each output requires a gradient. */
  differentiable: boolean[];
  /** The gradients of those that do. */
  weights?: EncodedTensor[];
  gradients?: Record<string, EncodedTensor>;
}

/** Up to some thirty operations forward and as many backward: a few more roundings than the single operator that the default is for. */
const ROUNDINGS: Record<string, Tolerance> = {
  float32: { rtol: 1e-5, atol: 1e-5 },
  float64: { rtol: 1e-11, atol: 1e-11 },
  bfloat16: { ulps: 1 },
};

const cases = loadCases<CompositeCase>('composites');

test.each(cases)('$name', (golden) => {
  torch.scope(() => {
    const inputs = Object.fromEntries(
      Object.entries(golden.inputs).map(([name, tensor]) => [camelCase(name), decodeTensor(tensor)]),
    );
    const leaves = golden.leaves.map((leaf) => inputs[camelCase(leaf)]!.requiresGrad_());
    const composite = composites[camelCase(golden.name)];
    if (composite === undefined) throw new TypeError(`composites/ has no ${camelCase(golden.name)}`);
    const outputs = [composite(inputs)].flat();
    expect(outputs).toHaveLength(golden.out.length);
    for (const [i, output] of outputs.entries()) expectClose(output, golden.out[i]!);
    expect(outputs.map(({ requiresGrad }) => requiresGrad)).toEqual(golden.differentiable);
    if (golden.weights === undefined) return;
    const gradients = torch.grad(
      outputs.filter(({ requiresGrad }) => requiresGrad),
      leaves,
      { gradOutputs: golden.weights.map(decodeTensor) },
    );
    for (const [i, leaf] of golden.leaves.entries()) expectClose(gradients[i]!, golden.gradients![leaf]!);
  });
});

test('both sides have the same composites, at least 30', () => {
  expect(Object.keys(composites).sort()).toEqual(cases.map(({ name }) => camelCase(name)).sort());
  expect(cases.length).toBeGreaterThanOrEqual(30);
});

function expectClose(received: Tensor, golden: EncodedTensor): void {
  expectGolden(received, golden, ROUNDINGS[golden.tensor] ?? {});
}
