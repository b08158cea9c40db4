/** The parts of a language model. scripts/golden/composites/layers.py is the same programme; keep the two alike, line by line. */
import { type Tensor, torch } from '../../../src/tensor/index.ts';
import type { Inputs } from './inputs.ts';

export function softmaxAttention({ q, k, v }: Inputs<'q' | 'k' | 'v'>): Tensor {
  const scores = q.matmul(k.transpose(-2, -1)).div(Math.sqrt(q.size(-1)));
  return scores.softmax(-1).matmul(v);
}

export function causalEinsumAttention({ q, k, v }: Inputs<'q' | 'k' | 'v'>): Tensor {
  const length = q.size(2);
  const future = torch.ones([length, length], { dtype: 'bool' }).triu(1);
  const scores = torch
    .einsum('bhqd,bhkd->bhqk', [q, k])
    .mul(3 ** -0.5)
    .maskedFill(future, Number.NEGATIVE_INFINITY);
  return torch.einsum('bhqk,bhkd->bhqd', [scores.softmax(-1), v]);
}

export function groupedQueryAttention({ q, k, v }: Inputs<'q' | 'k' | 'v'>): Tensor {
  return torch.scaledDotProductAttention(q, k, v, { isCausal: true, enableGqa: true });
}

export function attentionWithLearnedBias({ q, k, v, mask }: Inputs<'q' | 'k' | 'v' | 'mask'>): Tensor {
  return torch.scaledDotProductAttention(q, k, v, mask, { scale: 0.3 });
}

export function rmsNorm({ x, weight }: Inputs<'x' | 'weight'>): Tensor {
  return x.mul(x.pow(2).mean([-1], { keepdim: true }).add(1e-6).rsqrt()).mul(weight);
}

export function fusedRmsNorm({ x, weight }: Inputs<'x' | 'weight'>): Tensor {
  return torch.rmsNorm(x, [8], weight, 1e-6);
}

export function layerNorm({ x, weight, bias }: Inputs<'x' | 'weight' | 'bias'>): Tensor {
  const centred = x.sub(x.mean([-1], { keepdim: true }));
  const variance = x.var([-1], { correction: 0, keepdim: true });
  return centred.div(variance.add(1e-5).sqrt()).mul(weight).add(bias);
}

export function fusedLayerNorm({ x, weight, bias }: Inputs<'x' | 'weight' | 'bias'>): Tensor {
  return torch.layerNorm(x, [6], weight, bias, 1e-5);
}

export function rotaryEmbedding({ x }: Inputs<'x'>): Tensor {
  const half = Math.floor(x.size(-1) / 2);
  const frequencies = torch.pow(10000, torch.arange(half, { dtype: 'float32' }).div(-half));
  const angles = torch.outer(torch.arange(x.size(2), { dtype: 'float32' }), frequencies);
  const [cos, sin] = [torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()];
  const [first, second] = x.chunk(2, -1) as [Tensor, Tensor];
  return x.mul(cos).add(torch.cat([second.neg(), first], -1).mul(sin));
}

export function swiglu({ x, gate, up, down }: Inputs<'x' | 'gate' | 'up' | 'down'>): Tensor {
  return torch.linear(torch.silu(torch.linear(x, gate)).mul(torch.linear(x, up)), down);
}

export function embeddingLookup({ table, tokens }: Inputs<'table' | 'tokens'>): Tensor {
  return torch.embedding(table, tokens);
}

export function loraLinear({ x, weight, a, b }: Inputs<'x' | 'weight' | 'a' | 'b'>): Tensor {
  return torch.linear(x, weight).add(torch.linear(torch.linear(x, a), b), { alpha: 16 / 2 });
}

export function tiedHead({ table, tokens, targets }: Inputs<'table' | 'tokens' | 'targets'>): Tensor {
  const hidden = torch.embedding(table, tokens).tanh();
  return torch.crossEntropyLoss(torch.linear(hidden, table), targets);
}

export function convolution({ x, weight, bias }: Inputs<'x' | 'weight' | 'bias'>): Tensor {
  return torch.gelu(torch.conv1d(x, weight, bias, { stride: 2, padding: 1 }), { approximate: 'tanh' }).amax([-1]);
}

export function valueHeadAtLastToken(inputs: Inputs<'hidden' | 'weight' | 'scores' | 'last'>): [Tensor, Tensor] {
  const { hidden, weight, scores, last } = inputs;
  const values = torch.linear(hidden, weight);
  return [values.indexSelect(0, last), values.mul(scores.unsqueeze(-1)).sum([0])];
}

export function mixedPrecisionLoss({ x, weight, targets }: Inputs<'x' | 'weight' | 'targets'>): Tensor {
  return torch.crossEntropyLoss(torch.linear(x, weight).to('float32'), targets);
}

export function ridgeRegression({ a, b }: Inputs<'a' | 'b'>): Tensor {
  const gram = a
    .t()
    .matmul(a)
    .add(torch.eye(3, { dtype: 'float64' }), { alpha: 0.5 });
  return torch.linalgSolve(gram, a.t().matmul(b));
}
