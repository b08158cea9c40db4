"""The numbers that PyTorch's generators give under a seed.

A case is a programme: a seed, then calls one after the other on one generator, so that what each call consumes is tested too.
"save" and "restore" steps take the generator's state and put it back: what follows must repeat.

On x86 the operators in MKL draw from Intel's library; a PyTorch built without it gives other numbers, so those cases are marked.
"""

from collections.abc import Callable
from typing import Any

import torch

import inputs
from encoding import encode, encode_result

# A vectorised path begins at 16 elements and works in blocks of 8 and 16: sizes below, at, above and off its boundaries.
SIZES = [1, 7, 15, 16, 17, 24, 40, 100]
FLOATS = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
MKL = {"bernoulli", "bernoulli_", "exponential_", "dropout", "native_dropout", "alpha_dropout", "multinomial"}


class Programme:
    """Runs the steps of one case and records them. `generator` None means PyTorch's default one."""

    def __init__(self, name: str, seed: int, explicit: bool) -> None:
        self.generator = torch.Generator().manual_seed(seed) if explicit else None
        if not explicit:
            torch.manual_seed(seed)
        self.record: dict[str, Any] = {"name": name, "seed": seed, "explicit": explicit, "steps": []}
        self._saved: torch.Tensor | None = None

    def call(self, name: str, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Overloads that take a generator are named after the same overload that does not, plus ".generator"."""
        base, _, overload = name.partition(".")
        packet = getattr(torch.ops.aten, base)
        step: dict[str, Any] = {"op": name, "args": encode(args)}
        if kwargs:
            step["kwargs"] = {key: encode(value) for key, value in kwargs.items()}
        if self.generator is not None:
            kwargs = {**kwargs, "generator": self.generator}
        result = getattr(packet, overload or "default")(*args, **kwargs)
        step["out"] = encode_result(result)
        self.record["steps"].append(step)
        if base in MKL:
            self.record["mkl"] = True
        return result

    def save(self) -> None:
        self._saved = torch.get_rng_state() if self.generator is None else self.generator.get_state()
        self.record["steps"].append({"op": "save"})

    def restore(self) -> None:
        assert self._saved is not None
        if self.generator is None:
            torch.set_rng_state(self._saved)
        else:
            self.generator.set_state(self._saved)
        self.record["steps"].append({"op": "restore"})


def _makers(p: Programme) -> None:
    """randn, rand, randint, randperm: the operators that make a tensor."""
    plain = "" if p.generator is None else "generator"
    for size in SIZES:
        p.call(f"randn.{plain}".rstrip("."), [size])
    for dtype in FLOATS:
        for size in (5, 33):
            p.call(f"randn.{plain}".rstrip("."), [size], dtype=dtype)
            p.call(f"rand.{plain}".rstrip("."), [size], dtype=dtype)
    p.call(f"randn.{plain}".rstrip("."), [3, 7])
    p.call(f"randint.{plain}".rstrip("."), 10, [5])
    p.call(f"randint.low{'_generator' if plain else ''}", -3, 1000, [2, 9])
    p.call(f"randint.low{'_generator' if plain else ''}", 0, 2**40, [4], dtype=torch.int64)
    for size in (1, 9, 100):
        p.call(f"randperm.{plain}".rstrip("."), size)
    p.call(f"randn.{plain}".rstrip("."), [3])


def _writers(p: Programme) -> None:
    """The operators that fill a tensor in place."""
    for dtype in FLOATS:
        for size in (5, 33):
            p.call("uniform_", torch.zeros(size, dtype=dtype))
            p.call("normal_", torch.zeros(size, dtype=dtype), 1.5, 0.5)
    p.call("uniform_", torch.zeros(6), -2, 3)
    p.call("normal_", torch.zeros(4, 6).t(), std=2.0)
    p.call("random_", torch.zeros(5, dtype=torch.int64))
    p.call("random_.from", torch.zeros(5), 3, 9)
    p.call("cauchy_", torch.zeros(5))
    p.call("log_normal_", torch.zeros(20))
    p.call("geometric_", torch.zeros(5), 0.3)
    p.call("normal.Tensor_float", torch.arange(4.0), 0.5)
    p.call("normal.Tensor_Tensor", torch.zeros(3), torch.tensor([0.1, 1.0, 10.0]))
    p.call("poisson", torch.tensor([0.5, 3.0, 20.0]))


def _bernoulli(p: Programme) -> None:
    for size in (5, 40):
        p.call("bernoulli", torch.full([size], 0.3))
        p.call("bernoulli_.float", torch.zeros(size), 0.7)
    p.call("bernoulli", torch.full([9], 0.5, dtype=torch.float64))
    p.call("bernoulli_.Tensor", torch.zeros(6, dtype=torch.bfloat16), torch.full([6], 0.4))
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        p.call("exponential_", torch.zeros(5, dtype=dtype))
        p.call("exponential_", torch.zeros(33, dtype=dtype), 2.0)


def _multinomial(p: Programme) -> None:
    inputs.seed(99)
    weights = inputs.unit(3, 12)
    p.call("multinomial", weights[0], 1)
    p.call("multinomial", weights, 1)
    p.call("multinomial", weights, 5)
    p.call("multinomial", weights, 20, True)
    p.call("multinomial", weights.double(), 4, replacement=True)
    p.call("multinomial", torch.tensor([0.0, 0.0, 1.0, 1.0]), 2)


def _with_the_default_generator(p: Programme) -> None:
    """Operators that take no generator."""
    inputs.seed(98)
    x = inputs.f32(4, 10)
    p.call("dropout", x, 0.5, True)
    p.call("dropout", x.bfloat16(), 0.1, True)
    p.call("native_dropout", x, 0.25, True)
    p.call("alpha_dropout", x, 0.3, True)
    p.call("rand_like", x)
    p.call("randn_like", x, dtype=torch.float64)
    p.call("randint_like", x, 7)
    p.call("randint_like.low_dtype", x, 3, 7)
    p.call("rrelu", x, 0.1, 0.3, True)


def _saved_and_restored(p: Programme) -> None:
    plain = "generator" if p.generator is not None else ""
    randn = f"randn.{plain}".rstrip(".")
    p.call(randn, [5])  # an odd number of scalar draws leaves half a Box-Muller pair in the state
    p.save()
    p.call(randn, [3])
    p.call("uniform_", torch.zeros(20))
    p.restore()
    p.call(randn, [3])
    p.call("uniform_", torch.zeros(20))
    p.call(f"randperm.{plain}".rstrip("."), 10)


PROGRAMMES: list[tuple[str, Callable[[Programme], None], tuple[bool, ...]]] = [
    ("operators that make tensors", _makers, (False, True)),
    ("operators that fill tensors", _writers, (False, True)),
    ("bernoulli and exponential", _bernoulli, (False, True)),
    ("multinomial", _multinomial, (False, True)),
    ("operators without a generator", _with_the_default_generator, (False,)),
    ("state saved and restored", _saved_and_restored, (False, True)),
]


def cases() -> list[dict[str, Any]]:
    records = []
    for number, (name, steps, generators) in enumerate(PROGRAMMES):
        for explicit in generators:
            programme = Programme(f"{name}, {'a generator of its own' if explicit else 'the default generator'}", 1234 + number, explicit)
            steps(programme)
            records.append(programme.record)
    # seeds beyond 32 bits and negative ones
    for seed in (0, 2**32 + 5, 2**53 - 1):
        programme = Programme(f"seed {seed}", seed, True)
        programme.call("randn.generator", [4])
        programme.call("rand.generator", [4])
        records.append(programme.record)
    return records
