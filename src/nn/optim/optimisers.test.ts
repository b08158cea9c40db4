import { describe, expect, it } from 'vitest';
import '../../../tests/support/allClose.ts';
import { type DType, type Tensor, torch } from '../../tensor/index.ts';
import { Linear } from '../layers/linear.ts';
import { type Parameter, parameter } from '../parameter.ts';
import { AdamW } from './adamw.ts';
import { SGD } from './sgd.ts';
import type { Optimizer, OptimizerState } from './state.ts';

const weight = (values: number[], dtype: DType = 'float32'): Parameter => parameter(torch.tensor(values, { dtype }));

/** Takes steps under a constant gradient. */
function descend(optimizer: Optimizer, parameters: readonly Parameter[], gradient: number, steps: number): void {
  for (let step = 0; step < steps; step++) {
    for (const tensor of parameters) tensor.grad = torch.fullLike(tensor, gradient, { dtype: tensor.dtype }).detach();
    optimizer.step();
  }
}

describe('AdamW', () => {
  it('moves by lr · sign(g) under a constant gradient, whatever its size', () => {
    // m / (1 - β₁ᵗ) = g and v / (1 - β₂ᵗ) = g², so that every step is lr · g / (|g| + ε).
    for (const gradient of [0.5, -3]) {
      const w = weight([1, 2]);
      descend(new AdamW([w], { lr: 0.01, weightDecay: 0 }), [w], gradient, 10);
      expect(w).toBeCloseToTensor([1 - 0.1 * Math.sign(gradient), 2 - 0.1 * Math.sign(gradient)]);
    }
  });

  it('decays weights apart from the gradient', () => {
    const w = weight([1, -2]);
    descend(new AdamW([w], { lr: 0.1, weightDecay: 0.5 }), [w], 0, 2);
    expect(w).toBeCloseToTensor([0.95 ** 2, -2 * 0.95 ** 2]);
  });

  it('damps small gradients by eps', () => {
    const w = weight([0]);
    descend(new AdamW([w], { lr: 1, eps: 1e-2, weightDecay: 0 }), [w], 1e-2, 1);
    expect(w).toBeCloseToTensor([-0.5]);
  });

  it('gives each group its own numbers, changeable between steps', () => {
    const [a, b] = [weight([0]), weight([0])];
    const optimizer = new AdamW([{ parameters: [a], lr: 1 }, { parameters: [b] }], { lr: 0.1, weightDecay: 0 });
    descend(optimizer, [a, b], 1, 1);
    optimizer.groups[1]!.lr = 10;
    descend(optimizer, [a, b], 1, 1);
    expect(a).toBeCloseToTensor([-2]);
    expect(b).toBeCloseToTensor([-10.1]);
  });

  it('leaves parameters without a gradient alone, and counts their steps apart', () => {
    const [a, b] = [weight([1]), weight([1])];
    const optimizer = new AdamW([a, b], { lr: 0.1 });
    descend(optimizer, [a], 1, 2);
    expect(b.item()).toBe(1);
    expect(optimizer.stateDict().steps).toEqual({ 0: 2 });
    a.grad = null;
    descend(optimizer, [b], 1, 1);
    // A first step, in spite of the two before it: corrected as t = 1.
    expect(b).toBeCloseToTensor([1 - 0.1 * 0.01 - 0.1]);
  });

  it('updates weights that are stored transposed', () => {
    const w = parameter(torch.zeros([2, 3]).t());
    w.mul(
      torch.tensor([
        [1, -1],
        [1, -1],
        [-1, 1],
      ]),
    )
      .sum()
      .backward();
    new AdamW([w], { lr: 1, weightDecay: 0 }).step();
    expect(w).toBeCloseToTensor([
      [-1, 1],
      [-1, 1],
      [1, -1],
    ]);
  });

  it.each(['float64', 'float16'] as const)('trains %s weights', (dtype) => {
    const w = weight([1], dtype);
    descend(new AdamW([w], { lr: 0.25, eps: 0, weightDecay: 0 }), [w], 1, 2);
    expect(w).toBeCloseToTensor([0.5]);
  });

  it('refuses senseless options, at once and at the next step', () => {
    const w = weight([1]);
    expect(() => new AdamW([w], { lr: -1 })).toThrow(/groups\[0\]\.lr/);
    expect(() => new AdamW([w], { betas: [0.9, 1] })).toThrow(/betas\[1\][\s\S]*0 <= value < 1/);
    expect(() => new AdamW([])).toThrow(/at least one parameter/);
    expect(() => new AdamW([w, w])).toThrow(/twice/);
    expect(() => new AdamW([torch.ones([1]) as Parameter])).toThrow(/parameter\(tensor\)/);
    const optimizer = new AdamW([w]);
    optimizer.groups[0]!.lr = Number.NaN;
    expect(() => descend(optimizer, [w], 1, 1)).toThrow(/received: NaN/);
  });
});

