"""Optimisers over 50 steps, clipping, and schedules.

Weights and gradients come from hashing.py, so a case holds only what differs between optimisers: options and resulting weights.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from encoding import encode, encode_result
from hashing import uniform

STEPS = 50
RECORDED = (1, 2, 10, 50)
SHAPES = [(5, 3), (7,), (2, 2)]

Json = dict[str, Any]


def camel(options: Json) -> Json:
    def name(key: str) -> str:
        head, *rest = key.split("_")
        return head + "".join(part.title() for part in rest)

    return {name(key): value for key, value in options.items()}


def initial_weights() -> list[Tensor]:
    return [uniform(number, *shape) for number, shape in enumerate(SHAPES)]


def gradient(step: int, parameter: int) -> Tensor:
    """Of step 1, 2, ..."""
    return uniform(1000 * step + parameter, *SHAPES[parameter])


def linear(step: int) -> float:
    """transformers' get_linear_schedule_with_warmup, 5 steps of warm-up."""
    return step / 5 if step < 5 else max(0.0, (STEPS - step) / (STEPS - 5))


def run(optimizer: torch.optim.Optimizer, weights: list[Tensor], missing: list[list[int]], scheduled: bool) -> Json:
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, linear) if scheduled else None
    after = {}
    for step in range(1, STEPS + 1):
        for number, weight in enumerate(weights):
            weight.grad = None if [step, number] in missing else gradient(step, number).to(weight.dtype)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        if step in RECORDED:
            after[str(step)] = [encode_result(weight) for weight in weights]
    return after


def with_torch(
    optimizer: type[torch.optim.Optimizer],
    name: str,
    options: Json,
    groups: list[Json] | None = None,
    missing: list[list[int]] | None = None,
    scheduled: bool = False,
    dtype: torch.dtype = torch.float32,
) -> list[Json]:
    """The case by PyTorch's loop over parameters and by its fused kernel; ours must follow both. `groups` holds each parameter's own options."""
    cases = []
    for fused in (False, True):
        weights = [weight.to(dtype).requires_grad_() for weight in initial_weights()]
        parameters: Any = weights
        if groups is not None:
            parameters = [{"params": [weight], **group} for weight, group in zip(weights, groups, strict=True)]
        flags = {"fused": True} if fused else {"foreach": False}
        after = run(optimizer(parameters, **options, **flags), weights, missing or [], scheduled)
        case: Json = {"name": f"{optimizer.__name__}, {name}, {'fused' if fused else 'plain'}", "optimiser": optimizer.__name__}
        case |= {"dtype": encode(dtype), "options": camel(options), "missing": missing or [], "scheduled": scheduled, "after": after}
        if groups is not None:
            case["groups"] = [camel(group) for group in groups]
        cases.append(case)
    return cases


def sixteen_bit(master: bool) -> Json:
    """bfloat16 weights with float32 moments, written out after the paper (arXiv 1711.05101, algorithm 2): PyTorch's own optimiser keeps the
    moments in bfloat16. With a master copy the update accumulates in float32; without, it is rounded into the weight at every step."""
    lr, beta1, beta2, eps, decay = 1e-2, 0.9, 0.95, 1e-8, 0.1
    weights = [weight.bfloat16() for weight in initial_weights()]
    full = [weight.float() for weight in weights]
    means, squares = [torch.zeros_like(w) for w in full], [torch.zeros_like(w) for w in full]
    after = {}
    for step in range(1, STEPS + 1):
        for number in range(len(weights)):
            g = gradient(step, number).bfloat16().float()
            w = full[number] if master else weights[number].float()
            w = w * (1 - lr * decay)
            means[number] = beta1 * means[number] + (1 - beta1) * g
            squares[number] = beta2 * squares[number] + (1 - beta2) * g * g
            mean, square = means[number] / (1 - beta1**step), squares[number] / (1 - beta2**step)
            full[number] = w - lr * mean / (square.sqrt() + eps)
            weights[number] = full[number].bfloat16()
        if step in RECORDED:
            after[str(step)] = [encode_result(weight) for weight in weights]
    options = {"lr": lr, "betas": [beta1, beta2], "eps": eps, "weightDecay": decay, "masterWeights": master}
    name = f"AdamW, bfloat16 weights {'with' if master else 'without'} a float32 copy"
    return {"name": name, "optimiser": "AdamW", "dtype": "bfloat16", "options": options, "missing": [], "scheduled": False, "after": after}


