"""The parts of a language model."""

import math

import torch
from torch import Tensor

from inputs import bf16, f32, f64, ids, ints

from .registry import composite

aten = torch.ops.aten


@composite("q k v", q=lambda: f32(2, 3, 4), k=lambda: f32(2, 5, 4), v=lambda: f32(2, 5, 6))
def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q.matmul(k.transpose(-2, -1)).div(math.sqrt(q.size(-1)))
    return scores.softmax(-1).matmul(v)


@composite("q k v", q=lambda: f32(1, 2, 4, 3), k=lambda: f32(1, 2, 4, 3), v=lambda: f32(1, 2, 4, 3))
def causal_einsum_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    length = q.size(2)
    future = torch.ones([length, length], dtype=torch.bool).triu(1)
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k).mul(3**-0.5).masked_fill(future, -math.inf)
    return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v)


@composite("q k v", q=lambda: f32(1, 4, 5, 8), k=lambda: f32(1, 2, 5, 8), v=lambda: f32(1, 2, 5, 8))
def grouped_query_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return aten.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


@composite("q k v mask", q=lambda: f32(1, 2, 3, 4), k=lambda: f32(1, 2, 5, 4), v=lambda: f32(1, 2, 5, 4), mask=lambda: f32(3, 5))
def attention_with_learned_bias(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return aten.scaled_dot_product_attention(q, k, v, mask, scale=0.3)


@composite("x weight", x=lambda: f32(2, 3, 8), weight=lambda: f32(8))
def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x.mul(x.pow(2).mean([-1], keepdim=True).add(1e-6).rsqrt()).mul(weight)


@composite("x weight", x=lambda: f32(2, 3, 8), weight=lambda: f32(8))
def fused_rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return aten.rms_norm(x, [8], weight, 1e-6)


@composite("x weight bias", x=lambda: f32(3, 6), weight=lambda: f32(6), bias=lambda: f32(6))
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x.sub(x.mean([-1], keepdim=True))
    variance = x.var([-1], correction=0, keepdim=True)
    return centred.div(variance.add(1e-5).sqrt()).mul(weight).add(bias)


@composite("x weight bias", x=lambda: f32(3, 6), weight=lambda: f32(6), bias=lambda: f32(6))
def fused_layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return aten.layer_norm(x, [6], weight, bias, 1e-5)


@composite("x", x=lambda: f32(1, 2, 5, 8))
def rotary_embedding(x: Tensor) -> Tensor:
    half = x.size(-1) // 2
    frequencies = torch.pow(10000, torch.arange(half, dtype=torch.float32).div(-half))
    angles = torch.outer(torch.arange(x.size(2), dtype=torch.float32), frequencies)
    cos, sin = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()
    first, second = x.chunk(2, -1)
    return x.mul(cos).add(torch.cat([second.neg(), first], -1).mul(sin))


@composite("x gate up down", x=lambda: f32(2, 4), gate=lambda: f32(6, 4), up=lambda: f32(6, 4), down=lambda: f32(4, 6))
def swiglu(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return aten.linear(aten.silu(aten.linear(x, gate)).mul(aten.linear(x, up)), down)


@composite("table", table=lambda: f32(6, 4), tokens=lambda: ids(1, 3, 1, 1, 5, 0).view(2, 3))
def embedding_lookup(table: Tensor, tokens: Tensor) -> Tensor:
    return aten.embedding(table, tokens)


@composite("a b", x=lambda: f32(3, 5), weight=lambda: f32(4, 5), a=lambda: f32(2, 5), b=lambda: f32(4, 2))
def lora_linear(x: Tensor, weight: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return aten.linear(x, weight).add(aten.linear(aten.linear(x, a), b), alpha=16 / 2)


@composite("table", table=lambda: f32(7, 4), tokens=lambda: ids(1, 3, 2, 6), targets=lambda: ids(3, 2, 6, 0))
def tied_head(table: Tensor, tokens: Tensor, targets: Tensor) -> Tensor:
    hidden = aten.embedding(table, tokens).tanh()
    return aten.cross_entropy_loss(aten.linear(hidden, table), targets)


@composite("x weight bias", x=lambda: f32(2, 3, 9), weight=lambda: f32(4, 3, 3), bias=lambda: f32(4))
def convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return aten.gelu(torch.conv1d(x, weight, bias, stride=2, padding=1), approximate="tanh").amax([-1])


@composite("weight scores", hidden=lambda: f32(3, 4), weight=lambda: f32(2, 4), scores=lambda: f32(3), last=lambda: ints(0, 3, 2))
def value_head_at_last_token(hidden: Tensor, weight: Tensor, scores: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    values = aten.linear(hidden, weight)
    return values.index_select(0, last), values.mul(scores.unsqueeze(-1)).sum([0])


@composite("x weight", x=lambda: bf16(4, 8), weight=lambda: bf16(3, 8), targets=lambda: ids(0, 2, 1, 0))
def mixed_precision_loss(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return aten.cross_entropy_loss(aten.linear(x, weight).to(torch.float32), targets)


@composite("a b", a=lambda: f64(3, 3), b=lambda: f64(3, 2))
def ridge_regression(a: Tensor, b: Tensor) -> Tensor:
    gram = a.t().matmul(a).add(torch.eye(3, dtype=torch.float64), alpha=0.5)
    return torch.linalg.solve(gram, a.t().matmul(b))