describe('SGD', () => {
  it('steps along the gradient', () => {
    const w = weight([1]);
    descend(new SGD([w], { lr: 0.1 }), [w], 2, 3);
    expect(w).toBeCloseToTensor([0.4]);
  });

  it('adds the penalty to the gradient', () => {
    const w = weight([2]);
    descend(new SGD([w], { lr: 0.1, weightDecay: 0.5 }), [w], 1, 1);
    expect(w).toBeCloseToTensor([1.8]);
  });

  it.each([
    // b: 1, 1.5, 1.75
    ['momentum', { momentum: 0.5 }, -(1 + 1.5 + 1.75)],
    // b: 1 (undamped), .5 + .5 = 1, .5 + .5 = 1
    ['momentum with dampening', { momentum: 0.5, dampening: 0.5 }, -(1 + 1 + 1)],
    // g + b/2: 1.5, 1.75, 1.875
    ['Nesterov', { momentum: 0.5, nesterov: true }, -(1.5 + 1.75 + 1.875)],
  ])('%s', (_, options, expected) => {
    const w = weight([0]);
    descend(new SGD([w], { lr: 1, ...options }), [w], 1, 3);
    expect(w).toBeCloseToTensor([expected]);
  });

  it('remembers nothing without momentum', () => {
    const w = weight([1]);
    const optimizer = new SGD([w], { lr: 1 });
    descend(optimizer, [w], 1, 1);
    expect(optimizer.stateDict().tensors.size).toBe(0);
  });

  it('refuses Nesterov without momentum', () => {
    expect(() => new SGD([weight([1])], { nesterov: true })).toThrow(/Nesterov/);
  });
});

describe('16-bit weights', () => {
  const move = (masterWeights: boolean): number => {
    const w = weight([1], 'bfloat16');
    using optimizer = new AdamW([w], { lr: 1e-5, weightDecay: 0, masterWeights });
    descend(optimizer, [w], 1, 1000);
    return w.item();
  };

  it('move by steps far below their last bit, thanks to the master copy', () => {
    // 1000 steps of 1e-5 end at .99; bfloat16 has .98828125 and .9921875 around it, .98828125 nearer.
    expect(move(true)).toBe(0.98828125);
    expect(move(false)).toBe(1);
  });

  it('keep moments and master in float32', () => {
    const w = weight([1, 2], 'bfloat16');
    using optimizer = new AdamW([w]);
    descend(optimizer, [w], 1, 1);
    const { tensors } = optimizer.stateDict();
    expect([...tensors].map(([name, { dtype }]) => `${name} ${dtype}`).sort()).toEqual([
      '0.exp_avg float32',
      '0.exp_avg_sq float32',
      '0.master float32',
    ]);
  });

  it('may be written from outside between steps: the weights are the truth', () => {
    const w = weight([1], 'bfloat16');
    using optimizer = new AdamW([w], { lr: 0.125, weightDecay: 0 });
    descend(optimizer, [w], 1, 1);
    expect(w.item()).toBe(0.875);
    torch.noGrad(() => w.fill_(4));
    descend(optimizer, [w], 1, 1);
    expect(w.item()).toBe(3.875);
  });
});