def optimiser_cases() -> list[Json]:
    adamw, sgd = torch.optim.AdamW, torch.optim.SGD
    groups = [{"lr": 3e-3, "weight_decay": 0.0}, {}, {"eps": 1e-5, "betas": [0.5, 0.9]}]
    return [
        *with_torch(adamw, "defaults", {}),
        *with_torch(adamw, "no weight decay", {"lr": 1e-2, "weight_decay": 0.0}),
        *with_torch(adamw, "a short memory", {"lr": 1e-2, "betas": [0.9, 0.95], "eps": 1e-5, "weight_decay": 0.1}),
        *with_torch(adamw, "groups", {"lr": 1e-2, "weight_decay": 0.1}, groups),
        *with_torch(adamw, "scheduled groups", {"lr": 1e-2}, groups, scheduled=True),
        *with_torch(adamw, "gradients missing", {"lr": 1e-2}, missing=[[1, 1], [2, 0], [3, 0], [10, 2], [50, 1]]),
        *with_torch(adamw, "float64", {"lr": 1e-2}, dtype=torch.float64),
        *with_torch(sgd, "plain", {"lr": 0.1}),
        *with_torch(sgd, "momentum", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
        *with_torch(sgd, "dampened", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
        *with_torch(sgd, "Nesterov", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
        *with_torch(sgd, "scheduled groups", {"lr": 0.05}, [{"lr": 0.1}, {}, {"momentum": 0.5}], scheduled=True),
        sixteen_bit(master=True),
        sixteen_bit(master=False),
    ]  # fmt: skip


def clipping_cases() -> list[Json]:
    gradients: dict[str, list[Tensor | None]] = {
        "above the limit": [gradient(1, 0), gradient(1, 1) * 8],
        "below the limit": [gradient(2, 0) / 64],
        "one missing": [gradient(3, 0) * 16, None, gradient(3, 2)],
        "zero": [torch.zeros(3)],
        "a single number": [torch.tensor(5.0)],
        "infinite": [torch.tensor([math.inf, 1.0])],
        "float64": [gradient(4, 0).double() * 8],
    }
    cases = []
    for name, given in gradients.items():
        for limit in (1.0, 0.1):
            weights = [None if g is None else torch.zeros_like(g).requires_grad_() for g in given]
            for weight, g in zip(weights, given, strict=True):
                if weight is not None and g is not None:
                    weight.grad = g.clone()
            present = [weight for weight in weights if weight is not None]
            norm = torch.nn.utils.clip_grad_norm_(present, limit)
            clipped = [None if weight is None else encode_result(weight.grad) for weight in weights]
            cases.append({"name": f"{name}, {limit:g}", "gradients": encode(given), "maxNorm": limit, "norm": encode(norm.item()), "clipped": clipped})
    return cases


def schedule_cases() -> list[Json]:
    """The formulas of transformers' get_constant_, get_linear_, get_cosine_ and get_cosine_with_min_lr_schedule_with_warmup."""

    def constant(step: int, warmup: int, _total: int, _floor: float) -> float:
        return step / max(1.0, warmup) if step < warmup else 1.0

    def linear_decay(step: int, warmup: int, total: int, _floor: float) -> float:
        if step < warmup:
            return step / max(1, warmup)
        return max(0.0, (total - step) / max(1, total - warmup))

    def cosine_decay(step: int, warmup: int, total: int, floor: float) -> float:
        if step < warmup:
            return step / max(1, warmup)
        progress = (step - warmup) / max(1, total - warmup)
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)) * (1 - floor) + floor)

    def case(name: str, formula: Callable[[int, int, int, float], float], warmup: int, total: int, floor: float = 0.0) -> Json:
        # read up to the last step: past it the cosine of transformers rises again, ours stays
        values = [encode(formula(step, warmup, total, floor)) for step in range(total + 1)]
        return {"name": name, "warmupSteps": warmup, "totalSteps": total, "minRatio": floor, "values": values}

    return [
        case("constant", constant, 0, 8),
        case("constant", constant, 4, 8),
        case("linear", linear_decay, 0, 20),
        case("linear", linear_decay, 5, 20),
        case("linear", linear_decay, 19, 20),
        case("cosine", cosine_decay, 0, 20),
        case("cosine", cosine_decay, 7, 50),
        case("cosine", cosine_decay, 3, 20, 0.1),
    ]
