/** AdamW: over large tensors memory decides, over small ones the way to the kernel. */

import { AdamW, parameter } from '../../src/nn/index.ts';
import { type Tensor, torch } from '../../src/tensor/index.ts';
import { type Body, type Case, type Group, timed } from '../case.ts';
import { free, inCppAlone, streaming } from './bodies.ts';

const TENSORS = 100;
/** In float32: reads weight, gradient and two moments, writes all but the gradient. */
const BYTES_READ = 16;
const BYTES_MOVED = 28;

function body(elements: number): Body {
  const parameters = Array.from({ length: TENSORS }, () => parameter(torch.scope(() => torch.randn([elements]))));
  for (const weight of parameters) torch.scope(() => setGradient(weight));
  const optimizer = new AdamW(parameters);
  const work = (times: number): void => {
    for (let i = 0; i < times; i++) optimizer.step();
  };
  const end = (): void => {
    optimizer.dispose();
    free(parameters);
  };
  return timed(work, { end });
}

function setGradient(weight: Tensor): void {
  weight.grad = torch.randnLike(weight);
}

const milliseconds = (seconds: number): number => seconds * 1e3;

function adamwCase(elements: number, name: string, limit: NonNullable<Case['limit']>): Case {
  return {
    name,
    metric: 'time a step',
    unit: 'ms',
    better: 'lower',
    value: milliseconds,
    nudge: () => body(elements),
    peer: { work: 'adamw', arguments: { tensors: TENSORS, elements } },
    limit,
  };
}

function memoryBound(elements: number): NonNullable<Case['limit']> {
  const footprint = TENSORS * elements * BYTES_READ;
  const { body: stream, bytes } = streaming(footprint);
  return {
    body: stream,
    value: (seconds) => milliseconds((TENSORS * elements * BYTES_MOVED * seconds) / bytes),
  };
}

/** The fused kernel called in C++ alone. */
function kernelAlone(elements: number): NonNullable<Case['limit']> {
  const make = () => {
    const slots = Array.from({ length: 4 }, () => Array.from({ length: TENSORS }, () => torch.rand([elements]).keep()));
    const step = torch.ones([]).keep();
    const handles = slots.map((tensors) => tensors.map(({ handle }) => handle));
    const steps = Array.from({ length: TENSORS }, () => step.handle);
    const numbers = [1e-3, 0.9, 0.999, 0.01, 1e-8, false, false]; // lr, betas, weight decay, eps, amsgrad, maximize
    return {
      calls: [['aten::_fused_adamw_', ...handles, [], steps, ...numbers] as [string, ...unknown[]]],
      inputs: [...slots.flat(), step],
    };
  };
  return { body: inCppAlone(make), value: milliseconds };
}

export const optimiser: Group = {
  title: 'AdamW, fused',
  cases: [
    adamwCase(100_000, 'AdamW, 100 of 100,000', memoryBound(100_000)),
    adamwCase(1_000, 'AdamW, 100 of 1,000', kernelAlone(1_000)),
  ],
};
