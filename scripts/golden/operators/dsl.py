"""The small language in which the operator cases are written.

`case('sum.dim_IntList', f32(3, 4), [1], keepdim=True)` runs the ATen overload of exactly that name and records arguments and result.
The TypeScript side sees only the operator's name, not the overload: finding it from the arguments is part of what is tested.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch

import inputs
from encoding import encode, encode_result

_cases: list[dict[str, Any]] = []


def collect(seed: int, define: Callable[[], None]) -> list[dict[str, Any]]:
    """The cases that `define` declares. A family has its own seed, so that a new case in one leaves the others' numbers alone."""
    inputs.seed(seed)
    _cases.clear()
    define()
    return copy.deepcopy(_cases)


def overload_of(name: str) -> Any:
    base, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, base), overload or "default")


def _check_keywords(name: str, schema: Any, kwargs: dict[str, Any]) -> None:
    # The API takes by name only what has a default or is keyword-only; a case that does otherwise is a mistake of ours.
    declared = {argument.name: argument for argument in schema.arguments}
    for key in kwargs:
        argument = declared[key]
        if not (argument.kwarg_only or argument.has_default_value()):
            raise ValueError(f"{name}: give {key} in its place, it has no default")


def _widen(argument: Any, value: Any) -> Any:
    # PyTorch lets one integer stand for a list of known length; the raw call does so for `int[N]` but not for `SymInt[N]`.
    if isinstance(value, int) and argument.N is not None and str(argument.type).startswith("List["):
        return [value] * argument.N
    return value


def case(name: str, *args: Any, ulps: int | None = None, loose: float | None = None, **kwargs: Any) -> None:
    """Records one call. `loose` is a relative and absolute tolerance, `ulps` one in units of the last place of a 16-bit float, for results
    whose rounding legitimately depends on the order in which a machine's vector units add."""
    operator = overload_of(name)
    schema = operator._schema
    _check_keywords(name, schema, kwargs)
    record: dict[str, Any] = {"op": name, "args": encode(args)}
    if kwargs:
        record["kwargs"] = {key: encode(value) for key, value in kwargs.items()}
    if schema.arguments and schema.arguments[0].name == "self" and isinstance(args[0], torch.Tensor):
        record["method"] = True
    declared = {argument.name: argument for argument in schema.arguments}
    result = operator(
        *(_widen(argument, value) for argument, value in zip(schema.arguments, args, strict=False)),
        **{key: _widen(declared[key], value) for key, value in kwargs.items()},
    )
    if schema.returns:
        record["out"] = encode_result(result)
    written = {
        str(position): encode_result(args[position])
        for position, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write and position < len(args)
    }
    if written:
        record["written"] = written
    if ulps is not None:
        record["ulps"] = ulps
    if loose is not None:
        record["loose"] = loose
    _cases.append(record)
