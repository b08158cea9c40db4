"""Golden values of single operators, one family a module."""

from typing import Any

from . import dsl, indexing, linear_algebra, neural, pointwise, reductions, shaping

FAMILIES = {module.__name__.rpartition(".")[2]: module for module in (pointwise, reductions, shaping, indexing, neural, linear_algebra)}


def families() -> dict[str, list[dict[str, Any]]]:
    """Family name -> its cases."""
    return {name: dsl.collect(seed, module.define) for seed, (name, module) in enumerate(FAMILIES.items(), start=1)}
