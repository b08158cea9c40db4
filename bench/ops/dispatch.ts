/** Small tensors: what a call costs when there is next to nothing to compute. */

import { Linear } from '../../src/nn/index.ts';
import { torch } from '../../src/tensor/index.ts';
import { type Body, type Case, type Group, timed } from '../case.ts';
import { CALLS_A_SCOPE, free, inCppAlone, inScopes, ones } from './bodies.ts';

export const microseconds = (seconds: number): number => seconds * 1e6;

type CallCase = Pick<Case, 'name' | 'nudge' | 'peer'> & { alone: Parameters<typeof inCppAlone>[0] };

export function callCase({ name, nudge, peer, alone }: CallCase): Case {
  return {
    name,
    metric: 'time a call',
    unit: 'us',
    better: 'lower',
    value: microseconds,
    nudge,
    ...(peer && { peer }),
    limit: { body: inCppAlone(alone), value: microseconds },
  };
}

const add = callCase({
  name: 'add 4x4',
  nudge: () => {
    const [a, b] = [ones([4, 4]), ones([4, 4])];
    return inScopes(() => {
      for (let i = 0; i < CALLS_A_SCOPE; i++) a.add(b);
    }, [a, b]);
  },
  peer: { work: 'add', arguments: { size: [4, 4] } },
  alone: () => {
    const [a, b] = [ones([4, 4]), ones([4, 4])];
    return { calls: [['aten::add.Tensor', a.handle, b.handle]], inputs: [a, b] };
  },
});

const multiply = callCase({
  name: 'mul 4x4 by a number',
  nudge: () => {
    const a = ones([4, 4]);
    return inScopes(() => {
      for (let i = 0; i < CALLS_A_SCOPE; i++) a.mul(2);
    }, [a]);
  },
  peer: { work: 'multiply_by_number', arguments: { size: [4, 4] } },
  alone: () => {
    const a = ones([4, 4]);
    return { calls: [['aten::mul.Scalar', a.handle, 2]], inputs: [a] };
  },
});

const sum = callCase({
  name: 'sum 8x64 over the last',
  nudge: () => {
    const a = ones([8, 64]);
    return inScopes(() => {
      for (let i = 0; i < CALLS_A_SCOPE; i++) a.sum(-1, { keepdim: true });
    }, [a]);
  },
  peer: { work: 'sum_last', arguments: { size: [8, 64] } },
  alone: () => {
    const a = ones([8, 64]);
    return { calls: [['aten::sum.dim_IntList', a.handle, [-1], true]], inputs: [a] };
  },
});

const splitHeads = callCase({
  name: 'reshape, transpose 8x64',
  nudge: () => {
    const a = ones([8, 64]);
    return inScopes(() => {
      for (let i = 0; i < CALLS_A_SCOPE; i++) a.reshape([8, 4, 16]).transpose(0, 1);
    }, [a]);
  },
  peer: { work: 'split_heads', arguments: { size: [8, 64], heads: 4 } },
  alone: () => {
    const a = ones([8, 64]);
    const heads = ones([8, 4, 16]);
    return {
      calls: [
        ['aten::reshape', a.handle, [8, 4, 16]],
        ['aten::transpose.int', heads.handle, 0, 1],
      ],
      inputs: [a, heads],
    };
  },
});

const concatenate = callCase({
  name: 'cat of 4 4x4',
  nudge: () => {
    const tensors = Array.from({ length: 4 }, () => ones([4, 4]));
    return inScopes(() => {
      for (let i = 0; i < CALLS_A_SCOPE; i++) torch.cat(tensors);
    }, tensors);
  },
  peer: { work: 'concatenate', arguments: { size: [4, 4], count: 4 } },
  alone: () => {
    const tensors = Array.from({ length: 4 }, () => ones([4, 4]));
    return { calls: [['aten::cat', tensors.map(({ handle }) => handle), 0]], inputs: tensors };
  },
});

const BATCH = 8;
const WIDTH = 32;

function mlpBody(): Body {
  const [first, second] = [new Linear(WIDTH, WIDTH), new Linear(WIDTH, WIDTH)];
  const parameters = [...first.parameters(), ...second.parameters()];
  const [x, y] = [torch.randn([BATCH, WIDTH]).keep(), torch.randn([BATCH, WIDTH]).keep()];
  const step = (): void => {
    torch.mseLoss(second.forward(first.forward(x).relu()), y).backward();
    for (const parameter of parameters) parameter.grad = null;
  };
  const work = (times: number): void => {
    for (let i = 0; i < times; i++) torch.scope(step);
  };
  return timed(work, { end: () => free([...parameters, x, y]) });
}

const mlp: Case = {
  name: 'MLP 32-32-32, batch 8',
  metric: 'forward and backward',
  unit: 'us',
  better: 'lower',
  value: microseconds,
  nudge: mlpBody,
  peer: { work: 'mlp', arguments: { batch: BATCH, width: WIDTH } },
};

export const dispatch: Group = { title: 'Small calls', cases: [add, multiply, sum, splitHeads, concatenate, mlp] };
