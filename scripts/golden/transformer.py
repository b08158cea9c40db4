"""A small language model trained for 50 steps: the loss, the gradient's norm and the learning rate at every step.

Weights and batches come from an integer hash that both languages compute exactly, so the golden file holds only the curves.
tests/golden/transformer.ts is the same programme; keep the two alike, line by line.
"""

import math

import torch
from torch import Tensor

from hashing import hashed, uniform

VOCABULARY, WIDTH, LAYERS, HEADS, KV_HEADS, HIDDEN = 256, 64, 2, 4, 2, 128
BATCH, LENGTH, STEPS, WARMUP = 8, 32, 50, 5
LEARNING_RATE, BETAS, EPS, WEIGHT_DECAY, MAX_NORM = 3e-3, (0.9, 0.95), 1e-8, 0.1, 1.0


def weight(stream: int, *shape: int) -> Tensor:
    return uniform(stream, *shape).requires_grad_()


def make_parameters() -> dict[str, Tensor]:
    kv_width = WIDTH // HEADS * KV_HEADS
    parameters = {"embedding": weight(0, VOCABULARY, WIDTH), "norm": torch.ones(WIDTH, requires_grad=True)}
    for layer in range(LAYERS):
        matrices = {"query": (WIDTH, WIDTH), "key": (kv_width, WIDTH), "value": (kv_width, WIDTH), "output": (WIDTH, WIDTH),
                    "gate": (HIDDEN, WIDTH), "up": (HIDDEN, WIDTH), "down": (WIDTH, HIDDEN)}  # fmt: skip
        for number, (name, shape) in enumerate(matrices.items(), start=1):
            parameters[f"{layer}.{name}"] = weight(10 * (layer + 1) + number, *shape)
        for name in ("attentionNorm", "feedForwardNorm"):
            parameters[f"{layer}.{name}"] = torch.ones(WIDTH, requires_grad=True)
    return parameters


def make_batch(step: int) -> Tensor:
    """[B, T + 1] token ids. Each row follows next = 5 * token + 1 (mod 17) from a hashed start, which a model learns in a few steps."""
    token = torch.from_numpy(hashed(1000 + step, BATCH)).remainder(17)
    columns = []
    for _ in range(LENGTH + 1):
        columns.append(token)
        token = token.mul(5).add(1).remainder(17)
    return torch.stack(columns, 1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x.mul(cos).add(torch.cat([second.neg(), first], -1).mul(sin))


def attend(x: Tensor, p: dict[str, Tensor], layer: int, cos: Tensor, sin: Tensor) -> Tensor:
    def heads(name: str, count: int) -> Tensor:
        return torch.ops.aten.linear(x, p[f"{layer}.{name}"]).view([BATCH, LENGTH, count, -1]).transpose(1, 2)

    query, key = rotate(heads("query", HEADS), cos, sin), rotate(heads("key", KV_HEADS), cos, sin)
    mixed = torch.ops.aten.scaled_dot_product_attention(query, key, heads("value", KV_HEADS), is_causal=True, enable_gqa=True)
    return torch.ops.aten.linear(mixed.transpose(1, 2).reshape([BATCH, LENGTH, WIDTH]), p[f"{layer}.output"])


def feed_forward(x: Tensor, p: dict[str, Tensor], layer: int) -> Tensor:
    linear = torch.ops.aten.linear
    return linear(torch.ops.aten.silu(linear(x, p[f"{layer}.gate"])).mul(linear(x, p[f"{layer}.up"])), p[f"{layer}.down"])


def loss_of(p: dict[str, Tensor], tokens: Tensor) -> Tensor:
    half = WIDTH // HEADS // 2
    frequencies = torch.pow(10000, torch.arange(half, dtype=torch.float32).div(-half))
    angles = torch.outer(torch.arange(LENGTH, dtype=torch.float32), frequencies).repeat([1, 2])
    cos, sin = angles.cos(), angles.sin()
    x = torch.ops.aten.embedding(p["embedding"], tokens.narrow(1, 0, LENGTH))
    for layer in range(LAYERS):
        x = x.add(attend(torch.ops.aten.rms_norm(x, [WIDTH], p[f"{layer}.attentionNorm"], 1e-6), p, layer, cos, sin))
        x = x.add(feed_forward(torch.ops.aten.rms_norm(x, [WIDTH], p[f"{layer}.feedForwardNorm"], 1e-6), p, layer))
    logits = torch.ops.aten.linear(torch.ops.aten.rms_norm(x, [WIDTH], p["norm"], 1e-6), p["embedding"])
    return torch.ops.aten.cross_entropy_loss(logits.flatten(0, 1), tokens.narrow(1, 1, LENGTH).flatten())


def schedule(step: int) -> float:
    """transformers' get_cosine_schedule_with_warmup."""
    if step < WARMUP:
        return step / max(1, WARMUP)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, STEPS - WARMUP))))


def train() -> list[dict[str, float]]:
    parameters = make_parameters()
    optimizer = torch.optim.AdamW(parameters.values(), lr=LEARNING_RATE, betas=BETAS, eps=EPS, weight_decay=WEIGHT_DECAY, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    curve = []
    for step in range(STEPS):
        loss = loss_of(parameters, make_batch(step))
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), MAX_NORM)
        curve.append({"loss": loss.item(), "norm": norm.item(), "lr": scheduler.get_last_lr()[0]})
        optimizer.step()
        scheduler.step()
    return curve
