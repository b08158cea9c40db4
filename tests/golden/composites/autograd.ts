/**
 * What the gradient machinery itself must get right: views, writes in place, higher orders, accumulation, gradients of non-leaves.
 * scripts/golden/composites/autograd.py is the same programme; keep the two alike, line by line.
 */
import { type Tensor, torch } from '../../../src/tensor/index.ts';
import type { Inputs } from './inputs.ts';

const ids = (...values: number[]): Tensor => torch.tensor(values, { dtype: 'int64' });

export function gradientPenalty({ x, weight }: Inputs<'x' | 'weight'>): Tensor {
  const [gradient] = torch.grad([x.matmul(weight).tanh().sum()], [x], { createGraph: true });
  return gradient!.pow(2).sum();
}

export function thirdDerivative({ x }: Inputs<'x'>): Tensor {
  let value = x.pow(4).mul(x.sin());
  for (let order = 0; order < 3; order++) [value] = torch.grad([value.sum()], [x], { createGraph: true }) as [Tensor];
  return value;
}

export function hessianVectorProduct({ x, direction }: Inputs<'x' | 'direction'>): Tensor {
  const [gradient] = torch.grad([x.exp().sum().log().mul(x.prod())], [x], { createGraph: true });
  const [product] = torch.grad([gradient!], [x], { gradOutputs: [direction], createGraph: true });
  return product!;
}

export function accumulatedOverTwoBackwards({ x, weight }: Inputs<'x' | 'weight'>): [Tensor, Tensor] {
  x.matmul(weight).sum().backward();
  const first = weight.grad!.clone();
  x.matmul(weight).square().sum().backward();
  return [first, weight.grad!];
}

export function backwardTwiceThroughOneGraph({ x }: Inputs<'x'>): Tensor {
  const y = x.sigmoid().prod();
  y.backward(null, { retainGraph: true });
  y.backward();
  return x.grad!;
}

export function backwardWithUpstreamGradient({ x, upstream }: Inputs<'x' | 'upstream'>): Tensor {
  x.tanh().backward(upstream);
  return x.grad!;
}

export function gradientOfANonLeaf({ x, weight }: Inputs<'x' | 'weight'>): [Tensor, Tensor] {
  const hidden = x.matmul(weight);
  const gradients = torch.grad([hidden.relu().square().sum()], [hidden, weight]);
  return [gradients[0]!, gradients[1]!];
}

export function inPlaceOnViews({ x }: Inputs<'x'>): Tensor {
  const y = x.mul(2);
  y.narrow(1, 1, 2).mul_(3);
  y.select(0, 0).add_(1);
  return y.sin_();
}

export function indexPutInPlace({ x, values }: Inputs<'x' | 'values'>): Tensor {
  const y = x.clone();
  y.indexPut_([ids(2, 0)], values);
  return y.square();
}

export function indexAddAndCopy({ x, values }: Inputs<'x' | 'values'>): Tensor {
  const added = x.indexAdd(0, ids(1, 1), values, { alpha: 0.5 });
  return added.indexCopy(1, ids(3), x.sum([1], { keepdim: true }));
}

export function gatherAndScatter({ x, source, index }: Inputs<'x' | 'source' | 'index'>): Tensor {
  return x.scatter(1, index, source).scatterAdd(1, index, x.gather(1, index).square());
}

export function broadcasting({ x, y }: Inputs<'x' | 'y'>): Tensor {
  return x.mul(y).add(x.div(y.square().add(1)));
}

export function whereAndDetach({ x, condition }: Inputs<'x' | 'condition'>): Tensor {
  return torch.where(condition, x.exp(), x.detach().mul(x));
}

export function shapes({ x }: Inputs<'x'>): Tensor {
  const y = x.permute([2, 0, 1]).reshape([4, 6]).unsqueeze(0).expand([2, 4, 6]);
  return torch.stack([y.transpose(1, 2).flatten(1), y.flip([0]).reshape([2, 24]).roll([1], [1])]).squeeze(0);
}

export function joinedAndSplit({ x, y }: Inputs<'x' | 'y'>): [Tensor, Tensor] {
  const [left, right] = torch.cat([x, y]).split([2, 4], 1) as [Tensor, Tensor];
  return [left.square(), right.repeatInterleave(2, 0)];
}

export function complexMagnitude({ z }: Inputs<'z'>): Tensor {
  return z.mul(z).abs().sum();
}

export function reductions({ x }: Inputs<'x'>): [Tensor, Tensor, Tensor, Tensor] {
  return [x.max(1)[0], x.median(0)[0], x.prod(), x.norm(2, [0])];
}

export function withoutAGraph({ x }: Inputs<'x'>): [Tensor, Tensor] {
  const frozen = torch.noGrad(() => x.mul(2));
  return [frozen, x.mul(frozen)];
}
