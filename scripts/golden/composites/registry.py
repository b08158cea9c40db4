"""How a composite function is declared and how its golden values are made."""

import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import inputs
from encoding import encode, encode_result

Composite = Callable[..., Tensor | tuple[Tensor, ...]]
_composites: list[tuple[Composite, str, Callable[[], dict[str, Tensor]]]] = []


def composite(leaves: str, **makers: Callable[[], Tensor]) -> Callable[[Composite], Composite]:
    """Declares a function of named tensors. `leaves` names those that require a gradient. An input is given as a thunk, so that each
    function's numbers come from its own name's seed and do not move when another is added."""

    def register(function: Composite) -> Composite:
        _composites.append((function, leaves, makers))
        return function

    return register


def cases() -> list[dict[str, Any]]:
    return [_case(*declared) for declared in _composites]


def _case(function: Composite, leaves: str, makers: dict[str, Callable[[], Tensor]]) -> dict[str, Any]:
    name = function.__name__
    inputs.seed(zlib.crc32(name.encode()))
    tensors = {key: make() for key, make in makers.items()}
    record: dict[str, Any] = {"name": name, "inputs": {key: encode(value) for key, value in tensors.items()}, "leaves": leaves.split()}
    for leaf in leaves.split():
        tensors[leaf].requires_grad_()
    returned = function(**tensors)
    outputs = returned if isinstance(returned, tuple) else (returned,)
    record["out"] = [encode_result(output) for output in outputs]
    record["differentiable"] = [output.requires_grad for output in outputs]
    differentiable = [output for output in outputs if output.requires_grad]
    if differentiable:
        # weights for a weighted sum of the outputs: with ones alone, errors that cancel would go unseen
        weights = [torch.ones_like(output) if output.dim() == 0 else inputs.f32(*output.shape).to(output.dtype) for output in differentiable]
        gradients = torch.autograd.grad(differentiable, [tensors[leaf] for leaf in leaves.split()], weights)
        record["weights"] = [encode_result(weight) for weight in weights]
        record["gradients"] = {leaf: encode_result(gradient) for leaf, gradient in zip(leaves.split(), gradients, strict=True)}
    return record