describe('saving and resuming', () => {
  /** A regression with fixed data; gradients depend on the weights, so that every bit of the state matters. */
  function setUp(dtype: DType): { model: Linear; loss: () => Tensor } {
    const generator = new torch.Generator({ seed: 3 });
    const model = new Linear(8, 4, { dtype, generator });
    const x = torch.randn([16, 8], { generator, dtype }).keep(); // [B, in]
    const y = torch.randn([16, 4], { generator, dtype }).keep(); // [B, out]
    return { model, loss: () => model.forward(x).sub(y).pow(2).mean() };
  }

  function train(optimizer: Optimizer, loss: () => Tensor, steps: number): void {
    for (let step = 0; step < steps; step++) {
      torch.scope(() => loss().backward());
      optimizer.step();
      optimizer.zeroGrad();
    }
  }

  /** Through bytes and JSON, as a checkpoint does it. */
  function throughFile({ tensors, ...rest }: OptimizerState): OptimizerState {
    const copies = [...tensors].map(([name, tensor]): [string, Tensor] => [
      name,
      torch.fromBytes(tensor.bytes(), tensor.shape, tensor.dtype),
    ]);
    return { ...(JSON.parse(JSON.stringify(rest)) as typeof rest), tensors: new Map(copies) };
  }

  const optimisers: [string, (model: Linear) => Optimizer][] = [
    ['AdamW', (model) => new AdamW(model.namedParameters(), { lr: 0.01 })],
    ['SGD', (model) => new SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })],
  ];
  const dtypes: DType[] = ['float32', 'bfloat16'];
  const cases = optimisers.flatMap(([name, make]) => dtypes.map((dtype) => ({ name, make, dtype })));

  it.each(cases)('$name, $dtype: 10 + 10 steps are 20, bit for bit', ({ make, dtype }) => {
    const straight = setUp(dtype);
    train(make(straight.model), straight.loss, 20);

    const first = setUp(dtype);
    const before = make(first.model);
    train(before, first.loss, 10);
    const second = setUp(dtype);
    const after = make(second.model);
    // The optimiser first: the order must not matter.
    after.loadStateDict(throughFile(before.stateDict()));
    second.model.loadStateDict(first.model.stateDict());
    train(after, second.loss, 10);

    expect(second.model.weight.bytes()).toEqual(straight.model.weight.bytes());
    expect(second.model.bias!.bytes()).toEqual(straight.model.bias!.bytes());
  });

  it('restores the options of the groups', () => {
    const { model, loss } = setUp('float32');
    const optimizer = new AdamW(model.namedParameters(), { lr: 0.5, betas: [0.8, 0.9] });
    train(optimizer, loss, 1);
    const other = new AdamW(model.namedParameters());
    other.loadStateDict(throughFile(optimizer.stateDict()));
    expect(other.groups[0]).toMatchObject({ lr: 0.5, betas: [0.8, 0.9] });
    expect(other.stateDict().steps).toEqual({ weight: 1, bias: 1 });
  });

  it('refuses the state of another optimiser, other parameters or other shapes', () => {
    const { model, loss } = setUp('float32');
    const optimizer = new AdamW(model.namedParameters());
    train(optimizer, loss, 1);
    const state = optimizer.stateDict();
    expect(() => new SGD(model.namedParameters()).loadStateDict(state)).toThrow(/expected: SGD[\s\S]*received: AdamW/);
    expect(() => new AdamW(model.parameters()).loadStateDict(state)).toThrow(/\[0, 1\][\s\S]*\[weight, bias\]/);
    const wider = new Linear(9, 4);
    expect(() => new AdamW(wider.namedParameters()).loadStateDict(state)).toThrow(/weight\.exp_avg[\s\S]*\[4,9\]/);
    const incomplete = { ...state, tensors: new Map([...state.tensors].filter(([name]) => name !== 'bias.exp_avg')) };
    expect(() => optimizer.loadStateDict(incomplete)).toThrow(/bias\.exp_avg/);
  });
});

describe('memory', () => {
  it('is freed with the optimiser; parameters stay', () => {
    const w = weight([1, 2, 3], 'bfloat16');
    const before = torch.memory().tensors;
    torch.scope(() => {
      const optimizer = new AdamW([w]);
      descend(optimizer, [w], 1, 3);
      optimizer.zeroGrad();
      expect(w.grad).toBeNull();
      optimizer.dispose();
      optimizer.dispose();
    });
    expect(torch.memory().tensors).toBe(before);
    expect(w.isDisposed).toBe(false);
  });
});
