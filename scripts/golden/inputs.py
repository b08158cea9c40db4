"""Seeded makers of inputs, named after the dtype they make."""

import torch

_generator = torch.Generator()


def seed(number: int) -> None:
    _generator.manual_seed(number)


def f32(*shape: int) -> torch.Tensor:
    """Standard normal values."""
    return torch.randn(shape, generator=_generator)


def f64(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=_generator, dtype=torch.float64)


def bf16(*shape: int) -> torch.Tensor:
    return f32(*shape).bfloat16()


def f16(*shape: int) -> torch.Tensor:
    return f32(*shape).half()


def c64(*shape: int) -> torch.Tensor:
    return torch.complex(f32(*shape), f32(*shape))


def unit(*shape: int) -> torch.Tensor:
    """Uniform over (0.01, 0.99): the safe part of the domains of log, logit, asin and the like."""
    return torch.rand(shape, generator=_generator) * 0.98 + 0.01


def ints(low: int, high: int, *shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    """Integers of [low, high)."""
    return torch.randint(low, high, shape, generator=_generator).to(dtype)


def bools(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=_generator) < 0.5


def ids(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)
